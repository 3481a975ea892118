"""Both notebooks, executed in one kernel on copies of one tiny run."""

import ast
import json
import os
import shutil
import subprocess
import sys
import types
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pandas as pd
import pytest
import torch
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from data_setup.loading.transforms import image_reader
from functions.checkpointing.checkpoint import config_to_plain, load_checkpoint, load_model, save_checkpoint
from functions.evaluation.predictions import predict_image
from models import HybridConfig, ViTConfig, make_model

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PAPER = ROOT / "notebooks" / "the_paper_in_code.ipynb"
MISTAKES = {      # steps of the paper's notebook with a mistake → the module that they are compared with
    "positions left out": ("tokens", "patch_embedding"),
    "tokens in another order": ("z_0.flip(1)", "patch_embedding"),
    "residual left out": ("added", "encoder.0"),
    "attention left out": ("z_0", "encoder.0"),
    "another token than the class token": ("vit.norm(z[-1][:, 1])", "norm"),
    "LayerNorm left out": ("z[-1][:, 0]", "norm"),
}
# Layout is most of the time of drawing: here each figure is drawn once, small and without a layout.
DRAWN_ONCE = """
from matplotlib.figure import Figure
Figure.set_layout_engine = lambda figure, *arguments, **options: None
%config InlineBackend.print_figure_kwargs = {"bbox_inches": None, "dpi": 20}
"""
PROBE = f"""
import ast
import json
noticed = []
for name, (step, module) in {MISTAKES}.items():
    try:
        check(eval(step), module)
    except AssertionError:
        noticed.append(name)
json.dumps({{"path": path, "truth": truth, "probabilities": probabilities.tolist(), "noticed": noticed,
             "A": tuple(A.shape), "z": [tuple(tokens.shape) for tokens in z], "R": R.sum(dim=1).tolist(),
             "maps": {{method: tuple(shares.shape) for method, shares in maps.items()}}}})
"""


def code_cells(notebook, **replaced):
    """The code cells of a notebook, each assignment of `replaced` with another value."""
    cells = [new_code_cell(cell.source) for cell in nbformat.read(notebook, as_version=4).cells
             if cell.cell_type == "code"]
    for name, value in replaced.items():
        [cell] = [cell for cell in cells if f"\n{name} = " in cell.source]
        lines = cell.source.splitlines()
        cell.source = "\n".join(f"{name} = {value!r}" if line.startswith(f"{name} = ") else line for line in lines)
    return cells


def away(cells):
    """Cells that do not fall back to the runs of this clone, which may have some."""
    before = cells[-1].source
    cells[-1].source = before.replace(", CODE)\nos.chdir", ", Path.cwd())\nos.chdir")
    assert cells[-1].source != before
    return cells


def failing(cells):
    """Cells whose last one is expected to raise."""
    cells[-1].metadata["tags"] = ["raises-exception"]
    return cells


def outputs(cells, kind):
    return [output for cell in cells for output in cell.outputs if output.output_type == kind]


def shown(cells, kind="image/png"):
    return [output.data[kind] for cell in cells for output in cell.outputs if kind in output.get("data", {})]


def text(cells):
    return "".join(output.text for output in outputs(cells, "stream"))


def save_others(run, runs):
    """Checkpoints of a tiny hybrid and of a tower as CLIP's, otherwise that of `run`, in runs/hybrid and runs/clip."""
    hybrid = HybridConfig(image_size=(16, 12), patch_size=4, in_channels=1, num_classes=2, num_layers=1,
                          embedding_dim=12, num_heads=3, mlp_size=20, units=(), stem_patch=1, stem_width=32)
    clip = ViTConfig(image_size=(16, 12), patch_size=4, in_channels=1, num_classes=2, num_layers=1, embedding_dim=12,
                     num_heads=3, mlp_size=20, pre_norm=True)
    for name, config in {"hybrid": hybrid, "clip": clip}.items():
        (runs / name).mkdir()
        save_checkpoint(runs / name / "best.pt", load_checkpoint(run / "best.pt") | {
            "config": config_to_plain(config), "weights": make_model(config).state_dict()})
        os.utime(runs / name, (0, 0))               # the curves are those of the newest run


@pytest.fixture(scope="module")
def executed(finished, tmp_path_factory):
    """The cells of both notebooks after their execution; the folder of the run lies elsewhere than the code."""
    empty, work = tmp_path_factory.mktemp("empty"), tmp_path_factory.mktemp("work")
    shutil.copytree(finished, work / "runs" / "demo")
    parts = {
        "drawing": [new_code_cell(DRAWN_ONCE)],
        "curves without a run": failing(away(code_cells(NOTEBOOKS[0])[:2])),
        "paper without a run": failing(away(code_cells(PAPER)[:2])),
        "work": [new_code_cell(f"%reset -f\n%cd {work}")],
        "paper": code_cells(PAPER),
        "probe": [new_code_cell(PROBE)],
        "other names": [new_code_cell("%reset -f")],
        "curves": code_cells(NOTEBOOKS[0]),
        "hybrid": failing(code_cells(PAPER, RUN="runs/hybrid")[:3]),
        "clip": failing(code_cells(PAPER, RUN="runs/clip")[:3]),
    }
    save_others(finished, work / "runs")
    notebook = new_notebook(cells=[cell for part in parts.values() for cell in part])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("OMP_NUM_THREADS", "1")
        NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(empty)}}).execute()
    [probe] = shown(parts["probe"], "text/plain")
    return SimpleNamespace(parts=parts, probe=json.loads(ast.literal_eval(probe)))


