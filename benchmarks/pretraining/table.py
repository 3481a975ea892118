"""The table of all finished rows: zero-shot AUROC, frozen features with a head, differences from four numbers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.pretraining.figures import People
from benchmarks.timing import table
from benchmarks.transfer.cohort import Results
from benchmarks.transfer.table import interval, log_odds, signed
from functions.cross_validation.cohort import Cohort
from functions.cross_validation.pooled import paired_auroc, pooled_auroc
from functions.runtime.csv_files import read_csv

HEAD = ("network", "r² ventricles, sulci, age on other generated people", "AUROC, all outputs", "minus four numbers",
        "AUROC, visible outputs", "minus four numbers ", "sum with four numbers, minus four numbers",
        "AUROC of its ventricles, sulci", "AUROC, ridge head on class tokens", "minus four numbers  ")

PEOPLE_HEAD = ("steps", "generated people", "seeds", "AUROC, all outputs", "minus four numbers",
               "AUROC, visible outputs", "minus four numbers ", "visible outputs, minus fewest people")


def write_table(out: Path, cohort: Cohort) -> str:
    """Writes OUT/table.md and returns it."""
    base = Results(out, "four_numbers", cohort)
    four, positive = base.complete().asked()
    found = pooled_auroc(four, positive)
    rows = [["four numbers", *[""] * 7, interval(found), ""]]
    for file in sorted(out.glob("*--ridge.csv")):
        name = file.stem.removesuffix("--ridge")
        head, _ = Results(out, file.stem, cohort).complete().asked()
        zero = zero_shot(out, name, base.ids, four, positive) if name != "untrained" else [""] * 7
        rows.append([name, *zero, interval(pooled_auroc(head, positive)), _gap(head, four, positive)])
    text = table(HEAD, rows)
    (out / "table.md").write_text(text + "\n", encoding="utf-8")
    return text


def zero_shot(out: Path, name: str, ids: np.ndarray, four: np.ndarray, positive: np.ndarray) -> list[str]:
    """The columns of a network that was trained on generated people only."""
    outputs = _outputs(out, name, ids)
    explained = pd.read_csv(out / f"{name}.explained.csv").iloc[0]
    learnt = ", ".join(f"{explained[key]:.2f}" for key in ("ventricle_share", "sulcus_share", "age"))
    alone = ", ".join(f"{pooled_auroc(outputs[key].to_numpy()[None], positive).value:.3f}"
                      for key in ("ventricle_share", "sulcus_share"))
    whole, visible = (outputs[key].to_numpy()[None] for key in ("p_all", "p_visible"))
    both = log_odds(visible) + log_odds(four)
    return [learnt, *(text for p in (whole, visible) for text in (interval(pooled_auroc(p, positive)),
                                                                  _gap(p, four, positive))),
            _gap(both, four, positive), alone]


def by_people(out: Path, cohort: Cohort, rows: Mapping[str, Any]) -> tuple[list[People], float]:
    """(the finished ones of `rows` with the AUROC of their visible outputs, the AUROC of four numbers).

    Writes and prints OUT/people.md, the table of `over_seeds`.
    """
    base = Results(out, "four_numbers", cohort)
    four, positive = base.complete().asked()
    done = {name: row for name, row in rows.items() if (out / f"{name}.outputs.csv").exists()}
    outputs = {(row.people, row.steps, row.seed): _outputs(out, name, base.ids) for name, row in done.items()}
    text = table(PEOPLE_HEAD, over_seeds(outputs, four, positive))
    (out / "people.md").write_text(text + "\n", encoding="utf-8")
    print(text)
    return [People(*key, pooled_auroc(one["p_visible"].to_numpy()[None], positive))
            for key, one in outputs.items()], pooled_auroc(four, positive).value


def over_seeds(outputs: Mapping[tuple[int, int, int], pd.DataFrame], four: np.ndarray,
               positive: np.ndarray) -> list[list[str]]:
    """Rows of PEOPLE_HEAD: the mean log-odds over the seeds of networks with equal numbers of people and steps.

    `outputs` are the patients' p_all and p_visible by (people, steps, seed). Networks of more people are compared with
    those of the fewest, at equal steps and seeds.
    """
    seeds: dict[tuple[int, int], list[int]] = {}
    for people, steps, seed in sorted(outputs):
        seeds.setdefault((people, steps), []).append(seed)

    def mean(group: tuple[int, int], readout: str) -> np.ndarray:
        return np.mean([log_odds(outputs[*group, seed][readout].to_numpy()[None]) for seed in seeds[group]], axis=0)

    rows = []
    for group in sorted(seeds, key=lambda one: one[::-1]):
        fewest = min(other for other in seeds if other[1] == group[1] and seeds[other] == seeds[group])
        whole, visible = mean(group, "p_all"), mean(group, "p_visible")
        rows.append([f"{group[1]:,}", f"{group[0]:,}", ", ".join(map(str, seeds[group])),
                     *(text for score in (whole, visible) for text in (interval(pooled_auroc(score, positive)),
                                                                       _gap(score, four, positive))),
                     _gap(visible, mean(fewest, "p_visible"), positive) if fewest != group else ""])
    return rows


def _outputs(out: Path, name: str, ids: np.ndarray) -> pd.DataFrame:
    return read_csv(out / f"{name}.outputs.csv", ("subject",)).set_index("subject").loc[ids]


def _gap(first: np.ndarray, second: np.ndarray, positive: np.ndarray) -> str:
    return signed(paired_auroc(first, second, positive))
