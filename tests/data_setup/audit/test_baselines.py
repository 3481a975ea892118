import numpy as np
import pandas as pd
import pytest
from PIL import Image

from data_setup.audit.baseline_features import four_number_slices
from data_setup.audit.baselines import baseline_probabilities
from data_setup.loading.predict_data import RowsToScore
from functions.runtime.errors import UserError

NAMES = ["AD", "CN"]


@pytest.fixture
def rows(tmp_path):
    """Train, val and test patients of four slices; AD has a dark middle in every split."""
    parts = {}
    for split, patients in (("train", 6), ("val", 2), ("test", 3)):
        table = []
        for label, name in enumerate(NAMES):
            for patient in range(patients):
                for z in range(4):
                    path = tmp_path / f"{split}{name}{patient}_{z}.png"
                    pixels = np.full((16, 12), 180 + patient, np.uint8)
                    pixels[5:11, 4:8] = 170 if name == "CN" else 40
                    Image.fromarray(pixels).save(path)
                    table.append((str(path), name, label, f"{split}{name}{patient}", str(path)))
        parts[split] = pd.DataFrame(table, columns=["path", "class", "label", "subject", "who"])
    return RowsToScore(parts, 1)


def test_four_numbers_are_fitted_to_training_and_validation_and_score_the_test_slices(rows):
    p = baseline_probabilities("four_numbers", rows, NAMES)
    assert (p.argmax(axis=1) == rows.test["label"]).all()
    assert all(len(np.unique(p[rows.test["subject"] == one], axis=0)) == 1 for one in rows.test["subject"].unique())
    shuffled = rows.test.sample(frac=1, random_state=0)
    known = pd.concat([rows.parts["train"], rows.parts["val"]])
    np.testing.assert_allclose(four_number_slices(known, shuffled, NAMES), p[shuffled.index])
    wrong = known.assign(**{"class": known["class"].map({"AD": "CN", "CN": "AD"})})
    assert (four_number_slices(wrong, rows.test, NAMES).argmax(axis=1) != rows.test["label"]).all()
    without = RowsToScore({name: part for name, part in rows.parts.items() if name != "val"}, 1)
    assert not np.allclose(baseline_probabilities("four_numbers", without, NAMES), p), "validation patients count"


def test_the_constant_is_the_largest_training_class_and_a_run_is_no_baseline(rows):
    np.testing.assert_array_equal(baseline_probabilities("constant", rows, NAMES), [[0, 1]] * 24)
    assert baseline_probabilities("runs/constant", rows, NAMES) is None
    assert baseline_probabilities("", rows, NAMES) is None


def test_what_cannot_be_fitted_is_one_line(rows):
    with pytest.raises(UserError, match="--against four_numbers is fitted to the run's training and validation slices"):
        baseline_probabilities("four_numbers", RowsToScore({"test": rows.test}, 1), NAMES)
    unknown = rows.test.assign(subject=None)
    with pytest.raises(UserError, match="--against four_numbers: .* some patients are unknown"):
        baseline_probabilities("four_numbers", RowsToScore(rows.parts | {"test": unknown}, 1), NAMES)
    with pytest.raises(UserError, match="has 2 slices, four numbers need at least 4"):
        baseline_probabilities("four_numbers", RowsToScore(rows.parts | {"test": rows.test[:2]}, 1), NAMES)
    one = {name: part[part["class"] == "CN"] for name, part in rows.parts.items()}
    with pytest.raises(UserError, match="at least two classes"):
        baseline_probabilities("four_numbers", RowsToScore(one, 1), NAMES)
