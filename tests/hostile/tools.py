"""The scripts of tools/ on damaged, missing and mixed runs, on tables that are none, and with odd flags."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.hostile.bench import Bench, Case
from tests.hostile.records import RAW, csv_edits, damaged, paths, with_key

VALUES = (None, "", "x\x1b[31m|", -1, 1e308, True, [], {"a": None}, "$\\frac$", KeyError)
TABLES = ("path,subject,slice\n", "path,subject,slice\na.png,1,x\n", "path\n", "a;b\n1;2\n", "\x00", "",
          "path,subject,slice\n" + "none.png,1,1\n" * 40)


def evaluated(bench: Bench, folder: Path) -> Path:
    """A copy of the finished run with the results of evaluate.py, made once."""
    if not (bench.base / "runs/done/evaluation").exists():
        bench.must_work(Case("base", "evaluated", "evaluate", ["runs/done"]), bench.base)
    return bench.run(folder, "done")


def cases(bench: Bench) -> Iterator[Case]:
    yield from runs(bench)
    for script in ("tools.compare", "tools.results_table", "tools.grouping_table"):
        for given in ([], ["nowhere"], ["/dev/null"], ["."], [""], ["x" * 300], ["--nonsense"], ["nowhere", "x.csv"]):
            yield Case("tools' flags", f"{script} {str(given)[:40]}", script, given, must="refuse",
                       names=("RUN", "DATA", "TABLE", "run folder", "File name too long", "an argument", "error: . "))
    for number, text in enumerate(TABLES):
        def write(bench, folder, text=text):
            (folder / "t.csv").write_text(text)

        yield Case("tools' flags", f"grouping table {number}", "tools.grouping_table", [".", "t.csv"], write, "refuse",
                   ("none.png",))

    def mark(bench, folder):
        (folder / "R.md").write_text("no marks")
        evaluated(bench, folder)

    for given in (["--figure", "no/x.png"], ["--figure", "."], ["--figure", "runs/done/run.json"], ["--write", "no.md"],
                  ["--write", "runs"], ["--write", "R.md"], ["--write", "R.md", "--figure", "R.md"]):
        yield Case("tools' flags", f"results_table {' '.join(given)}", "tools.results_table", ["runs/done", *given],
                   mark, "refuse")
    for script in ("tools.compare", "tools.results_table"):
        yield Case("tools' flags", f"{script} twice a run", script, ["runs/done", "./runs/done"],
                   lambda bench, folder: evaluated(bench, folder) and None, "refuse")


def runs(bench: Bench) -> Iterator[Case]:
    """Whole and unfinished runs; then every key of metrics.json and some of run.json, and the run's tables, damaged."""
    def change(function):
        return lambda bench, folder: function(evaluated(bench, folder)) and None

    both = (("tools.compare", "metrics.json"), ("tools.results_table", "evaluation/metrics.json"))
    for script, metrics in both:
        yield Case("tools' runs", f"{script}, a whole run", script, ["runs/done"], change(lambda run: 0), "work")
        yield Case("tools' runs", f"{script}, a run that is not finished", script, ["runs/half"],
                   lambda bench, folder: bench.run(folder, "half") and None, "refuse", ("runs/half",))
        record = json.loads((evaluated(bench, bench.base / "once") / metrics).read_text())
        shutil.rmtree(bench.base / "once")
        for number, keys in enumerate(paths(record, 4)):
            value = VALUES[number % len(VALUES)]
            yield Case("tools' runs", f"{metrics}: {'.'.join(keys)} = {str(value)[:20]!r}", script, ["runs/done"],
                       change(lambda run, keys=keys, value=value, metrics=metrics: with_key(run, metrics, keys, value)))
        for number, key in enumerate(("settings", "state", "stamps", "class_names", "name", "commit", "run_id")):
            value = VALUES[(3 * number) % len(VALUES)]
            yield Case("tools' runs", f"{script}, run.json: {key} = {str(value)[:20]!r}", script, ["runs/done"],
                       change(lambda run, key=key, value=value: with_key(run, "run.json", (key,), value)))
        for what, content in RAW.items():
            yield Case("tools' runs", f"{metrics} {what}", script, ["runs/done"],
                       change(lambda run, content=content, metrics=metrics: damaged(run, metrics, content)), "refuse")
    for file in ("split.csv", "results.csv", "predictions.csv"):
        for what, edit in csv_edits():
            yield Case("tools' runs", f"compare, {file} {what}", "tools.compare", ["runs/done"], change(
                lambda run, file=file, edit=edit: (run / file).write_text(edit((run / file).read_text()))))
