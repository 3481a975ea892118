import json

from functions.cross_validation import report
from functions.cross_validation.out_of_fold import from_slices
from tests.functions.cross_validation.test_out_of_fold import NAMES, table


def test_the_lines_name_patients_repeats_both_models_and_their_difference():
    models = {"train.py": from_slices(table(), NAMES), "four numbers": from_slices(table(seed=1), NAMES)}
    lines = report.lines(models, ["a note"])
    assert lines[0] == "24 patients, each tested once in each of 2 repeat(s) of 3 folds"
    assert sum(line.startswith("four numbers") for line in lines) == 3
    assert lines[-1] == "a note"
    assert sum("minus four numbers" in line for line in lines) == 2


def test_the_page_and_metrics_hold_the_scores_and_are_escaped(tmp_path):
    models = {"<train>": from_slices(table(), NAMES)}
    report.write(tmp_path, models, ["x < y"], ["PHANTOM DEMO"], {"folds": 3})
    content = json.loads((tmp_path / "metrics.json").read_text())
    assert content["scores"]["<train>"]["auroc_disease"]["low"] < content["scores"]["<train>"]["auroc_disease"]["value"]
    assert content["cross_validation"] == {"folds": 3}
    assert content["caveats"] == ["PHANTOM DEMO"]
    page = (tmp_path / "report.html").read_text()
    assert "&lt;train&gt;" in page
    assert "<train>" not in page
    assert "x &lt; y" in page
    assert "PHANTOM DEMO" in page
