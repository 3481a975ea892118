"""Baselines that a network is compared with on the same test slices, by name."""

import numpy as np
import pandas as pd

from data_setup.audit.baseline_features import four_number_slices
from data_setup.listing.class_folders import class_name
from data_setup.loading.predict_data import RowsToScore
from functions.runtime.errors import UserError

CONSTANT, FOUR_NUMBERS = "constant", "four_numbers"


def baseline_probabilities(name: str, rows: RowsToScore, class_names: list[str]) -> np.ndarray | None:
    """Class probabilities (n, K) of the baseline for the test slices; None if `name` is not that of a baseline.

    CONSTANT always predicts the largest training class. FOUR_NUMBERS is a logistic regression on four pixel statistics,
    fitted to the run's training and validation patients. Raises UserError if it cannot be fitted.
    """
    if name == CONSTANT:
        return np.eye(len(class_names))[np.full(len(rows.test), rows.largest)]
    if name != FOUR_NUMBERS:
        return None
    if "train" not in rows.parts:
        raise UserError(f"--against {name} is fitted to the run's training and validation slices, which are not "
                        "available")
    known = pd.concat([rows.parts[part] for part in ("train", "val") if part in rows.parts])
    try:
        return four_number_slices(known, rows.test, [class_name(one) for one in class_names])
    except UserError as error:
        raise UserError(f"--against {name}: {error}") from None
