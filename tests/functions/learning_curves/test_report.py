import json
from dataclasses import replace

import pandas as pd
import pytest

from functions.cross_validation.out_of_fold import scores, within_folds
from functions.learning_curves import report
from tests.functions.learning_curves.test_verdicts import curves  # noqa: F401


def test_the_lines_are_the_answers_their_number_and_the_notes(curves):  # noqa: F811
    lines = report.lines(curves, ["left out: x"])
    assert len(lines) == 4
    assert lines[0].startswith("AUROC of ViT from scratch against ResNet-18 from scratch: shown to be worse with 5 (-")
    assert lines[2] == "4 intervals: about one in twenty excludes 0 by chance alone."
    assert lines[3] == "left out: x"
    assert report.lines({}, []) == ["no Vision Transformer and no opponent of it are both complete: nothing to compare"]


def test_levels_that_differ_between_folds_are_named_and_scores_within_folds_do_not_see_them(curves):  # noqa: F811
    curve = curves["resnet18", 5]
    levels = 0.01 * curve.found.probabilities
    levels[:, :, curve.found.healthy] += 0.3 * curve.found.folds
    shifted = replace(curve, found=replace(curve.found, probabilities=levels))
    [line] = [line for line in report.lines(curves | {("resnet18", 5): shifted}, []) if line.startswith("CHECK")]
    before, after = (report.table_rows({("resnet18", 5): one})[0] for one in (curve, shifted))
    assert "AUROC of ResNet-18 from scratch is lower for all patients together" in line
    assert f"5 ({after[2][:5]}, {after[3][:5]})" in line
    assert before[2] != after[2]
    assert before[3] == after[3], "within folds"


def test_the_files_hold_every_point_with_its_interval_and_cost(curves, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(report, "write_png", lambda file, figure: file.write_bytes(b"png"))
    report.write(tmp_path, curves, ["a <note>"], ["PHANTOM DEMO"], {"folds": 3})
    table = pd.read_csv(tmp_path / "table.csv").set_index(["method", "size"])
    assert len(table) == 6
    expected = scores(curves["vit", 5].found)
    row = table.loc[("vit", "5")]
    assert row["auroc_disease"] == pytest.approx(expected["auroc_disease"].value)
    assert row["auroc_disease_low"] < row["auroc_disease"] < row["auroc_disease_high"]
    assert row["auroc_within_folds"] == pytest.approx(within_folds(curves["vit", 5].found).mean())
    assert row["balanced_accuracy"] == pytest.approx(expected["balanced_accuracy"].value)
    assert (row["patients"], row["images_per_fit"]) == (5, 10)
    markdown = (tmp_path / "table.md").read_text().splitlines()
    assert len(markdown) == 8
    assert {line.count(" | ") for line in markdown if "---" not in line} == {9}
    content = json.loads((tmp_path / "metrics.json").read_text())
    assert [gap["first"] for gap in content["differences"]] == ["vit"] * 4
    assert set(content["differences"][0]) == {"first", "second", "size", "over_patients", "within_folds"}
    assert content["learning_curves"] == {"folds": 3}
    page = (tmp_path / "report.html").read_text()
    assert "a &lt;note&gt;" in page
    assert "PHANTOM DEMO" in page
    assert "shown to be worse with 5" in page
    assert (tmp_path / "learning_curves.png").read_bytes() == b"png"
