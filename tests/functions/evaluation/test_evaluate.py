from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from functions.evaluation.calibration import apply_temperature, fit_temperature
from functions.evaluation.comparison import paired
from functions.evaluation.evaluate import (
    NO_VERDICT,
    by_class,
    evaluate,
    evaluate_patients,
    evaluate_slices,
    verdict,
)
from functions.evaluation.intervals import wilson
from functions.evaluation.patients import by_patient
from functions.evaluation.predictions import Predictions
from functions.evaluation.scores import points, score_intervals
from tests.functions.evaluation.cohorts import ORDER, cohort, people_of


def verdict_of(p, y, who, names):
    predictions = Predictions(list(map(str, range(len(y)))), list(map(str, who)), y, p, list(names))
    return evaluate(predictions, names[0], None, permutations=50).patient.scores["auroc_disease"].verdict


@pytest.mark.parametrize(("signal", "verdict"), [(0.0, "not shown to be better"), (1.2, "better"),
                                                 (6.0, "too good: check the split")])
def test_the_verdict_follows_how_much_a_network_knows(signal, verdict):
    p, y, who = people_of(3 if signal else 5, people=90, signal=signal)
    found = evaluate_patients(p, y, who, ORDER, largest=0, healthy=1, resamples=400)
    assert found["auroc_disease"]["verdict"] == verdict
    assert (found["auroc_disease"]["p"] == pytest.approx(1 / 401)) == bool(signal)
    assert found["auroc_disease"]["null"] == pytest.approx(0.5, abs=0.03)
    assert found["balanced_accuracy"]["null"] == pytest.approx(1 / 3, abs=0.03)
    assert [name for name, score in found.items() if "verdict" in score or "p" in score] == ["auroc_disease"]
    if signal > 1.2:
        named = [verdict_of(p, y, who, names) for names in (("mild", "cn", "ad"), ("mild", "normal", "severe"))]
        assert named == ["too good: check the split", "better"], "no AUROC of another disease is known to be too good"
    found = evaluate_patients(p, y, who, ORDER, largest=0, healthy=None, resamples=50)
    assert [name for name, score in found.items() if "verdict" in score] == ["auroc"]


@pytest.mark.parametrize(
    ("given", "words"),
    [({"value": 0.98, "low": 0.95, "p": 0.001}, "too good: check the split"),
     ({"value": 0.98, "low": 0.93, "p": 0.001}, "better"),                  # an honest 0.9 reaches that by chance
     ({"value": 0.98, "low": 0.95, "p": 0.001, "disease": False}, "better"),       # no number is known to compare with
     ({"value": 1.00, "low": 0.70, "p": 0.330}, "not shown to be better"),         # three people
     ({"value": 0.60, "low": 0.45, "p": 0.010}, "not shown to be better"),
     ({"value": 0.70, "low": 0.55, "p": 0.060}, "not shown to be better"),
     ({"value": 1.00, "low": float("nan"), "p": 0.001}, NO_VERDICT),     # a mean of few patients' AUROCs
     ({"value": 0.70, "low": 0.55, "p": float("nan")}, NO_VERDICT),
     ({"value": float("nan"), "low": 0.55, "p": 0.01}, "not scored"),
     ({"value": 0.70, "low": 0.55, "p": 0.010, "seen": True}, "better, on patients it was trained on")],
)
def test_the_verdict_needs_permutations_and_interval_and_distrusts_what_nobody_reaches(given, words):
    assert verdict(**{"constant": 0.5, "disease": True} | given) == words


def test_patients_with_several_labels_count_once_and_have_no_interval_of_rows():
    """Three diseased people, each seen at two stages, beside ten healthy ones: six rows are three people."""
    p, y = np.random.default_rng(0).dirichlet([1, 1, 1], 16), np.r_[np.zeros(10, int), [1, 2] * 3]
    who = np.r_[np.arange(10), np.repeat([10, 11, 12], 2)]
    found = evaluate_patients(p, y, who, [0, 1, 2], 0, healthy=0, resamples=50)
    assert np.isnan(found["auroc_disease"]["value"])
    assert found["auroc_disease"]["verdict"] == "not scored"
    assert not any(np.isfinite(score["low"]) for score in found.values()), "13 people of 16 rows are too few"
    assert not any(row.sensitivity for row in by_class(p, y, who, "abc"))
    many, of = np.r_[np.zeros(12, int), [1, 2] * 12], np.r_[np.arange(12), np.repeat(np.arange(12, 24), 2)]
    q = np.random.default_rng(1).dirichlet([1, 1, 1], 36)
    scored = evaluate_patients(q, many, of, [0, 1, 2], 0, healthy=0, resamples=50)["auroc_disease"]
    assert np.isfinite(scored["value"])
    assert np.isnan(scored["p"]), "those of two labels exchange them among themselves: nothing changes"
    assert scored["verdict"] == NO_VERDICT
    rows = paired(q, np.roll(q, 1, axis=0), many, of, 0)
    assert [name for name, row in rows.items() if np.isfinite(row.low)] == ["accuracy", "brier"]


