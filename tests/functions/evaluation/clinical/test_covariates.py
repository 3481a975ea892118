import numpy as np
import pandas as pd

from functions.evaluation.clinical.covariates import SEVERAL, covariates, of_patients
from functions.evaluation.predictions import Predictions


def columns(**values):
    return pd.DataFrame({"age": np.nan, "sex": None, "site": None, "scanner": None} | values)


def test_covariates_are_in_the_order_of_the_patients_rows():
    subjects, labels = ["b", "a", "b", "c", "a"], np.array([1, 0, 1, 0, 0])
    predictions = Predictions([f"{k}.png" for k in range(5)], subjects, labels, np.full((5, 2), 0.5), ["CN", "AD"])
    found = of_patients(predictions, columns(age=[70, 60, 72, np.nan, np.nan], sex=["F", "M", "F", "O", None],
                                             site=["x", "y", "z", None, "y"]))
    assert predictions.rows("patient")[2].tolist() == ["a", "b", "c"]
    assert found.age.tolist()[:2] == [60, 71]
    assert np.isnan(found.age[2])
    assert found.sex.tolist() == ["M", "F", "O"]
    assert found.site.tolist() == ["y", SEVERAL, None]
    assert found.scanner.tolist() == [None] * 3


def test_a_patient_with_two_labels_has_two_rows():
    found = covariates([("a", 1), ("a", 0), ("a", 1)], columns(age=[72, 70, 74]))
    assert found.age.tolist() == [70, 73]
