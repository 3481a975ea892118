"""Test patients that a study needs, for an AUROC's interval of a given half-width, or to show the difference of two
networks: tools/plan.py --half_width 0.05, or tools/plan.py --difference 0.05"""

import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))    # run as a file, from anywhere

from functions.config.parser import OneLineParser
from functions.config.settings import share
from functions.runtime.errors import UserError
from functions.runtime.exits import one_line_errors


def main() -> None:
    """Simulates studies of growing numbers of patients and prints how often they succeed."""
    with one_line_errors():
        parser = OneLineParser(description=__doc__)
        parser.add_argument("--auroc", type=share, default=0.8, metavar="X",
                            help="the expected AUROC; with --difference that of the worse network [0.8]")
        parser.add_argument("--half_width", type=share, metavar="X",
                            help="wanted: half the width of the 95 %% interval")
        parser.add_argument("--difference", type=share, metavar="X",
                            help="wanted: to show this gain in AUROC (p < 0.05)")
        parser.add_argument("--correlation", type=share, default=0.5, metavar="X",
                            help="of the two networks' scores among patients of one kind [0.5]")
        parser.add_argument("--prevalence", type=share, default=0.5, metavar="X",
                            help="share of diseased patients in the study [0.5]")
        parser.add_argument("--power", type=share, default=0.8, metavar="X",
                            help="share of studies that are to succeed [0.8]")
        for line in plan(parser.parse_args()):
            print(line)


def plan(options) -> list[str]:
    """The lines of the table, the answer last; UserError unless one goal is given and possible."""
    from functions.evaluation.clinical.sample_size import (
        STUDIES,
        fewest_patients,
        study_of_difference,
        study_of_width,
    )

    if (options.half_width is None) == (options.difference is None):
        raise UserError("give one goal: --half_width X or --difference X")
    if options.difference is None:
        study = partial(study_of_width, options.auroc, options.half_width, options.prevalence)
        goal = f"a half-width of at most {options.half_width:g} at an AUROC of {options.auroc:g}"
        mean = "mean half-width"
    else:
        better = options.auroc + options.difference
        if better >= 1:
            raise UserError(f"--auroc {options.auroc:g} --difference {options.difference:g}: an AUROC of {better:g} is "
                            "impossible")
        study = partial(study_of_difference, options.auroc, options.difference, options.correlation, options.prevalence)
        goal, mean = f"p < 0.05 for AUROCs of {better:g} and {options.auroc:g}", "mean difference"
    found = fewest_patients(study, options.power)
    error = (options.power * (1 - options.power) / STUDIES) ** 0.5
    rows = [f"{'patients':>9}{'diseased':>10}{'studies that succeed':>22}{mean:>18}",
            *(f"{row.patients:>9,}{row.diseased:>10,}{row.share:>22.1%}{row.mean:>18.3f}"
              for row in sorted(found, key=lambda row: row.patients))]
    answer = found[-1]
    return [f"wanted: {goal}, in {options.power:.0%} of studies", *rows,
            f"{answer.patients:,} test patients, {answer.diseased:,} of them diseased ({STUDIES:,} simulated "
            f"studies a row, standard error ± {error:.1%}; normal scores, one trained network, a patient counts once)"]


if __name__ == "__main__":
    main()
