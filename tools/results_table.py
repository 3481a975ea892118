"""Evaluated runs as a Markdown table, and as a figure: tools/results_table.py [--figure FILE] RUN …"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))    # run as a file, from anywhere

from functions.command_line import OneLineParser
from functions.exits import one_line_errors

COLUMNS = (("slice", "accuracy", "slice accuracy"), ("patient", "balanced_accuracy", "patient balanced accuracy"),
           ("patient", "auroc_disease", "patient AUROC, diseased or not"))


def read(run: Path) -> dict:
    """What evaluate.py wrote of a run; ValueError if it has not been evaluated."""
    import json

    path = run / "evaluation" / "metrics.json"
    if not path.is_file():
        raise ValueError(f"{run} has not been evaluated: python evaluate.py {run}")
    return json.loads(path.read_text(encoding="utf-8"))


def table(runs: dict[str, dict]) -> list[str]:
    """A line a run: each score with its interval and verdict, the nearest neighbour, the stamps."""
    lines = ["| run | stamps | " + " | ".join(words for _, _, words in COLUMNS)
             + " | nearest pixel neighbour, slice accuracy |", "|---" * (len(COLUMNS) + 3) + "|"]
    for name, result in runs.items():
        cells = [name, ", ".join(result["stamps"]) or "-"]
        for unit, score, _ in COLUMNS:
            one = result[unit]["scores"].get(score)
            span = f"{one['value']:.3f} [{one['low']:.3f} to {one['high']:.3f}]: {one['verdict']}" if one else "-"
            cells.append(span)
        neighbour = result["nearest neighbour"]
        cells.append(f"{neighbour['as_split'][0]:.3f}" if neighbour else "-")
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def draw(runs: dict[str, dict]):
    """Slice accuracy of each run with its interval over patients, beside its nearest neighbour and the constant."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1.2 + 0.8 * len(runs)), layout="constrained")
    axis = figure.subplots()
    for row, result in enumerate(runs.values()):
        score, neighbour = result["slice"]["scores"]["accuracy"], result["nearest neighbour"]
        span = [[score["value"] - score["low"]], [score["high"] - score["value"]]]
        axis.errorbar(score["value"], row, xerr=span, fmt="o", color="#0072B2", capsize=4,
                      label="the network, 95 % interval over patients" if row == 0 else None)
        if neighbour:
            axis.plot(neighbour["as_split"][0], row, "s", color="#E69F00", mfc="none",
                      label="nearest pixel neighbour" if row == 0 else None)
        axis.plot(score["constant"], row, "|", color="0.3", ms=16,
                  label="always the largest class" if row == 0 else None)
    axis.set_yticks(range(len(runs)), ["\n".join([name, *result["stamps"]]) for name, result in runs.items()])
    axis.set(xlim=(0.3, 1.02), ylim=(len(runs) - 0.5, -0.5), xlabel="share of test slices called right")
    axis.grid(alpha=0.3, axis="x")
    figure.legend(loc="outside upper center", ncols=3, fontsize="small")
    return figure


def main() -> None:
    """Prints the table; draws the figure if asked for."""
    with one_line_errors():
        parser = OneLineParser(description=__doc__)
        parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders of evaluated runs")
        parser.add_argument("--figure", type=Path, metavar="FILE", help="also draw them, as a PNG")
        arguments = parser.parse_args()
        runs = {run.name: read(run) for run in arguments.runs}
        print("\n".join(table(runs)))
        if arguments.figure:
            draw(runs).savefig(arguments.figure, dpi=110)


if __name__ == "__main__":
    main()
