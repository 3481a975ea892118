import numpy as np
import pandas as pd
import pytest

from functions.evaluation.evaluate import evaluate
from functions.evaluation.predictions import OTHER_COLUMNS, Predictions, probability_columns

CLASSES = ["MildDemented", "NonDemented"]


@pytest.fixture
def predictions():
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1] * 18, 4)
    p = np.clip(0.5 + 0.2 * (labels == 0) - 0.1 + 0.2 * generator.normal(size=144), 0.01, 0.99)
    subjects = [f"P{i // 4}" for i in range(144)]
    return Predictions([f"{i}.png" for i in range(144)], subjects, labels, np.stack([p, 1 - p], 1), CLASSES)


def test_predictions_name_path_subject_label_and_every_class(predictions, tmp_path):
    predictions.table().to_csv(tmp_path / "p.csv", index=False)
    again = pd.read_csv(tmp_path / "p.csv")
    assert list(again.columns) == ["path", "subject", "label", *CLASSES]
    np.testing.assert_allclose(again[CLASSES].sum(axis=1), 1)


def test_slices_of_unknown_patients_count_one_by_one(predictions):
    unknown = [None, np.nan, *predictions.given_subjects[2:]]
    some = Predictions(predictions.paths, unknown, predictions.labels, predictions.probabilities, CLASSES)
    assert predictions.patients_known
    assert not some.patients_known
    assert some.subjects[:5].tolist() == ["0.png", "1.png", "P0", "P0", "P1"]
    assert len(some.rows("patient")[1]) == 36 + 2
    assert predictions.rows("slice", other := np.zeros((144, 2)))[0] is other


@pytest.mark.parametrize("names", [["path", "AD"], ["stamps", "subject", "label"], ["path", "class path", "x"],
                                   ["class path", "path"], ["(all)", "$\\frac$", "=1+1"], ["a,b", 'q"', "a\nb"]])
def test_a_class_of_any_name_has_a_column_of_its_own(names):
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet(np.ones(len(names)), 12)
    labels = np.arange(12) % len(names)
    subjects = [f"P{number // 2}" for number in range(12)]
    predictions = Predictions([f"{n}.png" for n in range(12)], subjects, labels, probabilities, names)
    table = predictions.table()
    assert len(set(table.columns)) == 3 + len(names) == len(table.columns)
    columns = probability_columns(names)
    np.testing.assert_array_equal(table[columns], probabilities)
    assert table["path"].tolist() == [f"{n}.png" for n in range(12)]
    assert not {"path", "subject", "label", "stamps"} & set(columns)
    assert all(column == name for column, name in zip(columns, names, strict=True) if name not in OTHER_COLUMNS)
    evaluated = evaluate(predictions, names[0], None, permutations=0)
    assert evaluated.slice.scores["accuracy"].value == (probabilities.argmax(1) == labels).mean()
