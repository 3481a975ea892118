import json

import pytest

from functions.evaluation.metrics_file import _check_ranges, read_evaluation, read_run_metrics
from functions.runtime.errors import UserError

SCORE = {"value": 0.8, "low": 0.7, "high": 0.9, "constant": 0.5}
UNIT = {"count": 40, "classes": {"AD": 20, "CN": 20}, "accuracy": SCORE, "balanced_accuracy": SCORE, "auroc": SCORE,
        "auroc_disease": SCORE}
RUN = {"test": {"slice": UNIT, "patient": UNIT}, "best_epoch": 2, "largest": "AD", "stamps": []}
EVALUATION = {"slice": {"count": 4, "scores": {"accuracy": SCORE | {"verdict": "better than guessing", "p": 0.01}},
                        "classes": [{"class": "AD", "people": 2}]},
              "patient": {"count": 2, "scores": {}, "classes": []}, "largest": "AD", "stamps": [], "commit": None,
              "nearest neighbour": {}}
GONE = object()


def broken(content, key, value):
    content = json.loads(json.dumps(content))                 # without shared parts
    *way, last = key.split("/")
    place = content
    for name in way:
        place = place[name]
    if value is GONE:
        del place[last]
    else:
        place[last] = value
    return content


def test_what_a_run_and_an_evaluation_write_is_read(tmp_path):
    path = tmp_path / "metrics.json"
    for content in (RUN, broken(RUN, "test/slice/auroc_disease", GONE),
                    broken(RUN, "test/slice/auroc/value", None), RUN | {"probe": RUN["test"]}):
        path.write_text(json.dumps(content))
        assert read_run_metrics(path) == content
    for content in (EVALUATION, broken(EVALUATION, "patient", GONE)):
        path.write_text(json.dumps(content))
        assert read_evaluation(path, "") == content


@pytest.mark.parametrize(("key", "value"), [
    ("test", GONE), ("test", []), ("test/patient", GONE), ("test/slice", "x"), ("test/slice/count", "40"),
    ("test/slice/classes", {"AD": None}), ("test/slice/accuracy", GONE), ("test/slice/accuracy", 0.8),
    ("test/slice/accuracy/value", "0.8"), ("test/slice/accuracy/low", GONE), ("test/slice/accuracy/high", [0.9]),
    ("test/patient/auroc/constant", float("nan")), ("test/patient/auroc/value", float("inf")),
    ("test/patient/auroc/value", True), ("best_epoch", GONE), ("best_epoch", 2.0), ("best_epoch", None),
    ("largest", GONE), ("largest", 0), ("stamps", "LEAKY SPLIT"), ("stamps", [1]), ("probe", []),
])
def test_a_runs_damaged_metrics_are_one_line_with_file_and_key(key, value, tmp_path):
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps(broken(RUN, key, value)))
    with pytest.raises(UserError) as error:
        read_run_metrics(path)
    assert str(path) in str(error.value)
    not_json = value == float("inf") or value != value
    assert (f'"{key.replace("/", ".")}' in str(error.value)) != not_json


@pytest.mark.parametrize(("key", "value"), [
    ("slice/scores", []), ("slice/scores/accuracy", GONE), ("slice/scores/accuracy/verdict", 3),
    ("slice/scores/accuracy/low", GONE), ("slice/count", "4"), ("patient/scores", GONE), ("stamps", {}),
    ("largest", GONE), ("commit", 3), ("commit", GONE), ("nearest neighbour", []),
])
def test_an_evaluations_damaged_metrics_are_one_line_with_file_and_key(key, value, tmp_path):
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps(broken(EVALUATION, key, value)))
    with pytest.raises(UserError) as error:
        read_evaluation(path, "")
    assert str(path) in str(error.value)
    assert f'"{key.replace("/", ".")}' in str(error.value)


def test_an_older_evaluation_is_to_be_made_again(tmp_path):
    path = tmp_path / "metrics.json"
    path.write_text('{"slice": {}}')
    with pytest.raises(UserError, match="older version: python evaluate.py runs/x"):
        read_evaluation(path, "python evaluate.py runs/x")


@pytest.mark.parametrize(("key", "value", "words"), [
    ("test/slice/accuracy/value", 7, "not between 0 and 1"), ("test/patient/auroc/value", -1, "not between 0 and 1"),
    ("test/patient/auroc/low", 0.95, "an interval from 0.95 down to 0.9"),
    ("test/patient/count", -3, "not a number of"), ("test/patient/count", 10**30, "beyond 2"),
    ("test/slice/auroc/high", 1e308, "not between 0 and 1")])
def test_scores_and_counts_that_cannot_be_are_refused(key, value, words, tmp_path):
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps(broken(RUN, key, value)))
    with pytest.raises(UserError, match=f"metrics.json is damaged: .*{words}"):
        read_run_metrics(path)


@pytest.mark.parametrize(("name", "value", "fine"), [("kappa", -0.5, True), ("kappa", 1.5, False), ("brier", 1.7, True),
                                                     ("brier", 2.5, False), ("ece", 1.7, False)])
def test_each_score_has_its_range(name, value, fine, tmp_path):
    path, score = tmp_path / "metrics.json", {"value": value, "low": None, "high": None, "constant": None}
    content = broken(EVALUATION, "patient/scores", {name: score})
    path.write_text(json.dumps(content))
    if fine:
        assert read_evaluation(path, "") == content
    else:
        with pytest.raises(UserError, match=f'"patient.scores.{name}.value" is {value}'):
            read_evaluation(path, "")
    path.write_text(json.dumps(EVALUATION | {"patient": None}))
    assert read_evaluation(path, "")["patient"] is None


def test_rounding_at_the_ends_of_a_range_is_no_damage(tmp_path):
    _check_ranges({"accuracy": {"value": 1.0, "low": 0.6, "high": 1.0000000000000002}}, tmp_path / "metrics.json")
    with pytest.raises(UserError, match="not between 0 and 1"):
        _check_ranges({"accuracy": {"value": 1.0, "low": 0.6, "high": 1.001}}, tmp_path / "metrics.json")
