import json

import pytest

from tools.results_table import draw, main, read, table


def result(value, stamps):
    score = {"value": value, "low": value - 0.1, "high": value + 0.1, "constant": 0.5,
             "verdict": "better than guessing"}
    return {"stamps": stamps, "slice": {"scores": {"accuracy": score}},
            "nearest neighbour": {"as_split": [0.9, 0.8, 1.0]},
            "patient": {"scores": {"balanced_accuracy": score, "auroc_disease": score}}}


def test_every_run_is_a_line_with_its_stamps_intervals_and_verdicts():
    lines = table({"honest": result(0.6, []), "leaky": result(0.87, ["LEAKY SPLIT"])})
    assert len(lines) == 4
    assert lines[2].startswith("| honest | - | 0.600 [0.500 to 0.700]: better than guessing |")
    assert "LEAKY SPLIT" in lines[3]
    assert lines[3].endswith("| 0.900 |")
    assert len({line.count("|") for line in lines}) == 1


def test_the_figure_shows_what_the_table_says():
    axis = draw({"honest": result(0.6, []), "leaky": result(0.87, ["LEAKY SPLIT"])}).axes[0]
    assert [tick.get_text() for tick in axis.get_yticklabels()] == ["honest", "leaky\nLEAKY SPLIT"]
    shown = {round(float(line.get_xdata()[0]), 2) for line in axis.lines if len(line.get_xdata()) == 1}
    assert shown >= {0.6, 0.87, 0.9, 0.5}


def test_a_run_that_was_not_evaluated_is_refused(call_script, tmp_path):
    (tmp_path / "runs/x").mkdir(parents=True)
    with pytest.raises(ValueError, match="has not been evaluated: python evaluate.py"):
        read(tmp_path / "runs/x")
    assert call_script(main, "runs/x")[0] == 2
    (tmp_path / "runs/x/evaluation").mkdir()
    (tmp_path / "runs/x/evaluation/metrics.json").write_text(json.dumps(result(0.6, [])))
    code, out, _ = call_script(main, "runs/x", "--figure", tmp_path / "f.png")
    assert code == 0
    assert "| x | - | 0.600" in out
    assert (tmp_path / "f.png").stat().st_size > 5000
