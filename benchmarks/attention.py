"""Attention on the phantom's ventricles and sulci, whose places are known: python -m benchmarks attention RUN …

Tables over several demo runs that differ in their seed: each method's share of attention on the structures against
chance, for the trained networks and for the same networks with randomised weights; and how many maps pass each test of
faithfulness.
"""

import argparse
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.timing import table
from functions.evaluation.intervals import mean_of_clusters
from functions.explain.attention import patch_grid
from functions.explain.faithfulness import Faithfulness, faithfulness, randomised
from functions.explain.maps import METHODS, explain
from functions.reports.figure_text import Figure
from functions.runtime.errors import UserError

PEOPLE, SLICES, SEED = 100, 8, 0       # the demo's phantom
STRUCTURES = ("ventricles and sulci", "ventricles", "sulci")
COLOURS = {"trained": "#0072B2", "randomised": "#D55E00"}      # of networks
BARS = ("#56B4E9", "#E69F00", "#009E73")                        # of methods
BEST = ("none", "all on the patch with most fluid")             # the most that a map of patches can have
PASSES = {"insertion": "passes_insertion", "deletion": "passes_deletion", "randomisation": "passes_randomisation",
          "all three": "passes"}


@dataclass
class DemoSlices:
    """The demo's test slices: images (n, C, H, W), patient numbers (n,), names, and where structures are (n, H, W)."""

    images: Tensor
    patients: np.ndarray
    paths: list[str]
    structures: dict[str, Tensor]


def main(given: list[str]) -> None:
    """The command line; tables are printed and written to --out with a figure beside them."""
    from functions.checkpointing.run_folder import provenance
    from functions.runtime.exits import one_line_errors

    with one_line_errors():
        parser = argparse.ArgumentParser(prog="python -m benchmarks attention", description=__doc__.splitlines()[0])
        parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="finished runs of train.py --demo")
        parser.add_argument("--quick", action="store_true", help="two slices a run: does it run at all?")
        parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/attention.md"), help="file of the tables")
        options = parser.parse_args(given)
        facts, command = provenance(), shlex.join(["python", "-m", "benchmarks", "attention", *given])
        runs = [measure(run, number, options.quick) for number, run in enumerate(options.runs)]
        options.out.parent.mkdir(parents=True, exist_ok=True)
        draw(runs).savefig(options.out.with_suffix(".png"), dpi=120)
        text = (f"`{command}`, commit {facts['commit']}, torch {facts['versions']['torch']}\n\n{share_table(runs)}\n\n"
                f"{pass_table(runs)}\n")
        options.out.write_text(text, encoding="utf-8")
        print(text)


@dataclass
class Measured:
    """One run: for each (network, method) the result of `on_structures`, and the tests of the trained maps."""

    on: dict[tuple[str, str], np.ndarray]
    tests: dict[str, list[Faithfulness]]


def measure(run: Path, number: int, quick: bool) -> Measured:
    """All methods on all test slices; the tests of faithfulness on one slice per patient, of all levels in turn."""
    from functions.checkpointing.checkpoint import load_model
    from functions.checkpointing.run_folder import read_record

    if not read_record(run)["settings"].get("demo"):
        raise UserError(f"{run} is not a run of train.py --demo: only the phantom's structures are known")
    model, checkpoint = load_model(run / "best.pt")
    data = demo_test_set(run, checkpoint["preprocessing"])
    networks = {"trained": model, "randomised": randomised(model, torch.Generator().manual_seed(number))}
    on = {(name, method): on_structures(maps_of(network, data.images, method), data)
          for name, network in networks.items() for method in METHODS}
    on[BEST] = on_structures(best_maps(data, patch_grid(model)), data)
    patients = np.unique(data.patients)[:2 if quick else None]
    chosen = [np.flatnonzero(data.patients == patient)[i % SLICES] for i, patient in enumerate(patients)]
    tests = {method: faithfulness(model, data.images[chosen], method, seed=number)[1] for method in METHODS}
    print(f"{run}: done", flush=True)
    return Measured(on, tests)


