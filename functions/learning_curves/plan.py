"""What a comparison consists of: its folder, its fits, and what keeps a folder from being continued with other data."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from functions.checkpointing.run_folder import write_table
from functions.cross_validation.cohort import Cohort
from functions.learning_curves.cells import Cell, Cells, Curve, Fit
from functions.learning_curves.methods import METHODS, size_name
from functions.learning_curves.subsets import missing_classes, training_order, training_slices
from functions.runtime.atomic_files import write_json
from functions.runtime.errors import UserError, not_a_file
from functions.runtime.json_files import read_json


@dataclass
class Plan:
    """Methods and numbers of training patients on the folds of a cohort, in `folder`; `seed` is that of the subsets."""

    folder: Path
    cohort: Cohort
    methods: list[str]
    sizes: list[int]
    seed: int
    orders: dict[tuple[int, int], list[str]] = field(init=False)      # (repeat, fold) → its training patients

    def __post_init__(self):
        self.orders = {(repeat, fold): training_order(self.cohort, repeat, fold, self.seed)
                       for repeat in range(len(self.cohort.folds)) for fold in range(self.cohort.num_folds)}

    @property
    def cells(self) -> list[Cell]:
        """All fits, method by method and size by size."""
        return [Cell(method, size, *key) for method in self.methods for size in self.sizes for key in self.orders]

    def known(self, cell: Cell) -> np.ndarray:
        """The training slices of a fit, bool (n,)."""
        return training_slices(self.cohort, self.orders[cell.repeat, cell.fold], cell.size, cell.repeat, cell.fold)

    def write_subsets(self) -> None:
        """subsets.csv: of every repeat and fold the training patients in order; a subset is a beginning of it."""
        rows = [(repeat + 1, fold + 1, place, subject) for (repeat, fold), order in self.orders.items()
                for place, subject in enumerate(order, start=1)]
        write_table(self.folder / "subsets.csv", pd.DataFrame(rows, columns=["repeat", "fold", "place", "subject"]))

    def curves(self) -> dict[tuple[str, int], Curve]:
        """The complete curves' points, (method, size) → point."""
        cells = Cells(self.folder, self.cohort)
        points = {(method, size): cells.curve(method, size) for method in self.methods for size in self.sizes}
        return {key: point for key, point in points.items() if point}

    def incomplete(self, curves: dict[tuple[str, int], Curve]) -> list[str]:
        """A line for each method with a number of patients whose fits are not all on disk."""
        return [f"not complete, hence left out: {METHODS[method].title} with {size_name(size)} patients"
                for method in self.methods for size in self.sizes if (method, size) not in curves]

    def class_notes(self) -> list[str]:
        """Which classes have no training patient in how many folds, for each size."""
        notes = []
        for size in self.sizes:
            lacking = [name for key in self.orders for name in missing_classes(self.cohort, self.known(
                Cell("", size, *key)))]
            notes += [f"with {size_name(size)} patients: no training patient of {name} in {lacking.count(name)} of "
                      f"{len(self.orders)} folds; it cannot be learnt there" for name in dict.fromkeys(lacking)]
        return notes


def start_folder(folder: Path, facts: dict[str, Any], weights: dict[str, str]) -> None:
    """Creates the folder with plan.json, or continues in it; UserError if it holds another comparison.

    `facts` must be those of the folder. `weights` are hashes by kind: a kind may be added, but not changed.
    """
    file = folder / "plan.json"
    known: dict[str, Any] = {"facts": facts, "weights": {}}
    if folder.exists() and not_a_file(file):
        raise UserError(f"{folder} exists and holds no comparison: name another folder with --out")
    if folder.exists():
        known = read_json(file)
    for name, value in facts.items():
        if known.get("facts", {}).get(name) != value:
            raise UserError(f"{folder} holds a comparison with another {name}: name another folder with --out, or give "
                            "the flags that it was made with")
    for kind, digest in weights.items():
        if known["weights"].setdefault(kind, digest) != digest:
            raise UserError(f"{folder} holds a comparison with other weights of {kind}: name another folder with --out")
    folder.mkdir(parents=True, exist_ok=True)
    write_json(file, known)


def plan_facts(folder: Path) -> dict[str, Any]:
    """What plan.json says, for the report."""
    content = read_json(folder / "plan.json")
    return content["facts"] | {f"weights of {kind}, sha256": digest for kind, digest in content["weights"].items()}


def run_fits(plan: Plan, cells: Sequence[Cell], make: Callable[[str], Callable],
             finished: Callable[[Cell, Fit], None]) -> None:
    """Fits the cells that are not on disk: make(method) → fit(known, tested, seed) → (probabilities, images).

    `make` is called once for each method with an unfinished cell; `finished(cell, fit)` after each fit is on disk.
    """
    store, fits = Cells(plan.folder, plan.cohort), {}
    for cell in cells:
        if store.finished(cell):
            continue
        if cell.method not in fits:
            fits = {cell.method: make(cell.method)}              # the previous one is dropped, with its images
        known = plan.known(cell)
        began, spent = time.perf_counter(), time.process_time()
        probabilities, images = fits[cell.method](known, plan.cohort.tested(cell.repeat, cell.fold),
                                                  1000 * (1000 * plan.seed + cell.repeat) + cell.fold)
        done = Fit(probabilities, round(time.perf_counter() - began, 3), round(time.process_time() - spent, 3), images,
                   len(set(plan.cohort.subjects[known])))
        store.write(cell, done)
        finished(cell, done)
