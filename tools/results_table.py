"""Evaluated runs as a Markdown table, grouped by recipe and split: tools/results_table.py RUN …"""

import re
import shlex
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))    # run as a file, from anywhere

from functions.checkpointing.run_names import check_file_writable
from functions.config.parser import OneLineParser
from functions.reports.markdown_text import cell, code, row, write_between
from functions.reports.run_groups import describe_seeds, group_runs, recipe_name, refuse_repeats
from functions.runtime.errors import UserError
from functions.runtime.exits import one_line_errors

COLUMNS = (("slice", "accuracy", "slice accuracy"), ("patient", "balanced_accuracy", "patient balanced accuracy"),
           ("patient", "auroc_disease", "patient AUROC, diseased or not"))
LABELS = {"network": "each seed, 95 % interval over patients", "nearest": "nearest image of training or validation",
          "constant": "always the largest class"}
BEGIN, END = "<!-- results: written by tools/results_table.py -->", "<!-- end of results -->"


def read(run: Path) -> dict:
    """run.json with evaluate.py's metrics under "metrics"; raises UserError if the run has not been evaluated."""
    from functions.checkpointing.run_folder import read_record
    from functions.evaluation.evaluation import read_metrics

    path, again = run / "evaluation" / "metrics.json", f"python evaluate.py {shlex.quote(str(run))}"
    if not path.exists():
        raise UserError(f"{run} has not been evaluated: {again}")
    record, metrics = read_record(run), read_metrics(path, again)
    other = "another run" if metrics.run_id not in ("", record.get("run_id", metrics.run_id)) else metrics.data
    if other is not None:
        raise UserError(f"{path} is the evaluation of {other}, not of the run's own test set: {again}")
    return record | {"metrics": metrics}


def table(groups: list[list[dict]]) -> list[str]:
    """For each group: mean ± SD over seeds, intervals, counts of verdicts, nearest neighbour, constant prediction."""
    from functions.evaluation.evaluate import SIGNIFICANT
    from functions.reports.run_means import NO_MEAN

    lines = ["| recipe | split | caveats | | " + " | ".join(title for _, _, title in COLUMNS) + " |",
             "|" + "---|" * (len(COLUMNS) + 4)]
    for runs in groups:
        first, settings = runs[0]["metrics"], runs[0]["settings"]
        head = [code(recipe_name(runs[0])), code(f"--split {settings.get('split')}"),
                cell(", ".join(first.caveats)) or "-"]
        seeds = f"mean ± SD of {describe_seeds(runs)}" if len(runs) > 1 else f"seed {cell(settings.get('seed'))}"
        rows = {f"**{seeds}**": [f"**{_spread(runs, unit, name, 'value')}**" for unit, name, _ in COLUMNS],
                "95 % interval" + " of each" * (len(runs) > 1): [_intervals(runs, unit, name)
                                                                  for unit, name, _ in COLUMNS],
                "verdict": [_verdicts(runs, unit, name) for unit, name, _ in COLUMNS],
                "nearest image": [_spread(runs, unit, name, "nearest") for unit, name, _ in COLUMNS],
                f"always {cell(first.test.largest)}": [
                    _spread(runs, unit, name, "constant") for unit, name, _ in COLUMNS]}
        for number, (name, cells) in enumerate(rows.items()):
            lines.append(row([*(head if number == 0 else [""] * 3), name, *cells]))
    all_runs = [run for runs in groups for run in runs]
    tests = [run["metrics"].test for run in all_runs]
    tested = sorted({test.patient.count if test.patient else 0 for test in tests})
    trained, scored = ({re.sub(r"^(\w{7})\w*", r"\1", str(commit)) for commit in commits} for commits in (
        [run.get("commit") for run in all_runs], [run["metrics"].commit for run in all_runs]))
    rule = (f" Better: permutation p below {SIGNIFICANT} and the whole 95 % interval above the constant prediction."
            if any(_verdicts(runs, unit, name) != "-" for runs in groups for unit, name, _ in COLUMNS) else "")
    no_mean = f" - (… classes): {NO_MEAN}." if any("classes)**" in line for line in lines[2:]) else ""
    return [*lines, "", f"Test patients: {', '.join(map(str, tested))}; trained at commit "
            f"{cell(', '.join(sorted(trained)))}, scored at {cell(', '.join(sorted(scored)))}.{rule}{no_mean}"]