def test_a_constant_network_has_a_p_value_of_1():
    for healthy, name in ((0, "auroc_disease"), (None, "auroc")):
        found = evaluate_patients(np.full((45, 3), 1 / 3), np.arange(45) % 3, np.arange(45), [0, 1, 2], 0,
                                             healthy, resamples=20)[name]
        assert (found["p"], found["verdict"]) == (1, "not shown to be better")


def test_of_slices_there_is_no_p_value_no_verdict_and_one_interval():
    p, y, who = cohort()
    found = evaluate_slices(p, y, who, ORDER, largest=0, healthy=1)
    assert not any({"p", "verdict", "null"} & set(score) for score in found.values())
    assert [name for name, score in found.items() if np.isfinite(score["low"])] == ["accuracy"]
    unknown = evaluate_slices(p, y, np.arange(len(y)), ORDER, largest=0, healthy=1, known=False)
    assert not any(np.isfinite(score["low"]) for score in unknown.values())


def test_classes_of_few_people_get_counts_and_no_scores():
    p, y, who = people_of(3)
    keep = ~((y == 2) & ~np.isin(who, who[y == 2][:3]))
    p, y, who = p[keep], y[keep], who[keep]
    rows = by_class(p, y, who, ["a", "b", "c"])
    assert (rows[2].sensitivity, rows[2].specificity, rows[2].auroc) == (None, None, None)
    assert rows[2].patients == 3
    share = rows[0].sensitivity
    assert share.value == pytest.approx((p.argmax(1)[y == 0] == 0).mean())
    assert (share.low, share.high) == pytest.approx(tuple(wilson((p.argmax(1)[y == 0] == 0).sum(),
                                                                       (y == 0).sum())))
    called = p.argmax(1) == 1
    assert rows[1].precision.value == pytest.approx((y[called] == 1).mean())
    assert np.isnan(rows[1].precision.low), "no interval with known coverage"
    assert rows[2].precision is None
    never = by_class(np.eye(3)[np.zeros(len(y), int)], y, who, ["a", "b", "c"])
    assert np.isnan(never[1].precision.value), "never predicted"
    assert rows[1].specificity.value == pytest.approx((p.argmax(1)[y != 1] != 1).mean())
    assert rows[0].auroc.value == pytest.approx(roc_auc_score(y == 0, p[:, 0]))
    two = y != 1
    assert by_class(p[two], y[two], who[two], ["a", "b", "c"])[0].specificity is None, (
        "it would be the sensitivity of the few others")
    scored = evaluate_patients(p, y, who, ORDER, 0, healthy=2, resamples=20)
    assert np.isnan(scored["auroc_disease"]["value"])
    assert scored["auroc_disease"]["verdict"] == "not scored"
    few = by_class(p[:19], y[:19], who[:19], ["a", "b", "c"])
    assert np.isnan([row.sensitivity.low for row in few if row.sensitivity]).all()
    assert any(row.sensitivity for row in few)
    values = by_class(p, y, who, ["a", "b", "c"], patients=False)
    assert np.isnan(values[0].auroc.low)


@pytest.mark.parametrize("rows", [[0], [0, 1, 2, 3, 4], [0, 5]], ids=["a slice", "a patient", "two patients"])
def test_next_to_nobody_gives_no_error_and_no_verdict(rows):
    p, y, subjects = (part[rows] for part in cohort(people=40))
    scored = evaluate_patients(*by_patient(p, y, subjects), ORDER, 0, healthy=1, resamples=50)
    assert {score["verdict"] for score in scored.values() if "verdict" in score} == {"not scored"}
    evaluate_slices(p, y, subjects, ORDER, 0, 1)
    by_class(p, y, subjects, ["a", "b", "c"])
    paired(*[by_patient(p, y, subjects)[0]] * 2, *by_patient(p, y, subjects)[1:], 1)


CLASSES = ["MildDemented", "NonDemented"]


def predictions_of(keep=slice(None), copies=1, subjects=True):
    """36 patients of two classes with four slices each, or those of `keep`, each `copies` times."""
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1] * 18, 4)
    p = np.clip(0.5 + 0.2 * (labels == 0) - 0.1 + 0.2 * generator.normal(size=144), 0.01, 0.99)
    chosen = np.tile(np.arange(144)[keep], copies)
    ids = [f"P{i // 4}" if subjects else None for i in chosen]
    return Predictions([f"{i}.png" for i in chosen], ids, labels[chosen], np.stack([p, 1 - p], 1)[chosen], CLASSES)


