"""Strict readers of the tables of a finished run: results.csv, split.csv and predictions.csv."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from functions.evaluation.predictions import Predictions, probability_columns
from functions.runtime.csv_files import unescape
from functions.runtime.errors import UserError, not_a_file

CURVES = ("train_loss", "train_acc", "val_loss", "val_acc")
TEST_CURVES = ("test_loss", "test_acc")          # not of runs with --hide_test
SPLIT = ("path", "class", "subject", "split")


def read_curves(path: Path) -> dict[str, list[float]]:
    """Loss and accuracy of every epoch from results.csv, under the keys of the pickle.

    Raises UserError, naming file, row and column, if the table is damaged or holds anything but finite numbers.
    """
    rows = _read(path, ("epoch", *CURVES), TEST_CURVES)
    names = [name for name in ("epoch", *CURVES, *TEST_CURVES) if name in rows[0]]
    curves = {name: [_number(row[name], path, number, name) for number, row in enumerate(rows, 2)] for name in names}
    if curves.pop("epoch") != list(range(1, len(rows) + 1)):
        raise UserError(f"{path} is damaged: its epochs are not 1, 2, … {len(rows)}")
    return curves


def read_split(path: Path) -> pd.DataFrame:
    """split.csv as text: path, class, subject ("" if unknown), split. Raises UserError if it is damaged."""
    rows = _read(path, SPLIT)
    table = pd.DataFrame([[row[name] for name in SPLIT] for row in rows], columns=list(SPLIT), dtype=object)
    for number, row in enumerate(rows, 2):
        if row["split"] not in ("train", "val", "test"):
            raise UserError(f"{path} is damaged: row {number}, split is {row['split'][:60]!r}, not train, val or test")
        if "\0" in row["path"]:
            raise UserError(f"{path} is damaged: row {number}, path contains a NUL")
    return table


def read_predictions(path: Path, class_names: list[str]) -> Predictions:
    """predictions.csv of a run with these classes. Raises UserError if it is damaged or of other classes."""
    columns = probability_columns(class_names)
    rows = _read(path, ("path", "subject", "label", *columns))
    for number, row in enumerate(rows, 2):
        if row["label"] not in class_names:
            raise UserError(f"{path} is damaged: row {number}, label is {row['label'][:60]!r}, not a class of the run")
    p = np.array([[_number(row[name], path, number, name) for name in columns] for number, row in enumerate(rows, 2)])
    if bad := np.flatnonzero((p < 0).any(axis=1) | (np.abs(p.sum(axis=1) - 1) > 1e-3)).tolist():
        raise UserError(f"{path} is damaged: row {bad[0] + 2}, the probabilities are not between 0 and 1 with sum 1")
    return Predictions([row["path"] for row in rows], [row["subject"] or None for row in rows],
                       np.array([class_names.index(row["label"]) for row in rows]), p, class_names)


def _read(path: Path, columns: Sequence[str], together: Sequence[str] = ()) -> list[dict[str, str]]:
    """The rows of a CSV as text; `columns` are required, all or none of `together`, and others are allowed."""
    if why := not_a_file(path):
        raise UserError(f"{path}: {why}")
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            head, *rows = [[unescape(cell) for cell in row] for row in csv.reader(file, strict=True) if row] or [[]]
    except (ValueError, csv.Error) as error:
        raise UserError(f"{path} is damaged: not a CSV in UTF-8 ({' '.join(str(error).split())})") from None
    required = columns if set(together).isdisjoint(head) else (*columns, *together)
    missing = [name for name in required if head.count(name) != 1]
    if missing:
        raise UserError(f"{path} is damaged: missing or repeated columns: {', '.join(missing)}")
    if ragged := [number for number, row in enumerate(rows, 2) if len(row) != len(head)]:
        raise UserError(f"{path} is damaged: row {ragged[0]} does not have {len(head)} fields as the header does")
    if not rows:
        raise UserError(f"{path} is damaged: it has no rows")
    return [dict(zip(head, row, strict=True)) for row in rows]


def _number(text: str, path: Path, row: int, column: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"{path} is damaged: row {row}, {column} is {text[:60]!r}, not a finite number")
    return value
