"""The table of all finished rows: zero-shot AUROC, frozen features with a head, differences from four numbers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.pretraining.figures import People
from benchmarks.timing import table
from benchmarks.transfer.cohort import Results
from benchmarks.transfer.table import log_odds, signed
from functions.cross_validation.cohort import Cohort
from functions.cross_validation.pooled import paired_auroc, pooled_auroc

HEAD = ("network", "r² ventricles, sulci, age on other generated people", "AUROC, all outputs", "minus four numbers",
        "AUROC, visible outputs", "minus four numbers ", "sum with four numbers, minus four numbers",
        "AUROC of its ventricles, sulci", "AUROC, ridge head on class tokens", "minus four numbers  ")


def write_table(out: Path, cohort: Cohort) -> str:
    """Writes OUT/table.md and returns it."""
    base = Results(out, "four_numbers", cohort)
    four, positive = base.complete().asked()
    found = pooled_auroc(four, positive)
    rows = [["four numbers", *[""] * 7, _interval(found), ""]]
    for file in sorted(out.glob("*--ridge.csv")):
        name = file.stem.removesuffix("--ridge")
        head, _ = Results(out, file.stem, cohort).complete().asked()
        zero = zero_shot(out, name, base.ids, four, positive) if name != "untrained" else [""] * 7
        rows.append([name, *zero, _interval(pooled_auroc(head, positive)), _gap(head, four, positive)])
    text = table(HEAD, rows)
    (out / "table.md").write_text(text + "\n", encoding="utf-8")
    return text


def zero_shot(out: Path, name: str, ids: np.ndarray, four: np.ndarray, positive: np.ndarray) -> list[str]:
    """The columns of a network that was trained on generated people only."""
    outputs = pd.read_csv(out / f"{name}.outputs.csv", dtype={"subject": str}).set_index("subject").loc[ids]
    explained = pd.read_csv(out / f"{name}.explained.csv").iloc[0]
    learnt = ", ".join(f"{explained[key]:.2f}" for key in ("ventricle_share", "sulcus_share", "age"))
    alone = ", ".join(f"{pooled_auroc(outputs[key].to_numpy()[None], positive).value:.3f}"
                      for key in ("ventricle_share", "sulcus_share"))
    whole, visible = (outputs[key].to_numpy()[None] for key in ("p_all", "p_visible"))
    both = log_odds(visible) + log_odds(four)
    return [learnt, *(text for p in (whole, visible) for text in (_interval(pooled_auroc(p, positive)),
                                                                  _gap(p, four, positive))),
            _gap(both, four, positive), alone]


def by_people(out: Path, cohort: Cohort, rows: Mapping[str, Any]) -> tuple[list[People], float]:
    """(the finished ones of `rows` with the AUROC of their visible outputs, the AUROC of four numbers)."""
    base = Results(out, "four_numbers", cohort)
    four, positive = base.complete().asked()
    found = []
    for name, row in rows.items():
        if (file := out / f"{name}.outputs.csv").exists():
            outputs = pd.read_csv(file, dtype={"subject": str}).set_index("subject").loc[base.ids]
            found.append(People(row.people, row.steps, row.seed,
                                pooled_auroc(outputs["p_visible"].to_numpy()[None], positive)))
    return found, pooled_auroc(four, positive).value


def _interval(found) -> str:
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


def _gap(first: np.ndarray, second: np.ndarray, positive: np.ndarray) -> str:
    return signed(paired_auroc(first, second, positive))
