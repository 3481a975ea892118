import json

import numpy as np
import pandas as pd
import pytest

from functions.evaluation_report import evaluate_all, lines, write
from tests.functions.test_evaluation import cohort
from tests.functions.test_html_page import read

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
    return evaluate_all(probabilities, tables, NAMES, [1, 2, 0], 1, other, None)


def test_every_score_has_its_interval_its_chance_and_its_verdict(result):
    for unit in ("slice", "patient"):
        scores = result[unit]["scores"]
        assert set(scores) == {"accuracy", "balanced_accuracy", "macro_f1", "auroc", "auroc_disease", "kappa", "brier",
                               "ece"}
        assert scores["auroc"]["p"] == pytest.approx(1 / 2001)
        assert "verdict" in scores["kappa"]
    assert result["slice"]["count"] == 200
    assert result["patient"]["count"] == 40
    assert set(result["aggregation"]) == {"mean probability", "median probability", "majority of slices"}
    assert result["calibration"]["ece after"] != result["calibration"]["ece before"]
    assert result["against"]["patient"]["auroc"]["difference"] > 0.1


def test_without_an_order_of_stages_there_is_no_kappa():
    probabilities, tables = parts()
    del probabilities["val"]
    found = evaluate_all(probabilities, tables, ["a", "b", "c"], None, 1, None, None)
    assert "kappa" not in found["slice"]["scores"]
    assert "calibration" not in found
    assert "against" not in found


def test_it_is_printed_and_written(result, tmp_path):
    text = "\n".join(lines(result, ["LEAKY SPLIT"], "runs/x/best.pt", "runs/y"))
    for words in ("LEAKY SPLIT", "per patient, 40 of them", "better than guessing", "its floor is 1/2001",
                  "minus runs/y, per patient", "always NonDemented", "temperature"):
        assert words in text, words
    write(tmp_path / "out", result, ["LEAKY SPLIT"], lambda path: np.zeros((20, 16), np.uint8), None)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "predictions.csv", "metrics.json", "report.html", "confusion_patients.png", "confusion_slices.png", "roc.png",
        "reliability.png", "stages.png"}
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    assert metrics["stamps"] == ["LEAKY SPLIT"]
    assert metrics["patient"]["scores"]["accuracy"]["value"] == result["patient"]["scores"]["accuracy"]["value"]
    shown = " ".join(read((tmp_path / "out/report.html").read_text()).text)
    for words in ("LEAKY SPLIT", "Worst mistakes", "better than guessing", "sensitivity"):
        assert words in shown
    assert len(pd.read_csv(tmp_path / "out/predictions.csv")) == 200
