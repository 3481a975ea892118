"""What age, sex, site and scanner have to do with the scores, as printed lines, tables and notes."""

from collections.abc import Iterator

from functions.evaluation.clinical.results import Confounding, Subgroup, TableBaseline
from functions.evaluation.intervals import FEW
from functions.reports.clinical.text import text
from functions.reports.evaluation_text import number
from functions.reports.html_page import Table

SHOWN = 12                # groups of a trait that are listed; metrics.json has all
FEW_PAIRS = 20            # below which Wilson's interval is wider than needed
HEAD = ("AUROC of diseased or not, of patients", "value [95 % interval over patients]")
GROUP_HEAD = ("patients", "healthy", "diseased", "AUROC", "sensitivity at 0.5", "specificity at 0.5")


def rows(found: Confounding) -> Iterator[tuple[str, str]]:
    """(what, value with its interval): baselines of the table, the age-adjusted AUROC, matched pairs."""
    for one in found.baselines:
        yield f"{one.name} alone, {one.patients} patients", text(one.auroc)
        yield f"network, the same {one.patients} patients", text(one.network)
        yield f"network minus {one.name}", _difference(one)
    if adjusted := found.adjusted:
        yield "age alone (the older is called diseased)", text(adjusted.age_alone)
        yield "network, patients of all ages", text(adjusted.crude)
        yield (f"network, age-adjusted: {adjusted.diseased} of {adjusted.all_diseased} diseased against "
               f"{adjusted.healthy} of {adjusted.all_healthy} healthy within {adjusted.calliper:g} years",
               text(adjusted.auroc))
    if pairs := found.matched:
        yield (f"network, {pairs.pairs} matched pairs ({'same sex, ' * pairs.same_sex}within {pairs.calliper:g} "
               "years)", text(pairs.auroc))
        yield "age alone, the same pairs", number(pairs.age_alone)


def _difference(one: TableBaseline) -> str:
    gap = one.difference
    ends = f" [{gap.low:+.3f} to {gap.high:+.3f}]" if gap.low < gap.high else ""
    return f"{gap.value:+.3f}{ends}" + (f", p = {one.p:.2g}" if one.p == one.p else "")


def _group(one: Subgroup) -> tuple[str, ...]:
    scores = (one.auroc, one.sensitivity, one.specificity)
    shown = (text(score) if score else "-" for score in scores)
    return one.name, str(one.healthy), str(one.diseased), *shown


def lines(found: Confounding) -> list[str]:
    """The printed lines."""
    values = list(rows(found))
    width = max((len(what) for what, _ in values), default=0)
    printed = [HEAD[0], *(f"  {what:{width}}  {value}" for what, value in values)] if values else []
    for trait, groups in found.subgroups.items():
        printed.append(f"by {trait}:")
        cells = [GROUP_HEAD, *(_group(one) for one in groups[:SHOWN])]
        widths = [max(len(row[column]) for row in cells) for column in range(len(GROUP_HEAD))]
        printed += ["  " + "  ".join(cell.ljust(size) for cell, size in zip(row, widths, strict=True)).rstrip()
                    for row in cells]
    return [*printed, *(f"  ({note})" for note in notes(found))]


def tables(found: Confounding) -> list[tuple[str, list[Table]]]:
    """(heading, tables) of the page; none without an answer."""
    values = list(rows(found))
    answers = [Table(HEAD, values)] if values else []
    groups = [Table(GROUP_HEAD, [_group(one) for one in members[:SHOWN]], f"By {trait}")
              for trait, members in found.subgroups.items()]
    return [("Age, sex, site and scanner", [*answers, *groups])] if answers or groups else []


def notes(found: Confounding) -> list[str]:
    """What is missing and why, and what the numbers rest on."""
    made = list(found.notes)
    if found.adjusted:
        made.append("age-adjusted AUROC: each diseased patient against healthy ones of like age, as many older as "
                    "younger by weight; 0.5 for any score that rises with age alone (Janes and Pepe 2009)")
    if pairs := found.matched:
        wide = f"; with fewer than {FEW_PAIRS} pairs the interval is wider than needed" * (pairs.pairs < FEW_PAIRS)
        made.append(f"matched pairs: the share in which the diseased patient has the higher probability; the diseased "
                    f"are on average {pairs.older:+.1f} years older in them{wide}")
    if any(one.auroc is None for groups in found.subgroups.values() for one in groups):
        made.append(f"groups with fewer than {FEW} healthy or diseased patients have counts only")
    if cut := [f"{len(groups) - SHOWN} of {len(groups)} groups by {trait}" for trait, groups in found.subgroups.items()
               if len(groups) > SHOWN]:
        made.append(f"{' and '.join(cut)} are only in metrics.json")
    if found.subgroups:
        made.append("with several groups, it is likely that the score of one differs from the others by chance")
    return made
