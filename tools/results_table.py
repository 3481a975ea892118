"""Evaluated runs as a Markdown table, seeds of one recipe and split together: tools/results_table.py RUN …"""

import re
import shlex
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))    # run as a file, from anywhere

from functions.command_line import OneLineParser
from functions.errors import UserError
from functions.exits import one_line_errors
from functions.markdown_text import cell, code, row
from functions.run_groups import group_runs, recipe_name, refuse_repeats, seeds_in_words

COLUMNS = (("slice", "accuracy", "slice accuracy"), ("patient", "balanced_accuracy", "patient balanced accuracy"),
           ("patient", "auroc_disease", "patient AUROC, diseased or not"))
LABELS = {"network": "the network, 95 % interval over patients", "others": "other seeds",
          "nearest": "nearest training picture", "constant": "always the largest class"}
BEGIN, END = "<!-- results: written by tools/results_table.py -->", "<!-- end of results -->"


def read(run: Path) -> dict:
    """run.json and, under "evaluation", what evaluate.py wrote of a run; UserError if it has not been evaluated."""
    from functions.metrics_file import read_evaluation
    from functions.run_folder import read_record

    path, again = run / "evaluation" / "metrics.json", f"python evaluate.py {shlex.quote(str(run))}"
    if not path.is_file():
        raise UserError(f"{run} has not been evaluated: {again}")
    evaluation = read_evaluation(path, again)
    return read_record(run) | {"evaluation": evaluation}


def group(runs: list[dict]) -> list[list[dict]]:
    """Runs that differ in their seed alone stand together, in the order in which they were given."""
    return [[runs[number] for number in numbers] for numbers in group_runs(runs)]


def table(groups: list[list[dict]]) -> list[str]:
    """Of each group mean ± SD over its seeds, the first seed with interval and verdict, nearest picture, chance."""
    lines = ["| recipe | split | stamps | | " + " | ".join(words for _, _, words in COLUMNS) + " |",
             "|" + "---|" * (len(COLUMNS) + 4)]
    for runs in groups:
        first, settings = runs[0]["evaluation"], runs[0]["settings"]
        head = [code(recipe_name(runs[0])), code(f"--split {settings.get('split')}"),
                cell(", ".join(first["stamps"])) or "-"]
        seed = f"seed {cell(settings.get('seed'))}"
        seeds = f"mean ± SD of {seeds_in_words(runs)}" if len(runs) > 1 else seed
        rows = {f"**{seeds}**": [f"**{_spread(runs, unit, name, 'value')}**" for unit, name, _ in COLUMNS],
                f"{seed}, 95 % interval": [_one(first, unit, name) for unit, name, _ in COLUMNS],
                "nearest picture": [_spread(runs, unit, name, "nearest") for unit, name, _ in COLUMNS],
                f"always {cell(first['largest'])}": [
                    _spread(runs, unit, name, "constant") for unit, name, _ in COLUMNS]}
        for number, (words, cells) in enumerate(rows.items()):
            lines.append(row([*(head if number == 0 else [""] * 3), words, *cells]))
    everybody = [run for runs in groups for run in runs]
    tested = sorted({run["evaluation"].get("patient", {}).get("count") or 0 for run in everybody})
    trained, scored = ({re.sub(r"^(\w{7})\w*", r"\1", str(run.get("commit"))) for run in part} for part in (
        everybody, [run["evaluation"] for run in everybody]))
    return [*lines, "", f"Test patients: {', '.join(map(str, tested))}; trained at commit "
            f"{cell(', '.join(sorted(trained)))}, scored at {cell(', '.join(sorted(scored)))}."]