def demo_test_set(run: Path, preprocessing: dict) -> DemoSlices:
    """The run's test slices and the structures in them."""
    from data_setup.listing.data_folders import PHANTOM, find_folders
    from data_setup.loading.transforms import image_reader
    from data_setup.phantom.generate import draw_structures

    folder, read = find_folders(None, None, None, demo=True).test, image_reader(preprocessing)
    assert folder is not None
    files = sorted(folder.glob("*/sub-*_z*.png"), key=lambda file: file.name)
    assert PHANTOM.name == f"phantom-{PEOPLE}x{SLICES}-seed{SEED}"
    numbers = np.array([int(file.name[4:7]) - 1 for file in files])
    drawn = {number: draw_structures(int(number), SLICES, SEED) for number in np.unique(numbers)}
    found = {name: torch.from_numpy(np.stack([drawn[number][name][int(file.stem[-2:])]
                                              for number, file in zip(numbers, files, strict=True)]))
             for name in ("ventricles", "sulci", "head")}
    found[STRUCTURES[0]] = found["ventricles"] + found["sulci"]
    images = torch.stack([read(file) for file in files])
    if images.shape[-2:] != found["head"].shape[-2:]:
        raise UserError(f"{run} has slices of {images.shape[-2]}x{images.shape[-1]} pixels, the phantom 96x80")
    return DemoSlices(images, numbers, [str(file) for file in files], found)


def maps_of(model: nn.Module, images: Tensor, method: str) -> Tensor:
    """Maps (n, rows, columns), computed in batches."""
    return torch.cat([explain(model, part, method) for part in images.split(64)])


def best_maps(data: DemoSlices, grid: tuple[int, int]) -> Tensor:
    """Maps (n, rows, columns) with all attention on the patch that ventricles and sulci cover most."""
    covered = F.adaptive_avg_pool2d(data.structures[STRUCTURES[0]][:, None], grid).flatten(1)
    return F.one_hot(covered.argmax(dim=1), grid[0] * grid[1]).view(-1, *grid)


def on_structures(maps: Tensor, data: DemoSlices) -> np.ndarray:
    """(patients, 2 + 2 · 3): the means over each patient's slices of the share of attention in the head and on each of
    STRUCTURES, then the same shares of a uniform map, which are the shares of the image's area.
    """
    grid = maps.shape[1:]
    columns = []
    for shares in (maps.double(), torch.full(grid, 1 / (grid[0] * grid[1]), dtype=torch.float64).expand(maps.shape)):
        for name in ("head", *STRUCTURES):
            covered = F.adaptive_avg_pool2d(data.structures[name][:, None], grid)[:, 0]       # share of each patch
            columns.append((shares * covered).sum(dim=(1, 2)).numpy())
    slices = np.stack(columns, axis=1)
    return np.stack([slices[data.patients == patient].mean(axis=0) for patient in np.unique(data.patients)])


def ratio(top: np.ndarray, bottom: np.ndarray) -> tuple[float, float, float]:
    """(r, low, high): the ratio of two means over patients (n,) and its 95 % t interval by the delta method."""
    found = top.mean() / bottom.mean()
    low, high = mean_of_clusters((top - found * bottom) / bottom.mean(), np.arange(len(top)))
    return found, found + low, found + high


def ratios(on: np.ndarray) -> dict[str, tuple[float, float, float]]:
    """{name: (ratio to chance, low, high)} from the columns of `on_structures`."""
    head, both, ventricles, sulci, head_area, both_area, ventricle_area, sulcus_area = on.T
    return {"head": ratio(head, head_area), "both": ratio(both, both_area),
            "both, within the head": ratio(both / head, both_area / head_area),
            "ventricles, within the head": ratio(ventricles / head, ventricle_area / head_area),
            "sulci, within the head": ratio(sulci / head, sulcus_area / head_area)}


