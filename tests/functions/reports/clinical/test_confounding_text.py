import numpy as np

from functions.evaluation.clinical.results import AgeAdjusted, Confounding, Interval, Matched, Subgroup, TableBaseline
from functions.reports.clinical.confounding_figure import NAME, confounding_figures
from functions.reports.clinical.confounding_text import SHOWN, lines, notes, rows, tables

AUROC = Interval(0.712, 0.601, 0.803)
FOUND = Confounding(
    {"sex": [Subgroup("women", 12, 9, AUROC, Interval(0.5, 0.3, 0.7), Interval(0.75, 0.5, 0.9)),
             Subgroup("men", 3, 9)]},
    [TableBaseline("age and sex", 40, Interval(0.61, 0.5, 0.7), AUROC, Interval(0.102, -0.05, 0.2), 0.21)],
    AgeAdjusted(Interval(0.655, 0.5, 0.8), AUROC, Interval(0.58, 0.4, 0.7), 5.0, 14, 20, 16, 24),
    Matched(7, Interval(0.571, 0.25, 0.84), 0.43, -0.2, 2.0, True), ["the table's note"])


def test_every_number_is_printed_with_its_interval_and_counts():
    shown = dict(rows(FOUND))
    assert shown["age and sex alone, 40 patients"] == "0.610 [0.500 to 0.700]"
    assert shown["network minus age and sex"] == "+0.102 [-0.050 to +0.200], p = 0.21"
    assert shown["network, age-adjusted: 20 of 24 diseased against 14 of 16 healthy within 5 years"] == (
        "0.655 [0.500 to 0.800]")
    assert shown["network, 7 matched pairs (same sex, within 2 years)"] == "0.571 [0.250 to 0.840]"
    assert shown["age alone, the same pairs"] == "0.430"
    printed = "\n".join(lines(FOUND))
    assert all(what in printed and value in printed for what, value in shown.items())
    assert "0.712 [0.601 to 0.803]  0.500 [0.300 to 0.700]  0.750 [0.500 to 0.900]" in printed
    assert [line.split() for line in lines(FOUND) if "  men" in line] == [["men", "3", "9", "-", "-", "-"]]


def test_the_page_has_the_same_tables():
    [(heading, [answers, groups])] = tables(FOUND)
    assert heading == "Age, sex, site and scanner"
    assert answers.rows == list(rows(FOUND))
    assert [row[0] for row in groups.rows] == ["women", "men"]
    assert tables(Confounding(notes=["nothing"])) == []
    assert lines(Confounding(notes=["nothing"])) == ["  (nothing)"]


def test_notes_say_what_the_numbers_rest_on():
    text = " ".join(notes(FOUND))
    for part in ("the table's note", "as many older as younger", "on average -0.2 years older", "fewer than 20 pairs",
                 "fewer than 5 healthy or diseased patients have counts only"):
        assert part in text
    many = Confounding({"site": [Subgroup(f"s{k}", 9, 9, AUROC, AUROC, AUROC) for k in range(SHOWN + 3)]})
    assert f"3 of {SHOWN + 3} groups by site are only in metrics.json" in " ".join(notes(many))
    assert sum(line.startswith("  s") for line in lines(many)) == SHOWN


def test_the_figure_shows_every_auroc_and_the_caveats():
    figure, _ = confounding_figures(FOUND, ["LEAKY SPLIT"])[NAME]
    axis = figure.axes[0]
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert names == ["network, all ages", "network, age-adjusted", "network, 7 matched pairs", "network, women",
                     "age alone", "age and sex"]
    drawn = [line.get_xdata() for line in axis.lines[:-1]]
    np.testing.assert_allclose(drawn[2], [0.5, 0.8])
    np.testing.assert_allclose(drawn[3], 0.655)
    assert figure.get_suptitle().endswith("LEAKY SPLIT")
    assert confounding_figures(Confounding(), []) == {}
