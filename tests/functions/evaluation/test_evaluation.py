import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from functions.evaluation.clinical.clinical import clinical
from functions.evaluation.evaluate import evaluate
from functions.evaluation.evaluation import Metrics, Score, _check_score, read_metrics
from functions.evaluation.predictions import Predictions
from functions.runtime.atomic_files import write_json
from functions.runtime.errors import UserError
from tests.functions.evaluation.cohorts import cohort
from tests.functions.plain import json_variants, refusal

SCORE = {"value": 0.8, "low": 0.7, "high": 0.9, "constant": 0.5}
CLASSES = [{"name": "AD", "patients": 20, "rows": 40, "auroc": SCORE}, {"name": "CN", "patients": 20, "rows": 40}]
UNIT = {"count": 40, "scores": {"accuracy": SCORE, "auroc_disease": SCORE | {"p": 0.01, "verdict": "better"}},
        "classes": CLASSES}
TEST = {"class_names": ["AD", "CN"], "largest": "AD", "primary": "auroc_disease", "slice": UNIT, "patient": UNIT}
METRICS = {"version": 2, "test": TEST, "caveats": [], "best_epoch": 2, "commit": None, "versions": {"python": "3.11"}}
OLD_UNIT = {"count": 40, "classes": {"AD": 20, "CN": 20}, "accuracy": SCORE, "balanced_accuracy": SCORE,
            "auroc": SCORE, "auroc_disease": SCORE}
OLD = {"test": {"slice": OLD_UNIT | {"classes": {"AD": 60, "CN": 80}}, "patient": OLD_UNIT}, "best_epoch": 2,
       "largest": "AD", "stamps": []}
GONE = object()


def broken(content, key, value):
    content = json.loads(json.dumps(content))                 # without shared parts
    *way, last = key.split("/")
    place = content
    for name in way:
        place = place[int(name) if name.isdigit() else name]
    if value is GONE:
        del place[last]
    else:
        place[last] = value
    return content


def written(tmp_path, content):
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps(content))
    return path


def test_what_an_evaluation_writes_is_read_as_it_was(tmp_path):
    p, y, who = cohort(people=45)
    paths = [f"{number}.png" for number in range(len(y))]
    predictions = Predictions(paths, who, y, p, ["Mild", "NonDemented", "Severe"])
    test = evaluate(predictions, "Mild", [1, 0, 2], val=predictions, other=np.roll(p, 1, axis=0),
                    nearest=(y, np.roll(y, 3)), permutations=20)
    test = replace(test, clinical=clinical(predictions, predictions, 0.1), rival="four_numbers")
    assert test.clinical.operating_point
    metrics = Metrics(test, ["LEAKY SPLIT"], best_epoch=3, probe=replace(test, calibration=None), checkpoint="best.pt")
    write_json(tmp_path / "metrics.json", asdict(metrics) | {"command": "evaluate.py"})
    np.testing.assert_equal(asdict(read_metrics(tmp_path / "metrics.json")), asdict(metrics))
    unknown = evaluate(replace(predictions, given_subjects=[None] * len(y)), "Mild", None)
    write_json(tmp_path / "metrics.json", asdict(Metrics(unknown, [])))
    np.testing.assert_equal(asdict(read_metrics(tmp_path / "metrics.json")),
                            asdict(Metrics(unknown, [])))


@pytest.mark.parametrize(("key", "value"), [
    ("test", GONE), ("test", []), ("test/slice", GONE), ("test/slice", "x"), ("test/slice/count", "40"),
    ("test/slice/scores/accuracy", GONE), ("test/slice/scores/accuracy/value", None), ("test/slice/scores", []),
    ("test/slice/scores/accuracy", 0.8), ("test/slice/scores/accuracy/value", "0.8"), ("test/patient", []),
    ("test/slice/scores/accuracy/value", GONE), ("test/slice/scores/accuracy/high", [0.9]),
    ("test/slice/scores/accuracy/verdict", 3), ("test/patient/scores/auroc_disease", GONE), ("test/primary", "luck"),
    ("test/patient/scores/auroc_disease/constant", float("nan")), ("test/slice/classes/0/patients", "3"),
    ("test/patient/scores/auroc_disease/value", float("inf")), ("test/patient/scores/auroc_disease/value", True),
    ("best_epoch", 2.0), ("best_epoch", 0), ("caveats", "LEAKY SPLIT"), ("caveats", [1]), ("caveats", GONE),
    ("probe", []), ("commit", 3), ("test/largest", 0), ("test/calibration", {"temperature": 1}), ("version", 3),
    ("version", "2"), ("test/clinical", {"prevalence": 2}), ("test/rival", 3),
])
def test_damaged_metrics_are_one_line_with_file_and_key(key, value, tmp_path):
    path = written(tmp_path, broken(METRICS, key, value))
    with pytest.raises(UserError) as error:
        read_metrics(path)
    assert str(path) in str(error.value)
    not_json = value == float("inf") or value != value
    name = "primary" if key == "test/patient/scores/auroc_disease" else key.split("/")[-1]
    assert (name in str(error.value)) != not_json


