from functions.evaluation.clinical.results import Confounding, Interval, Subgroup
from functions.reports.clinical.confounding_figure import GROUPS, NAME, confounding_figures


def test_at_most_some_groups_of_a_trait_are_drawn_and_none_without_a_score():
    groups = [Subgroup(f"s{k}", 9, 9, Interval(0.5, 0.4, 0.6)) for k in range(GROUPS + 2)]
    figure, _ = confounding_figures(Confounding({"site": groups, "sex": [Subgroup("women", 2, 2)]}), [])[NAME]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [
        f"network, site s{k}" for k in range(GROUPS)]
