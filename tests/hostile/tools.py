"""The scripts of tools/ on damaged, missing and mixed runs, on tables that are none, and with odd flags."""

import json
import os
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
    yield from phantoms()
    yield from own_tables(bench)
    yield from exports()
    for script in ("tools.compare_runs", "tools.results_table", "tools.grouping_table", "tools.export"):
        for given in ([], ["nowhere"], ["/dev/null"], ["."], [""], ["x" * 300], ["--nonsense"], ["nowhere", "x.csv"]):
            yield Case("tools' flags", f"{script} {str(given)[:40]}", script, given, must="refuse",
                       names=("RUN", "DATA", "TABLE", "run folder", "File name too long", "an argument", "error: . ",
                              "checkpoint best.pt: no such file"))
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
    for script in ("tools.compare_runs", "tools.results_table"):
        yield Case("tools' flags", f"{script} twice a run", script, ["runs/done", "./runs/done"],
                   lambda bench, folder: evaluated(bench, folder) and None, "refuse")


def exports() -> Iterator[Case]:
    """Exports of whole, damaged and moved runs, and to places that cannot be written."""
    torch, export = ["runs/done", "--format", "torch"], "tools.export"

    def write(file: str, content: str | None):
        def change(bench, folder):
            path = bench.run(folder, "done") / file
            path.unlink() if content is None else path.write_text(content)

        return change

    def nothing(bench, folder):
        bench.run(folder, "done")

    def moved(bench, folder):
        run = bench.run(folder, "done")
        text = (run / "split.csv").read_text()
        (run / "split.csv").write_text(text.replace(str(bench.base), "/nowhere"))

    yield Case("tools' exports", "a whole run", export, torch, nothing, "work")
    yield Case("tools' exports", "slices that are gone", export, torch, moved, "work")
    yield Case("tools' exports", "a checkpoint alone", export, ["runs/done/last.pt", *torch[1:]], nothing, "work")
    for file in ("run.json", "split.csv", "metrics.json", "results.csv", "best.pt"):
        for content in ("", "{}", "\0", "[" * 10**5, None):
            must = "" if (file, content) == ("run.json", None) else "refuse"
            yield Case("tools' exports", f"{file}: {str(content)[:9]!r}", export, torch, write(file, content), must)
    for given in (["--out", "runs"], ["--out", "runs/done/best.pt/x"], ["--out", "/proc/x"], ["--format", "tflite"],
                  ["--license", "a b"], ["--license", "\x1b[31m"], ["--out", "x" * 300]):
        yield Case("tools' exports", " ".join(given)[:40], export, [*torch, *given], nothing, "refuse",
                   ("/proc", "File name too long"))


def runs(bench: Bench) -> Iterator[Case]:
    """Whole and unfinished runs; then every key of metrics.json and some of run.json, and the run's tables, damaged."""
    def change(function):
        return lambda bench, folder: function(evaluated(bench, folder)) and None

    both = (("tools.compare_runs", "metrics.json"), ("tools.results_table", "evaluation/metrics.json"))
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
            yield Case("tools' runs", f"compare, {file} {what}", "tools.compare_runs", ["runs/done"], change(
                lambda run, file=file, edit=edit: (run / file).write_text(edit((run / file).read_text()))))


def phantoms() -> Iterator[Case]:
    """python -m data_setup.phantom with every flag wrong."""
    small = ["--people", "10", "--slices", "1"]
    for given in ([], ["out", "--people", "3"], ["out", "--people", "x"], ["out", "--slices", "0"],
                  ["out", "--seed", "-1"],
                  ["out", "--fault", "none"], ["out", *small, "--contact_sheet", "s.xyz"], ["", *small],
                  ["out", *small, "--contact_sheet", "no/s.png"], ["taken", *small], ["link", *small],
                  ["a/b/c", *small], ["x" * 300, *small], ["out", *small], ["out", *small, "--contact_sheet", "s.png"]):
        def prepare(bench, folder):
            (folder / "taken").mkdir()
            (folder / "link").symlink_to("nowhere")

        yield Case("phantoms", " ".join(given)[:70] or "nothing", "data_setup.phantom.__main__", given, prepare,
                   names=("OUT", "people", "slices", "seed", "fault", ". exists", "too long", "an argument"))


def own_tables(bench: Bench) -> Iterator[Case]:
    """Files of the user that have the name of a result, and links and pipes where a run has small files."""
    def with_slices(bench, folder):
        bench.slices(folder / "S")
        rows = [f"{path},{number}" for number, path in enumerate(sorted((folder / "S").rglob("*.png")))]
        (folder / "subjects.csv").write_text("path,subject\n" + "\n".join(rows) + "\n")

    yield Case("tables that would be overwritten", "audit", "audit",
               ["S", "--subjects", "subjects.csv", "--out", "."], with_slices, "refuse")
    for name in ("process.pid", "process.lock"):
        for kind in ("link", "pipe", "folder"):
            def prepare(bench, folder, name=name, kind=kind):
                place = bench.run(folder, "half") / name
                if kind == "link":
                    (folder / "precious.txt").write_text("precious")
                    place.symlink_to(folder / "precious.txt")
                else:
                    (os.mkfifo if kind == "pipe" else Path.mkdir)(place)

            yield Case("tables that would be overwritten", f"{name} is a {kind}", "train", ["--resume", "runs/half"],
                       prepare)
