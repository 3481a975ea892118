import json
import re

import numpy as np
import pandas as pd
import pytest

from functions.reports.evaluation_report import evaluate_all, figures, write
from functions.reports.evaluation_text import lines
from tests.functions.evaluation.test_scores import cohort
from tests.functions.reports.test_html_page import read

NAMES = ["MildDemented", "NonDemented", "VeryMildDemented"]


def parts():
    made = {}
    for split, seed in (("test", 1), ("val", 2)):
        p, y, who = cohort(people=40, signal=1.5, seed=seed)
        made[split] = p, pd.DataFrame({"path": [f"{split}/{i}.png" for i in range(len(y))], "label": y, "who": who,
                                       "class": [NAMES[k] for k in y], "subject": who})
    return {split: p for split, (p, _) in made.items()}, {split: table for split, (_, table) in made.items()}


@pytest.fixture(scope="module")
def result():
    probabilities, tables = parts()
    other = np.full_like(probabilities["test"], 1 / 3)
    truth = tables["test"]["label"].to_numpy()
    return evaluate_all(probabilities, tables, NAMES, [1, 2, 0], 1, other, (truth, np.roll(truth, 1)))


def unknown(order=None, **more):
    """Nobody's patient is known, no stage is ordered, and the classes have few people each."""
    probabilities, tables = parts()
    del probabilities["val"]
    table = tables["test"].assign(subject=None, who=tables["test"]["path"])
    return evaluate_all(probabilities, {"test": table}, ["a", "b", "c"], order, 1, **more)


def test_patients_have_intervals_and_one_verdict_and_slices_have_values(result):
    for unit in ("slice", "patient"):
        scores = result[unit]["scores"]
        assert set(scores) == {"accuracy", "balanced_accuracy", "macro_f1", "auroc", "auroc_disease", "kappa", "brier",
                               "ece"}
        assert all({"low", "high", "constant", "nearest"} <= set(score) for score in scores.values())
        assert scores["accuracy"]["nearest"] == 1
    scores = result["patient"]["scores"]
    assert scores["auroc_disease"]["p"] == pytest.approx(1 / 2001)
    assert [name for name, score in scores.items() if "verdict" in score] == [result["primary"]] == ["auroc_disease"]
    assert not any("p" in score for score in result["slice"]["scores"].values())
    for row in result["patient"]["classes"]:
        for what in ("sensitivity", "specificity", "auroc"):
            assert row[what]["low"] <= row[what]["value"] <= row[what]["high"]
    assert result["nearest neighbour"]["among strangers"]["slice"]["accuracy"] < 1
    assert result["slice"]["count"] == 200
    assert result["patient"]["count"] == 40
    assert set(result["aggregation"]) == {"mean probability", "median probability", "majority of slices"}
    way, score = result["aggregation"]["mean probability"]["auroc"], scores["auroc"]
    assert way == {name: score[name] for name in ("value", "low", "high")}, "how scores per patient are made"
    assert result["calibration"]["ece after"] != result["calibration"]["ece before"]
    assert result["against"]["auroc"]["difference"] > 0.1
    assert "ece" not in result["against"]


def test_the_temperature_comes_from_validation_alone():
    probabilities, tables = parts()
    first = evaluate_all(probabilities, tables, NAMES, [1, 2, 0], 1)["calibration"]["temperature"]
    again = probabilities | {"test": probabilities["test"][::-1]}
    assert evaluate_all(again, tables, NAMES, [1, 2, 0], 1)["calibration"]["temperature"] == first


def test_without_an_order_of_stages_there_is_no_kappa_anywhere():
    found = unknown(other=parts()[0]["test"])
    assert "kappa" not in json.dumps({name: value for name, value in found.items() if not name.startswith("_")})
    assert "calibration" not in found


def test_where_nobody_knows_the_patients_nothing_is_said_of_them():
    found = unknown()
    assert "patient" not in found
    assert "aggregation" not in found
    text = "\n".join(lines(found, ["PATIENTS UNKNOWN"], "x.pt", ""))
    assert "no verdict: the patients are unknown" in text
    assert "no interval, no p-value and no verdict" in text
    assert not any(np.isfinite(score["low"]) for score in found["slice"]["scores"].values())
    assert "per patient" not in text
    assert "confusion_patients.png" not in figures(found, [])
    assert set(figures(found, [])) == {"confusion_slices.png", "roc.png", "stages.png"}


def test_figures_show_no_shares_of_classes_with_few_people():
    probabilities, tables = parts()
    few = tables["test"]
    keep = ((few["label"] != 2) | few["who"].isin(few.loc[few["label"] == 2, "who"].unique()[:3])).to_numpy()
    found = evaluate_all({"test": probabilities["test"][keep]}, {"test": few[keep].reset_index(drop=True)}, NAMES,
                         [1, 2, 0], 1)
    for name in ("confusion_patients.png", "confusion_slices.png"):
        shown = [text.get_text() for text in figures(found, [])[name][0].axes[0].texts]
        assert ["%" in text for text in shown] == [True] * 6 + [False] * 3
    text = "\n".join(lines(found, [], "x.pt", ""))
    assert re.search(r"VeryMildDemented +3 patients  counts only: fewer than 5 patients", text)
    assert "not scored, fewer than 5 patients, and excluded from means over classes: VeryMildDemented 3" in text


def test_it_is_printed_and_written(result, tmp_path):
    text = "\n".join(lines(result, ["LEAKY SPLIT"], "runs/x/best.pt", "runs/y"))
    for words in ("LEAKY SPLIT", "per patient, n = 40",
                  "better than always predicting NonDemented",
                  "its minimum is 1/2001", "minus runs/y, per patient", "always: always predicting NonDemented",
                  "temperature",
                  "permuted", "nearest"):
        assert words in text, words
    write(tmp_path / "out", result, ["LEAKY SPLIT"], "runs/x/best.pt", lambda path: np.zeros((20, 16), np.uint8), None)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "predictions.csv", "metrics.json", "report.html", "confusion_patients.png", "confusion_slices.png", "roc.png",
        "reliability.png", "stages.png"}
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    assert metrics["stamps"] == ["LEAKY SPLIT"]
    assert metrics["patient"]["scores"]["accuracy"]["value"] == result["patient"]["scores"]["accuracy"]["value"]
    shown = " ".join(read((tmp_path / "out/report.html").read_text()).text)
    for words in ("LEAKY SPLIT", "Worst errors", "better than always predicting NonDemented", "sensitivity",
                  "runs/x/best.pt"):
        assert words in shown
    predictions = pd.read_csv(tmp_path / "out/predictions.csv")
    assert len(predictions) == 200
    assert set(predictions["stamps"]) == {"LEAKY SPLIT"}, "a table travels without its folder"
    for figure, _ in figures(result, ["LEAKY SPLIT"]).values():
        assert "LEAKY SPLIT" in figure.get_suptitle()
