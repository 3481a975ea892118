"""One figure of AUROCs with intervals: the network, age-adjusted, matched, by group, and the baselines of the table."""

from collections.abc import Sequence

from functions.evaluation.clinical.results import Confounding, Interval
from functions.reports.evaluation_plots import COLOURS, Figures
from functions.reports.figure_text import Figure, as_written
from functions.reports.plots import make_title
from functions.runtime.errors import printable

NAME = "confounding.png"
GROUPS = 6               # of each trait that are drawn


def confounding_figures(found: Confounding, caveats: Sequence[str]) -> Figures:
    """File name → (figure, description); none without an AUROC."""
    drawn = _bars(found)
    if not drawn:
        return {}
    title = make_title("AUROC of diseased or not, and age, sex, site and scanner", caveats)
    return {NAME: (plot_confounding(drawn, title), "AUROC with 95 % interval over patients: blue the network, orange "
                   "baselines without an image or of age alone; 0.5 is without information")}


def _bars(found: Confounding) -> list[tuple[str, Interval, bool]]:
    """(name, AUROC, whether it is the network's) from top to bottom."""
    bars = []
    if adjusted := found.adjusted:
        bars += [("network, all ages", adjusted.crude, True), ("network, age-adjusted", adjusted.auroc, True)]
    if found.matched:
        bars.append((f"network, {found.matched.pairs} matched pairs", found.matched.auroc, True))
    for trait, groups in found.subgroups.items():
        kind = "" if trait in ("sex", "age") else f"{trait} "
        bars += [(f"network, {kind}{printable(one.name)}"[:44], one.auroc, True)
                 for one in groups[:GROUPS] if one.auroc]
    if adjusted:
        bars.append(("age alone", adjusted.age_alone, False))
    return bars + [(one.name, one.auroc, False) for one in found.baselines]


def plot_confounding(bars: Sequence[tuple[str, Interval, bool]], title: str) -> Figure:
    """One line for each AUROC, from top to bottom."""
    figure = Figure(figsize=(6.4, 1.2 + 0.34 * len(bars)), layout="constrained")
    axis = figure.subplots()
    for row, (_, value, is_network) in enumerate(bars):
        axis.plot([value.low, value.high], [row, row], color=COLOURS[not is_network], lw=2)
        axis.plot(value.value, row, "o", color=COLOURS[not is_network], ms=6)
    axis.axvline(0.5, color="0.4", lw=1, ls=":")
    axis.set(xlim=(0, 1), ylim=(len(bars) - 0.5, -0.5), xlabel="AUROC of diseased or not")
    axis.set_yticks(range(len(bars)), [name for name, *_ in bars])
    axis.grid(axis="x", alpha=0.3)
    figure.suptitle(title, fontsize="medium")
    return as_written(figure)
