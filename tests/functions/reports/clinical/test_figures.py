from dataclasses import replace

import numpy as np
import pytest

from functions.evaluation.clinical.clinical import clinical
from functions.reports.clinical.figures import clinical_figures
from tests.functions.evaluation.cohorts import predictions


def legend(figure):
    return [label.get_text() for label in figure.legends[0].get_texts()]


def test_figures_show_the_numbers_of_the_tables_and_the_caveats():
    test = predictions()
    found = clinical(test, None)
    made = clinical_figures(found, test, ["LEAKY SPLIT"])
    assert list(made) == ["precision_recall.png", "calibration.png", "decision_curve.png"]
    assert all(figure.get_suptitle().endswith("of 40 test patients\nLEAKY SPLIT") for figure, _ in made.values())
    assert legend(made["precision_recall.png"][0])[0].startswith(
        f"average precision {found.average_precision.value:.3f} [")
    assert f"slope {found.recalibration.slope.value:.3f}" in legend(made["calibration.png"][0])[1]
    drawn = made["decision_curve.png"][0].axes[0].lines
    np.testing.assert_array_equal(drawn[0].get_ydata(), np.array(found.net_benefit)[:, 1])
    np.testing.assert_array_equal(drawn[1].get_ydata(), np.array(found.net_benefit)[:, 2])


def test_the_band_is_drawn_where_there_is_one():
    test = predictions()
    found = clinical(test, None)
    few = clinical_figures(found, test, [])["calibration.png"]
    assert "band" not in few[1]
    curve = [[p, q, q - 0.1, q + 0.1] for p, q, _, _ in found.recalibration.curve]
    banded = replace(found, recalibration=replace(found.recalibration, curve=curve))
    many = clinical_figures(banded, test, [])["calibration.png"]
    assert "pointwise 95 % band" in many[1]
    assert len(many[0].axes[0].collections) == len(few[0].axes[0].collections) + 1


@pytest.mark.parametrize("part", ["average_precision", "recalibration"])
def test_what_is_missing_has_no_figure(part):
    test = predictions()
    found = replace(clinical(test, None), **{part: None})
    assert len(clinical_figures(found, test, [])) == 2