def test_scores_per_slice_and_per_patient_are_those_of_the_same_functions():
    predictions = predictions_of()
    found = evaluate(predictions, "NonDemented", [1, 0], permutations=50)
    p, y, ids = by_patient(predictions.probabilities, predictions.labels, predictions.subjects)
    assert (found.slice.count, found.patient.count) == (144, 36)
    for name, value in points(p, y, [1, 0], healthy=1).items():
        assert found.patient.scores[name].value == value
    for name, (low, high) in score_intervals(p, y, ids, 1, [0, 1]).items():
        assert (found.patient.scores[name].low, found.patient.scores[name].high) == (low, high)
    accuracy = found.slice.scores["accuracy"]
    assert accuracy.low < accuracy.value < accuracy.high
    assert np.isnan(found.slice.scores["auroc"].low), "of slices the accuracy alone has an interval"
    assert found.patient.scores["accuracy"].constant == 0.5
    assert (found.primary, found.order) == ("auroc_disease", ["NonDemented", "MildDemented"])
    assert found.patient.scores["auroc_disease"].verdict == "better"
    assert "kappa" not in evaluate(predictions, "NonDemented", None, permutations=0).patient.scores


def test_without_permutations_there_is_no_p_value_and_no_verdict():
    scores = evaluate(predictions_of(), "NonDemented", None, permutations=0).patient.scores.values()
    assert not any(score.verdict or np.isfinite(score.p) or np.isfinite(score.null) for score in scores)


def test_of_unknown_patients_there_are_slice_scores_alone():
    found = evaluate(predictions_of(subjects=False), "NonDemented", None, permutations=20)
    assert found.patient is None
    assert list(found.units) == ["slice"]
    assert not any(np.isfinite(score.low) or score.verdict for score in found.slice.scores.values())


def test_repeated_slices_leave_intervals_as_wide_as_they_were():
    """Intervals come from patients: nine copies of each slice are no new evidence."""
    once, often = (evaluate(predictions_of(copies=n), "NonDemented", None, permutations=0) for n in (1, 9))
    for unit, name in [("slice", "accuracy"), *(("patient", name) for name in (
            "accuracy", "balanced_accuracy", "auroc", "auroc_disease"))]:
        one, nine = (found.units[unit].scores[name] for found in (once, often))
        assert (nine.low, nine.high) == pytest.approx((one.low, one.high), abs=1e-9), (unit, name)
    assert once.slice.scores["accuracy"].high - once.slice.scores["accuracy"].low > 0.05


@pytest.mark.parametrize("largest", CLASSES)
def test_the_constant_answer_is_the_largest_class_of_training(largest):
    """Whatever class is the largest of test: 131 slices, of which 59 of 15 patients are MildDemented."""
    keep = np.setdiff1d(np.arange(144), [*range(4), *range(8, 12), *range(16, 20), 24])
    found = evaluate(predictions_of(keep), largest, None, permutations=0)
    mild = largest == "MildDemented"
    assert found.slice.scores["accuracy"].constant == pytest.approx((59 if mild else 72) / 131)
    assert found.patient.scores["accuracy"].constant == pytest.approx((15 if mild else 18) / 33)


def test_the_temperature_is_fitted_on_validation_and_applied_to_test():
    test, val = predictions_of(), predictions_of(slice(0, 60))
    val = replace(val, probabilities=apply_temperature(val.probabilities, 0.5))
    found = evaluate(test, "NonDemented", None, val=val, permutations=0).calibration
    assert found.temperature == fit_temperature(val.probabilities, val.labels)
    assert found.temperature != pytest.approx(fit_temperature(test.probabilities, test.labels), rel=0.1)
    for p, ece in ((test.probabilities, found.ece_before),
                   (apply_temperature(test.probabilities, found.temperature), found.ece_after)):
        assert ece == points(p, test.labels, [0, 1])["ece"]
    assert evaluate(test, "NonDemented", None, permutations=0).calibration is None


def test_a_difference_is_this_network_minus_the_other():
    test = predictions_of()
    other = np.full_like(test.probabilities, 0.5)
    found = evaluate(test, "NonDemented", None, other=other, permutations=0)
    scores = points(*test.rows("patient", other)[:2], [0, 1], healthy=1)
    assert found.against["auroc_disease"].value > 0
    for name, difference in found.against.items():
        assert difference.value == pytest.approx(found.patient.scores[name].value - scores[name]), name


def test_patients_of_several_labels_are_counted_once():
    """36 patients, of whom every second comes again with the other label: 54 rows."""
    predictions = predictions_of()
    labels = predictions.labels.copy()
    labels[2::8] = 1 - labels[2::8]
    found = evaluate(replace(predictions, labels=labels), "NonDemented", None, permutations=0)
    assert found.patient.count == 36
    assert sum(row.rows for row in found.patient.classes) == 54
