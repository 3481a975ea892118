"""Evaluated runs as a Markdown table, seeds of one recipe and split together: tools/results_table.py RUN …"""

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))    # run as a file, from anywhere

from functions.command_line import OneLineParser
from functions.errors import UserError
from functions.exits import one_line_errors

COLUMNS = (("slice", "accuracy", "slice accuracy"), ("patient", "balanced_accuracy", "patient balanced accuracy"),
           ("patient", "auroc_disease", "patient AUROC, diseased or not"))
BEGIN, END = "<!-- results: written by tools/results_table.py -->", "<!-- end of results -->"
NOT_THE_RECIPE = {"seed", "name", "resume", "cwd", "stop_after"}


def read(run: Path) -> dict:
    """run.json and, under "evaluation", what evaluate.py wrote of a run; ValueError if it has not been evaluated."""
    from functions.report import read_json
    from functions.run_folder import read_record

    path = run / "evaluation" / "metrics.json"
    if not path.is_file():
        raise UserError(f"{run} has not been evaluated: python evaluate.py {run}")
    result = read_json(path)
    if {"slice", "stamps", "nearest neighbour"} - set(result):
        raise UserError(f"{path} is of an older version: python evaluate.py {run}")
    return read_record(run) | {"evaluation": result}


def group(runs: list[dict]) -> list[list[dict]]:
    """Runs that differ in their seed alone stand together, in the order in which they were given."""
    groups = {}
    for run in runs:
        key = str(sorted((k, str(v)) for k, v in run["settings"].items() if k not in NOT_THE_RECIPE))
        groups.setdefault(key, []).append(run)
    return list(groups.values())


def table(groups: list[list[dict]]) -> list[str]:
    """Of each group mean ± SD over its seeds, the first seed with interval and verdict, nearest picture, chance."""
    lines = ["| recipe | split | stamps | | " + " | ".join(words for _, _, words in COLUMNS) + " |",
             "|" + "---|" * (len(COLUMNS) + 4)]
    for runs in groups:
        first, settings = runs[0]["evaluation"], runs[0]["settings"]
        head = [f"`{Path(str(settings.get('recipe'))).stem}`", f"`--split {settings.get('split')}`",
                ", ".join(first["stamps"]) or "-"]
        seeds = f"mean ± SD of {len(runs)} seeds" if len(runs) > 1 else f"seed {settings.get('seed')}"
        rows = {f"**{seeds}**": [f"**{_spread(_values(runs, unit, name, 'value'))}**" for unit, name, _ in COLUMNS],
                f"seed {settings.get('seed')}, 95 % interval": [_one(first, unit, name) for unit, name, _ in COLUMNS],
                "nearest picture": [_spread(_values(runs, unit, name, "nearest")) for unit, name, _ in COLUMNS],
                f"always {first['largest']}": [
                    _spread(_values(runs, unit, name, "constant")) for unit, name, _ in COLUMNS]}
        for number, (words, cells) in enumerate(rows.items()):
            lines.append("| " + " | ".join([*(head if number == 0 else [""] * 3), words, *cells]) + " |")
    everybody = [run for runs in groups for run in runs]
    tested = sorted({run["evaluation"].get("patient", {}).get("count", 0) for run in everybody})
    trained, scored = ({re.sub(r"^(\w{7})\w*", r"\1", str(run["commit"])) for run in part} for part in (
        everybody, [run["evaluation"] for run in everybody]))
    return [*lines, "", f"Test patients: {', '.join(map(str, tested))}; trained at commit "
            f"{', '.join(sorted(trained))}, scored at {', '.join(sorted(scored))}."]


def _values(runs: list[dict], unit: str, name: str, what: str) -> list[float]:
    found = [run["evaluation"].get(unit, {}).get("scores", {}).get(name, {}).get(what) for run in runs]
    return [value for value in found if value is not None]


def _spread(values: list[float]) -> str:
    import numpy as np

    if not values:
        return "-"
    spread = np.std(values, ddof=1) if len(values) > 1 else 0
    return f"{np.mean(values):.3f}" + (f" ± {spread:.3f}" if spread >= 0.0005 else "")


def _one(result: dict, unit: str, name: str) -> str:
    from functions.report import with_interval

    score = result.get(unit, {}).get("scores", {}).get(name)
    return f"{with_interval(score)}: {score['verdict']}" if score and "verdict" in score else "-"


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

    figure = Figure(figsize=(8, 1.2 + 0.9 * len(groups)), layout="constrained")
    axis = figure.subplots()
    for row, runs in enumerate(groups):
        score = runs[0]["evaluation"]["slice"]["scores"]["accuracy"]
        span = [[score["value"] - score["low"]], [score["high"] - score["value"]]]
        said = dict.fromkeys(("network", "others", "nearest", "constant")) if row else {
            "network": "the network, 95 % interval over patients", "others": "other seeds",
            "nearest": "nearest training picture", "constant": "always the largest class"}
        axis.errorbar(score["value"], row, xerr=span, fmt="o", color="#0072B2", capsize=4, label=said["network"])
        others = [run["evaluation"]["slice"]["scores"]["accuracy"]["value"] for run in runs[1:]]
        if others:
            axis.plot(others, [row + 0.16] * len(others), "x", color="#0072B2", ms=5, label=said["others"])
        if score.get("nearest") is not None:
            axis.plot(score["nearest"], row, "s", color="#D55E00", mfc="none", label=said["nearest"])
        axis.plot(score["constant"], row, "|", color="0.2", ms=16, label=said["constant"])
    axis.set_yticks(range(len(groups)), ["\n".join([f"{Path(str(runs[0]['settings'].get('recipe'))).stem}, "
                                                    f"--split {runs[0]['settings'].get('split')}",
                                                    *runs[0]["evaluation"]["stamps"]]) for runs in groups])
    axis.set(xlim=(0.3, 1.02), ylim=(len(groups) - 0.5, -0.5), xlabel="share of test slices called right")
    axis.grid(alpha=0.3, axis="x")
    figure.legend(loc="outside upper center", ncols=2, fontsize="small")
    return figure


def main() -> None:
    """Prints the table; writes it into a file and draws the figure if asked for."""
    with one_line_errors():
        parser = OneLineParser(description=__doc__)
        parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders of evaluated runs")
        parser.add_argument("--write", type=Path, metavar="FILE", help="put the table between the marks in this file")
        parser.add_argument("--figure", type=Path, metavar="FILE", help="also draw them, as a PNG")
        arguments = parser.parse_args()
        groups = group([read(run) for run in arguments.runs])
        lines = table(groups)
        print("\n".join(lines))
        if arguments.write:
            write_between(arguments.write, lines)
        if arguments.figure:
            draw(groups).savefig(arguments.figure, dpi=110)


if __name__ == "__main__":
    main()