def _spread(runs: list[dict], unit: str, name: str, what: str) -> str:
    """mean ± SD over the runs that have the score, if they score the same classes."""
    from functions.reports.run_means import scored_names, spread

    return spread(name, [getattr(score, what) for score in _scores(runs, unit, name)],
                  [scored_names(run["metrics"].test) for run in runs], constant=True)


def _scores(runs: list[dict], unit: str, name: str) -> list:
    """The score of each run; nan if a run does not have it."""
    from functions.evaluation.evaluation import Score

    return [run["metrics"].test.scores_of(unit).get(name, Score(float("nan"))) for run in runs]


def _intervals(runs: list[dict], unit: str, name: str) -> str:
    """The interval of each run, in order."""
    ends = [(score.low, score.high) for score in _scores(runs, unit, name)]
    shown = [f"{low:.2f} to {high:.2f}" if low == low else "-" for low, high in ends]
    return "-" if set(shown) == {"-"} else "; ".join(shown)


def _verdicts(runs: list[dict], unit: str, name: str) -> str:
    """The number of runs with each verdict."""
    found = Counter(score.verdict for score in _scores(runs, unit, name) if score.verdict)
    if len(runs) == 1 or not found:
        return cell(next(iter(found), "-"))
    return "; ".join(f"{cell(verdict)}: {count} of {len(runs)}" for verdict, count in found.most_common())


def check_figure(figure: Path, table: Path | None) -> None:
    """Raises UserError if --figure cannot be written, or would replace --write's file or one that is not a PNG."""
    check_file_writable(figure, "--figure")
    if figure == table or (figure.exists() and not (figure.is_file() and figure.read_bytes()[:4] == b"\x89PNG")):
        raise UserError(f"--figure {figure} exists and is not a PNG: name another file")


def draw(groups: list[list[dict]]):
    """Slice accuracy of each run with its interval, one row per group, with the two baselines."""
    from functions.reports.figure_text import Figure, as_written, short

    figure = Figure(figsize=(8, 1.2 + 0.9 * len(groups)), layout="constrained")
    axis = figure.subplots()
    for place, runs in enumerate(groups):
        scores = [run["metrics"].test.slice.scores["accuracy"] for run in runs]
        labels = LABELS if place == 0 else dict.fromkeys(LABELS)
        for number, score in enumerate(scores):
            span = [[max(end, 0)] for end in (score.value - score.low, score.high - score.value) if end == end] or None
            offset = 0.1 * (number - (len(scores) - 1) / 2)
            axis.errorbar(score.value, place + offset, xerr=span, fmt="o", ms=4, color="#0072B2", capsize=2, lw=1,
                          label=labels["network"] if number == 0 else None)
        nearest = [score.nearest for score in scores if score.nearest == score.nearest]
        constant = [score.constant for score in scores if score.constant == score.constant]
        for values, mark, colour, label in ((nearest, "s", "#D55E00", "nearest"), (constant, "|", "0.2", "constant")):
            if values:
                axis.plot(sum(values) / len(values), place, mark, color=colour, mfc="none", ms=12, label=labels[label])
    axis.set_yticks(range(len(groups)), ["\n".join([
        f"{short(recipe_name(runs[0]))}, --split {short(runs[0]['settings'].get('split'))}",
        *map(short, runs[0]["metrics"].caveats)]) for runs in groups])
    axis.set(xlim=(min(0.3, axis.dataLim.x0 - 0.02), 1.02), ylim=(len(groups) - 0.5, -0.5),
             xlabel="accuracy of test slices")
    axis.grid(alpha=0.3, axis="x")
    figure.legend(loc="outside upper center", ncols=2, fontsize="small")
    return as_written(figure)


def main() -> None:
    """Prints the table, and optionally writes it to a file and plots the figure."""
    with one_line_errors():
        parser = OneLineParser(description=__doc__)
        parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders of evaluated runs")
        parser.add_argument("--write", type=Path, metavar="FILE", help="write the table between the markers in FILE")
        parser.add_argument("--figure", type=Path, metavar="FILE", help="also plot the runs, as a PNG")
        arguments = parser.parse_args()
        refuse_repeats(arguments.runs)
        if arguments.figure:
            check_figure(arguments.figure, arguments.write)
        runs = list(map(read, arguments.runs))
        groups = [[runs[number] for number in numbers] for numbers in group_runs(runs)]
        print("\n".join(lines := table(groups)))
        if arguments.write:
            write_between(arguments.write, BEGIN, END, lines)
        if arguments.figure:
            draw(groups).savefig(arguments.figure, dpi=110, format="png")


if __name__ == "__main__":
    main()
