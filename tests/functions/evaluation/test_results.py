import numpy as np
import pandas as pd
import pytest

from functions.evaluation import metrics
from functions.evaluation.results import (
    OTHER_COLUMNS,
    prediction_table,
    probability_columns,
    result_lines,
    score_predictions,
)

CLASSES = ["MildDemented", "NonDemented"]


@pytest.fixture
def predictions():
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1] * 18, 4)
    p = np.clip(0.5 + 0.2 * (labels == 0) - 0.1 + 0.2 * generator.normal(size=144), 0.01, 0.99)
    subjects = [f"P{i // 4}" for i in range(144)]
    return prediction_table([f"{i}.png" for i in range(144)], subjects, labels, np.stack([p, 1 - p], 1), CLASSES)


def test_predictions_name_path_subject_label_and_every_class(predictions, tmp_path):
    predictions.to_csv(tmp_path / "p.csv", index=False)
    again = pd.read_csv(tmp_path / "p.csv")
    assert list(again.columns) == ["path", "subject", "label", *CLASSES]
    np.testing.assert_allclose(again[CLASSES].sum(axis=1), 1)


def test_scores_per_slice_and_per_patient_stand_beside_the_constant_answer(predictions):
    scored = score_predictions(predictions, CLASSES, largest="NonDemented")
    labels = (predictions["label"] == "NonDemented").to_numpy().astype(int)
    p = predictions[CLASSES].to_numpy()
    patients = metrics.by_patient(p, labels, predictions["subject"].to_numpy(dtype=str))
    assert (scored["slice"]["count"], scored["patient"]["count"]) == (144, 36)
    for name, value in metrics.scores(*patients[:2], healthy=1).items():
        assert scored["patient"][name]["value"] == value
        assert scored["patient"][name]["low"] <= value <= scored["patient"][name]["high"]
    assert scored["slice"]["accuracy"]["low"] < scored["slice"]["accuracy"]["value"]
    assert np.isnan(scored["slice"]["auroc"]["low"]), "of slices the accuracy alone has an interval"
    assert scored["patient"]["accuracy"]["constant"] == 0.5
    lines = result_lines(scored, "NonDemented", patients_known=True)
    assert len(lines) == 6
    assert f"{scored['patient']['auroc']['value']:.1%} [" in lines[3]
    assert lines[3].count("50.0%") == 2


def test_slices_of_unknown_patients_count_one_by_one(predictions):
    predictions["subject"] = None
    scored = score_predictions(predictions, CLASSES, "NonDemented")
    assert scored["patient"]["count"] == 144
    text = "\n".join(result_lines(scored, "NonDemented", patients_known=False))
    assert "per patient" not in text
    assert "patients unknown: no intervals" in text
    assert "[" not in text


def test_one_class_alone_is_said_not_to_be_measurable(predictions):
    only = predictions[predictions["label"] == "NonDemented"]
    text = "\n".join(result_lines(score_predictions(only, CLASSES, "NonDemented"), "NonDemented", patients_known=True))
    assert "not scored" in text
    assert "nan" not in text


def test_an_interval_without_width_is_not_shown_as_certainty(predictions):
    two = predictions[predictions["subject"].isin(["P0", "P1"])]
    text = "\n".join(result_lines(score_predictions(two, CLASSES, "NonDemented"), "NonDemented", patients_known=True))
    assert "[" not in text.splitlines()[2]
    assert "fewer than 5 patients, not scored" in text
    assert "MildDemented (1), NonDemented (1)" in text


@pytest.mark.parametrize("names", [["path", "AD"], ["stamps", "subject", "label"], ["path", "class path", "x"],
                                   ["class path", "path"], ["(all)", "$\\frac$", "=1+1"], ["a,b", 'q"', "a\nb"]])
def test_a_class_of_any_name_has_a_column_of_its_own(names):
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet(np.ones(len(names)), 12)
    labels = np.arange(12) % len(names)
    subjects = [f"P{number // 2}" for number in range(12)]
    table = prediction_table([f"{n}.png" for n in range(12)], subjects, labels, probabilities, names)
    assert len(set(table.columns)) == 3 + len(names) == len(table.columns)
    columns = probability_columns(names)
    np.testing.assert_array_equal(table[columns], probabilities)
    assert table["path"].tolist() == [f"{n}.png" for n in range(12)]
    assert not {"path", "subject", "label", "stamps"} & set(columns)
    assert all(column == name for column, name in zip(columns, names, strict=True) if name not in OTHER_COLUMNS)
    scored = score_predictions(table, names, names[0])
    assert scored["slice"]["accuracy"]["value"] == (probabilities.argmax(1) == labels).mean()


def test_repeated_slices_leave_intervals_as_wide_as_they_were(predictions):
    """Intervals come from patients: nine copies of each slice are no new evidence."""
    once = score_predictions(predictions, CLASSES, "NonDemented")
    often = score_predictions(pd.concat([predictions] * 9, ignore_index=True), CLASSES, "NonDemented")
    asked = [("slice", "accuracy"), *(("patient", name) for name in ("accuracy", "balanced_accuracy", "auroc",
                                                                     "auroc_disease"))]
    for unit, name in asked:
        assert [often[unit][name][end] for end in ("low", "high")] == pytest.approx(
            [once[unit][name][end] for end in ("low", "high")], abs=1e-9), (unit, name)
    assert once["slice"]["accuracy"]["high"] - once["slice"]["accuracy"]["low"] > 0.05


@pytest.mark.parametrize("largest", CLASSES)
def test_the_constant_answer_is_the_largest_class_of_training(predictions, largest):
    """Whatever class is the largest of test: here 28 slices and 7 patients of 9 are NonDemented."""
    table = predictions[~predictions["subject"].isin(["P0", "P2", "P4"])]
    table = table.drop(table.index[table["subject"] == "P6"][:1])
    scored = score_predictions(table, CLASSES, largest)
    for unit, part in (("slice", table), ("patient", table.drop_duplicates("subject"))):
        share = (part["label"] == largest).mean()
        assert share != 0.5
        assert scored[unit]["accuracy"]["constant"] == pytest.approx(share)
