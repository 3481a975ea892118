"""Baseline features without learning: four numbers per slice, as a baseline."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from data_setup.images.read import read_image
from data_setup.subjects.find import kaggle_slice
from functions.runtime.errors import UserError

BRAIN, DARK, GREY = 20, 80, 150     # of 255: background below the first, fluid below the second, grey below the third
SLABS = 4


def four_numbers(image: np.ndarray) -> np.ndarray:
    """Of one gray slice (H, W): shares of dark, grey and central dark pixels in the brain, and the brain's share of the
    image.

    The brain is everything between the outermost pixels of at least BRAIN in each row; dark is below DARK (fluid), grey
    from DARK to below GREY; the centre is the ellipse of half the brain's height and width.
    """
    bright = image >= BRAIN
    inside = np.maximum.accumulate(bright, axis=1) & np.maximum.accumulate(bright[:, ::-1], axis=1)[:, ::-1]
    size = inside.sum()
    if size == 0:
        return np.zeros(4)
    rows, columns = np.nonzero(inside)
    y = (np.arange(image.shape[0]) - rows.mean()) / ((np.ptp(rows) + 1) / 2)
    x = (np.arange(image.shape[1]) - columns.mean()) / ((np.ptp(columns) + 1) / 2)
    centre = inside & (y[:, None] ** 2 + x**2 < 0.25)
    dark = inside & (image < DARK)
    grey = inside & (image >= DARK) & (image < GREY)
    return np.array([dark.sum() / size, grey.sum() / size, (dark & centre).sum() / max(centre.sum(), 1),
                     size / image.size])


def four_number_probabilities(numbers: np.ndarray, labels: np.ndarray, known: np.ndarray,
                              num_classes: int) -> np.ndarray:
    """Class probabilities (m, K) of the patients not in `known` by a logistic regression fitted to those in `known`.

    `numbers` (n, 16) are rows of `patient_table`, standardised with those in `known` (n,) bool; `labels` (n,) are class
    indices. A class without a patient in `known` has probability 0. No setting is tuned.
    """
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000)).fit(numbers[known], labels[known])
    probabilities = np.zeros((int((~known).sum()), num_classes))
    probabilities[:, model.classes_] = model.predict_proba(numbers[~known])
    return probabilities


def four_number_slices(known: pd.DataFrame, test: pd.DataFrame, class_names: Sequence[str]) -> np.ndarray:
    """Class probabilities (n, K) of the test slices, those of its patient for each: `four_number_probabilities`.

    Fitted to the patients of `known`; both tables have columns path, subject, class. A patient whose slices have
    several labels counts once per label. Raises UserError for unknown patients, fewer than two classes in `known`, or a
    patient with too few slices.
    """
    if known["subject"].isna().any() or test["subject"].isna().any():
        raise UserError("four numbers are averaged over each patient's slices, and some patients are unknown")
    if known["class"].nunique() < 2:
        raise UserError("four numbers need at least two classes to be fitted to")
    numbers, rows = [], []
    for part in (known, test):                            # apart: a patient may be on both sides of a leaky split
        table, found = patient_table(part["path"].tolist(), list(zip(part["subject"], part["class"], strict=True)))
        numbers, rows = [*numbers, table], [*rows, found]
    labels = np.array([class_names.index(name) for found in rows for _, name in found])
    fitted = np.arange(len(labels)) < len(rows[0])
    p = four_number_probabilities(np.concatenate(numbers), labels, fitted, len(class_names))
    row_of = {patient: row for row, patient in enumerate(rows[1])}
    return p[[row_of[patient] for patient in zip(test["subject"], test["class"], strict=True)]]


def patient_table(paths: Sequence[str], subjects: Sequence[str | tuple[str, ...]]) -> tuple[np.ndarray, list]:
    """(patients, 16): each patient's four numbers, averaged in 4 slabs of neighbouring slices; and the ids, sorted.

    An id may be (subject, label): then each label of a patient has a row. Slices are ordered by their number in the
    Kaggle set, otherwise by file name. UserError for a patient with fewer slices than slabs.
    """
    return slab_means(np.array([four_numbers(read_image(path, 1)[:, :, 0]) for path in paths]), paths, subjects)


def slab_means(values: np.ndarray, paths: Sequence[str],
               subjects: Sequence[str | tuple[str, ...]]) -> tuple[np.ndarray, list]:
    """(patients, 4 D): `values` (n, D) of slices as `patient_table` averages its four numbers; and the ids, sorted."""
    stacks = slices_in_order(paths, subjects)
    rows = []
    for subject, stack in stacks.items():
        if len(stack) < SLABS:
            name = subject if isinstance(subject, str) else ", ".join(subject)
            raise UserError(f"patient {name} has {len(stack)} slices, four numbers need at least {SLABS}")
        rows.append(np.concatenate([slab.mean(axis=0) for slab in np.array_split(values[stack], SLABS)]))
    return np.array(rows), list(stacks)


def slices_in_order(paths: Sequence[str], subjects: Sequence[str | tuple[str, ...]]) -> dict:
    """Each id, sorted → the rows of its slices, ordered by their number in the Kaggle set, otherwise by file name."""
    stacks: dict = {}
    for row, (path, subject) in enumerate(zip(paths, subjects, strict=True)):
        known = kaggle_slice(path)
        stacks.setdefault(subject, []).append((known[1] if known else 0, path, row))
    return {subject: [row for *_, row in sorted(stacks[subject])] for subject in sorted(stacks)}