def test_a_runs_metrics_of_version_1_are_read(tmp_path):
    metrics = read_metrics(written(tmp_path, OLD))
    assert metrics.best_epoch == 2
    assert str(metrics.test.patient.scores["auroc"]) == str(Score(0.8, 0.7, 0.9, 0.5))     # NaN is not equal to NaN
    assert [(row.name, row.patients, row.rows) for row in metrics.test.slice.classes] == [
        ("AD", 20, 60), ("CN", 20, 80)]
    assert read_metrics(written(tmp_path, OLD | {"probe": OLD["test"]})).probe.slice.count == 40
    unknown = read_metrics(written(tmp_path, OLD | {"stamps": ["PATIENTS UNKNOWN"]}))
    assert (unknown.test.patient, unknown.caveats) == (None, ["PATIENTS UNKNOWN"])
    with pytest.raises(UserError, match='"test.slice.accuracy" is missing'):
        read_metrics(written(tmp_path, broken(OLD, "test/slice/accuracy", GONE)))


def test_an_older_evaluation_is_to_be_made_again(tmp_path):
    with pytest.raises(UserError, match="older version: python evaluate.py runs/x"):
        read_metrics(written(tmp_path, {"slice": {}}), "python evaluate.py runs/x")


@pytest.mark.parametrize(("key", "value", "words"), [
    ("test/slice/scores/accuracy/value", 7, "not between 0 and 1"),
    ("test/patient/scores/auroc_disease/value", -1, "not between 0 and 1"),
    ("test/patient/scores/auroc_disease/p", 2, "not between 0 and 1"),
    ("test/patient/scores/auroc_disease/low", 0.95, "an interval from 0.95 down to 0.9"),
    ("test/patient/classes/0/auroc/value", 2, "classes.AD.auroc.value. is 2, not between 0 and 1"),
    ("test/patient/count", -3, "patient.count. holds an impossible value"),
    ("test/patient/count", 10**12, "not a number of"),
    ("test/patient/classes/1/rows", -3, "classes.CN.rows. is -3, not a number of"),
    ("test/slice/scores/accuracy/high", 1e308, "not between 0 and 1"),
    ("test/aggregation", {"votes": {"accuracy": SCORE}}, "aggregation.votes.balanced_accuracy. is missing"),
    ("test/class_names", ["AD", "AD", "CN"], "class_names. holds an impossible value"),
    ("test/largest", "MCI", "largest. holds"), ("test/order", ["AD", "MCI"], "order. holds"),
    ("test/predicted", {"AD": -5}, "predicted. holds"), ("test/predicted", {"MCI": 5}, "predicted. holds"),
    ("test/permutations", -5, "permutations. holds"), ("test/patient/count", 0, "patient.count. holds"),
    ("test/against", {"auroc": {"value": 9, "low": 8, "high": 10}}, "against. holds"),
    ("test/against", {"auroc": {"value": 0.1, "low": 0.3, "high": 0.2}}, "against. holds"),
    ("test/nearest_neighbour", {"as split": {"slice": {"accuracy": 55}}}, "nearest_neighbour. holds"),
    ("test/calibration", {"temperature": -1, "ece_before": 0, "ece_after": 0, "before": [], "after": []},
     "calibration. holds"),
    ("test/slice/count", 10**400, '"test.slice.count" is 1000'),
    ("test/slice/scores/accuracy/nearest", 10**400, "accuracy.nearest"), ("more", {"count": 10**400}, "more.count"),
    ("test/largest", "y" * 100_000, "class name .* has 100,000 characters"),
    ("caveats", ["y" * 100_000], r"caveats\[0\]. has 100,000 characters")])
def test_scores_and_counts_that_cannot_be_are_refused(key, value, words, tmp_path):
    with pytest.raises(UserError, match=f"metrics.json is damaged: .*{words}"):
        read_metrics(written(tmp_path, broken(METRICS, key, value)))


@pytest.mark.parametrize(("name", "value", "fine"), [("kappa", -0.5, True), ("kappa", 1.5, False), ("brier", 1.7, True),
                                                     ("brier", 2.5, False), ("ece", 1.7, False)])
def test_each_score_has_its_range(name, value, fine, tmp_path):
    path = written(tmp_path, broken(METRICS, f"test/patient/scores/{name}", {"value": value, "low": None}))
    if fine:
        assert read_metrics(path).test.patient.scores[name].value == value
    else:
        with pytest.raises(UserError, match=f'"test.patient.scores.{name}.value" is {value}'):
            read_metrics(path)


def test_rounding_at_the_ends_of_a_range_is_no_damage(tmp_path):
    _check_score(Score(1.0, 0.6, 1.0000000000000002), (0, 1), "accuracy", tmp_path / "metrics.json")
    with pytest.raises(UserError, match="not between 0 and 1"):
        _check_score(Score(1.0, 0.6, 1.001), (0, 1), "accuracy", tmp_path / "metrics.json")


def test_any_value_anywhere_is_a_line_or_is_read(tmp_path):
    path, lines = tmp_path / "metrics.json", []
    for content in (METRICS, OLD):
        for text in json_variants(content):
            path.write_text(text)
            lines.append(refusal(lambda: read_metrics(path)))
    assert len(lines) / 2 < sum(map(bool, lines)) < len(lines)