def _spread(runs: list[dict], unit: str, name: str, what: str) -> str:
    """mean ± SD of those runs that have the score, and how many have it if not all do."""
    import numpy as np

    found = [(run["evaluation"].get(unit) or {"scores": {}})["scores"].get(name, {}).get(what) for run in runs]
    values = [value for value in found if value is not None]
    if not values:
        return "-"
    spread = np.std(values, ddof=1) if len(values) > 1 else 0
    text = f"{np.mean(values):.3f}" + (f" ± {spread:.3f}" if f"{spread:.3f}" != "0.000" else "")
    return text if len(values) == len(runs) else f"{text} ({len(values)} of {len(runs)})"


def _one(result: dict, unit: str, name: str) -> str:
    from functions.report import with_interval

    score = (result.get(unit) or {"scores": {}})["scores"].get(name)
    return f"{with_interval(score)}: {cell(score['verdict'])}" if score and "verdict" in score else "-"


def write_between(file: Path, lines: list[str]) -> None:
    """Replaces what stands between the two marks in a file; ValueError if they are not there once each, in order."""
    from functions.files import write_text

    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is not a UTF-8 text ({error.reason} at byte {error.start})") from None
    if len(found := re.findall(f"{re.escape(BEGIN)}.*?{re.escape(END)}", text, flags=re.DOTALL)) != 1:
        raise UserError(f"{file} needs the line {BEGIN} and after it {END}, once each")
    write_text(file, text.replace(found[0], "\n".join([BEGIN, "", *lines, "", END])))


def draw(groups: list[list[dict]]):
    """Slice accuracy of each group's first run with its interval, of other seeds, nearest pictures, the constant."""
    from matplotlib.figure import Figure

    from functions.figure_text import as_written, short

    figure = Figure(figsize=(8, 1.2 + 0.9 * len(groups)), layout="constrained")
    axis = figure.subplots()
    for place, runs in enumerate(groups):
        score, *others = [run["evaluation"]["slice"]["scores"]["accuracy"] for run in runs]
        said = LABELS if place == 0 else dict.fromkeys(LABELS)
        span = None if None in (score["low"], score["high"]) else [
            [max(score["value"] - score["low"], 0)], [max(score["high"] - score["value"], 0)]]
        axis.errorbar(score["value"], place, xerr=span, fmt="o", color="#0072B2", capsize=4, label=said["network"])
        axis.plot([other["value"] for other in others], [place + 0.16] * len(others), "x", color="#0072B2", ms=5,
                  label=said["others"] if others else None)
        if score.get("nearest") is not None:
            axis.plot(score["nearest"], place, "s", color="#D55E00", mfc="none", label=said["nearest"])
        if score["constant"] is not None:
            axis.plot(score["constant"], place, "|", color="0.2", ms=16, label=said["constant"])
    axis.set_yticks(range(len(groups)), ["\n".join([
        f"{short(recipe_name(runs[0]))}, --split {short(runs[0]['settings'].get('split'))}",
        *map(short, runs[0]["evaluation"]["stamps"])]) for runs in groups])
    axis.set(xlim=(min(0.3, axis.dataLim.x0 - 0.02), 1.02), ylim=(len(groups) - 0.5, -0.5),
             xlabel="share of test slices called right")
    axis.grid(alpha=0.3, axis="x")
    figure.legend(loc="outside upper center", ncols=2, fontsize="small")
    return as_written(figure)


def main() -> None:
    """Prints the table; writes it into a file and draws the figure if asked for."""
    with one_line_errors():
        parser = OneLineParser(description=__doc__)
        parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders of evaluated runs")
        parser.add_argument("--write", type=Path, metavar="FILE", help="put the table between the marks in this file")
        parser.add_argument("--figure", type=Path, metavar="FILE", help="also draw them, as a PNG")
        arguments = parser.parse_args()
        refuse_repeats(arguments.runs)
        groups = group([read(run) for run in arguments.runs])
        lines = table(groups)
        print("\n".join(lines))
        if arguments.write:
            write_between(arguments.write, lines)
        if arguments.figure:
            draw(groups).savefig(arguments.figure, dpi=110, format="png")


if __name__ == "__main__":
    main()