def share_table(runs: Sequence[Measured]) -> str:
    """Attention over chance; intervals over patients, of the mean over runs; the spread of runs beside them."""
    rows = []
    for network, method in runs[0].on:
        each = [run.on[network, method] for run in runs]
        mean = np.mean(each, axis=0)
        cells = [f"{r:.2f} [{low:.2f}, {high:.2f}]" for r, low, high in ratios(mean).values()]
        if len(runs) > 1:
            cells[2] += f" ± {np.std([ratios(on)['both, within the head'][0] for on in each], ddof=1):.2f}"
        rows.append([network, method, f"{mean[:, 1].mean():.1%}", *cells])
    uniform = runs[0].on["trained", METHODS[0]][:, 4:].mean(axis=0)
    head = ["weights", "method", f"on {STRUCTURES[0]} (uniform: {uniform[1]:.1%})", "head / area", "both / area",
            "both / area, within the head ± SD over seeds", "ventricles / area, within the head",
            "sulci / area, within the head"]
    return table(head, rows)


def pass_table(runs: Sequence[Measured]) -> str:
    """How many maps of the trained networks pass each test, ± SD over seeds."""
    rows = []
    for method in METHODS:
        tests = [test for run in runs for test in run.tests[method]]
        passed = [[np.mean([getattr(test, name) for test in run.tests[method]]) for run in runs]
                  for name in PASSES.values()]
        cells = [f"{np.mean(shares):.0%}" + (f" ± {np.std(shares, ddof=1):.0%}" if len(runs) > 1 else "")
                 for shares in passed]
        means = [np.mean([test.insertion - np.mean(test.random) for test in tests]),
                 np.mean([test.deletion - np.mean(test.random) for test in tests]),
                 np.mean([np.mean(test.similarity) for test in tests])]
        rows.append([method, len(tests), *cells, *(f"{mean:+.3f}" for mean in means)])
    head = ["method", "maps", *(f"pass {name}" for name in PASSES),
            "insertion area over random orders", "deletion area over random orders", "rank correlation, randomised"]
    return table(head, rows)


def draw(runs: Sequence[Measured]) -> Figure:
    """Left: attention over chance within the head, by method, trained and randomised; right: maps that pass."""
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for offset, (network, colour) in zip((-0.15, 0.15), COLOURS.items(), strict=True):
        for place, method in enumerate(METHODS):
            each = [run.on[network, method] for run in runs]
            value, low, high = ratios(np.mean(each, axis=0))["both, within the head"]
            left.errorbar(value, place + offset, xerr=[[value - low], [high - value]], color=colour, marker="o",
                          capsize=3, label=f"{network} weights" if place == 0 else None)
            left.plot([ratios(on)["both, within the head"][0] for on in each], [place + offset] * len(each), "|",
                      color=colour, ms=9, alpha=0.6)
    left.axvline(1, color="0.5", lw=1, ls="--")
    left.set_yticks(range(len(METHODS)), METHODS)
    best = ratios(runs[0].on[BEST])["both, within the head"][0]
    left.set(ylim=(2.5, -0.5), xlabel="attention on ventricles and sulci / their share of the head\n"
                                      f"(1: chance; {best:.2f}: the most possible)")
    left.xaxis.label.set_fontsize("small")
    for place, method in enumerate(METHODS):
        tests = [test for run in runs for test in run.tests[method]]
        shares = [np.mean([getattr(test, name) for test in tests]) for name in PASSES.values()]
        right.bar(np.arange(4) + 0.27 * (place - 1), shares, 0.25, label=method, color=BARS[place])
    right.set_xticks(range(4), PASSES)
    right.set(ylabel="maps that pass", ylim=(0, 1))
    right.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    for axis in (left, right):
        axis.legend(fontsize="small", frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3)
    return figure