def test_the_curves_of_a_finished_run_are_drawn(executed):
    assert len(shown(executed.parts["curves"])) == 4, "the curves and three slices"


def test_each_step_of_the_paper_is_compared_with_the_module_that_computes_it(executed, finished):
    cells = executed.parts["paper"]
    model, _ = load_model(finished / "best.pt")
    compared = [line.split()[0] for line in text(cells).splitlines() if " equal; " in line]
    assert {"patch_embedding", "encoder.0.msa_block", "encoder.0.mlp_block", "norm",
            *(f"encoder.{number}" for number in range(model.config.num_layers))} <= set(compared)
    assert set(compared) <= {name for name, _ in model.named_modules()}
    assert len(shown(cells)) == 13


def test_the_shapes_of_the_paper_are_those_of_its_formulas(executed):
    found, (n, heads, layers) = executed.probe, (4 * 3, 3, 2)
    assert found["A"] == [1, heads, n + 1, n + 1]
    assert found["z"] == [[1, n + 1, 12]] * (layers + 1)
    assert found["maps"] == {"attention": [4, 3], "rollout": [4, 3], "relevance": [4, 3]}
    assert torch.allclose(torch.tensor(found["R"]), torch.ones(n + 1))


def test_the_probabilities_at_the_end_are_those_of_a_prediction(executed, finished):
    model, checkpoint = load_model(finished / "best.pt")
    image = image_reader(checkpoint["preprocessing"])(executed.probe["path"])
    torch.testing.assert_close(torch.tensor(executed.probe["probabilities"]), predict_image(model, image))
    split = pd.read_csv(finished / "split.csv", dtype=str)
    [row] = split[split["path"] == executed.probe["path"]].to_dict("records")
    assert (row["split"], row["class"]) == ("test", executed.probe["truth"])


def test_the_comparison_notices_mistakes(executed):
    assert executed.probe["noticed"] == list(MISTAKES)


@pytest.mark.parametrize(("part", "line"), [
    ("curves without a run", "`python train.py --demo --epochs 10 --name demo`"),
    ("paper without a run", "`python train.py --demo --epochs 10 --name demo`"),
    ("hybrid", "runs/hybrid is a HybridViT"),
    ("clip", "runs/clip is a ViT with CLIP's LayerNorm of z_0"),
])
def test_a_run_that_cannot_be_used_is_one_line(executed, part, line):
    [error] = outputs(executed.parts[part], "error")
    assert error.ename == "UserError"
    [message] = error.traceback
    assert message.startswith("error: ")
    assert line in message
    assert "\n" not in message


@pytest.fixture
def in_colab(tmp_path, monkeypatch):
    """An empty folder in Colab, and the commands that are started there; a clone makes the folder."""
    monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    monkeypatch.chdir(tmp_path)
    commands = []

    def run(command, check):
        assert check
        commands.append(command)
        if "clone" in command:
            Path(command[-1]).mkdir()
            Path(command[-1], "train.py").touch()

    monkeypatch.setattr(subprocess, "run", run)
    return commands


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_in_colab_the_first_cell_clones_and_installs_once(notebook, in_colab, tmp_path, monkeypatch):
    source = code_cells(notebook)[0].source
    with pytest.raises(AssertionError, match="set REPOSITORY"):
        exec(source, {})
    exec(code_cells(notebook, REPOSITORY="https://host.invalid/some.git")[0].source, {})
    clone, install = in_colab
    assert clone == ["git", "clone", "--depth", "1", "https://host.invalid/some.git", "ViT-Dementia"]
    assert install[1:] == ["-m", "pip", "install", "-q", "-r", "requirements.txt"]
    assert Path.cwd() == tmp_path / "ViT-Dementia"
    exec(source, {})                                            # again: nothing
    assert len(in_colab) == 2
    monkeypatch.chdir(tmp_path)                                 # a new session: installed, not cloned
    exec(source, {})
    assert in_colab[2:] == [install]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_elsewhere_the_first_cell_does_nothing(notebook, in_colab, tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "google.colab")
    exec(code_cells(notebook)[0].source, {})
    assert in_colab == []
    assert Path.cwd() == tmp_path


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebooks_are_kept_without_outputs(notebook):
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
