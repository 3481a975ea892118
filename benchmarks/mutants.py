"""How many mutants the tests detect: python benchmarks/mutants.py

benchmarks/mutants.yaml lists mutants by file: the exact text, what replaces it, and the tests that should detect
it (default: the file's mirror test). Each mutant is applied alone in a temporary copy of the tree, and its tests run
there until the first one fails. Results are appended to --out as they come; a mutant whose file and tests have not
changed since is not tried again, so an interrupted run continues where it stopped.
"""

import argparse
import hashlib
import importlib
import itertools
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
LIST = ROOT / "benchmarks" / "mutants.yaml"
NOTICED, SURVIVED, EQUIVALENT = "detected", "not detected", "equivalent"
NOT_FOUND, AMBIGUOUS, BROKEN = "text not found", "text found more than once", "tests fail without the mutant"
GOAL = 0.95
LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "runs", "data", "*.pyc")
LIBRARIES = ("torch", "torchvision", "pandas", "scipy.stats", "scipy.optimize", "sklearn.metrics", "sklearn.tree",
             "sklearn.model_selection", "sklearn.linear_model", "matplotlib.pyplot", "PIL.Image", "tqdm", "pytest")
_seconds = itertools.count(1_000_000_000)


@dataclass(frozen=True)
class Mutant:
    """One mistake: in `file`, `old` becomes `new`; `equivalent` is the reason why no test could detect it."""

    file: str
    mistake: str
    old: str
    new: str
    tests: tuple[str, ...]
    equivalent: str = ""


def mirror(file: str) -> str:
    """The test file of a module or script."""
    path = Path(file)
    folder = path.parent if path.parent.name else Path("scripts")
    return str(Path("tests", folder, f"test_{path.stem}.py"))


def read_list(path: Path) -> list[Mutant]:
    """The mutants of a YAML file: {file: [{mistake, old, new, tests (below tests/), equivalent}, ...]}."""
    mutants = []
    for file, entries in yaml.safe_load(path.read_text(encoding="utf-8")).items():
        for entry in entries:
            tests = entry.pop("tests", None)
            tests = (tests,) if isinstance(tests, str) else tests
            tests = [mirror(file)] if tests is None else [f"tests/{test}" for test in tests]
            mutants.append(Mutant(file, tests=tuple(tests), **entry))
    return mutants


def _write(path: Path, text: str) -> None:
    """Writes a file with a unique time stamp: .pyc files are validated by whole seconds and size only."""
    path.write_text(text, encoding="utf-8")
    os.utime(path, (second := next(_seconds), second))


def run_tests(tree: Path, tests: Sequence[str], limit: float, stop: bool = True) -> list[str]:
    """The tests that fail in the tree, the first alone if `stop`; a time-out or an error of pytest's own is named.

    Runs in a forked child, which has the libraries loaded already.
    """
    log = tree.parent / "log.txt"
    child = os.fork()
    if not child:
        code = 70                  # sysexits.h's EX_SOFTWARE, if no test can be run at all
        try:
            code = _in_child(tree, tests, log, stop)
            sys.stdout.flush()
        finally:
            os._exit(code)
    deadline = time.monotonic() + limit
    while not (done := os.waitpid(child, os.WNOHANG))[0]:
        if time.monotonic() > deadline:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return [f"not done after {limit:.0f} s"]
        time.sleep(0.05)
    code, text = os.waitstatus_to_exitcode(done[1]), log.read_text(encoding="utf-8", errors="replace")
    if code == 0:
        return []
    return re.findall(r"^(?:FAILED|ERROR) (tests/.+?)(?: - .*)?$", text, re.MULTILINE) or [f"pytest's exit code {code}"]


def _in_child(tree: Path, tests: Sequence[str], log: Path, stop: bool) -> int:
    os.setsid()
    sys.stdout = sys.stderr = open(log, "w", encoding="utf-8")  # noqa: SIM115 - for as long as the process lives
    for stream in (1, 2):
        os.dup2(sys.stdout.fileno(), stream)
    os.chdir(tree)
    os.environ |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "OMP_NUM_THREADS": "1"}
    sys.path[:] = [str(tree), *(path for path in sys.path if Path(path or ".").resolve() not in (ROOT, LIST.parent))]
    for name, module in list(sys.modules.items()):
        if name != "__main__" and ROOT in Path(getattr(module, "__file__", None) or "/").parents:
            del sys.modules[name]
    import pytest

    return int(pytest.main([*["-x"] * stop, "-q", "--tb=short", "-p", "no:cacheprovider", "--rootdir", str(tree),
                            *tests]))


class Results:
    """What failed under each mistake, one JSON object a line on disk, by the changed file and the tests."""

    def __init__(self, path: Path):
        self.path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        self.known = {row["key"]: row for row in map(json.loads, lines)}

    def of(self, tree: Path, mutant: Mutant, find: Callable[[], list[str]]) -> list[str]:
        """What is known for this content of the changed file and of the tests, else `find()`, which is recorded."""
        key = hashlib.sha256(repr(mutant.tests).encode())
        for name in sorted({test.split("::")[0] for test in mutant.tests} | {mutant.file}):
            key.update(name.encode() + ((tree / name).read_bytes() if (tree / name).is_file() else b""))
        key = key.hexdigest()[:32]
        if key not in self.known:
            self.known[key] = {"key": key, "file": mutant.file, "mistake": mutant.mistake, "failed": find()}
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(self.path, "a", encoding="utf-8") as out:
                out.write(json.dumps(self.known[key]) + "\n")
        return self.known[key]["failed"]


def try_one(mutant: Mutant, tree: Path, results: Results, limit: float) -> tuple[str, list[str]]:
    """(outcome, the test that detected it): applies one mutant to the tree and reverts it."""
    path = tree / mutant.file
    original = path.read_text(encoding="utf-8") if path.is_file() else ""
    if original.count(mutant.old) != 1:
        return (AMBIGUOUS if mutant.old in original else NOT_FOUND), []
    _write(path, original.replace(mutant.old, mutant.new))
    try:
        failed = results.of(tree, mutant, lambda: run_tests(tree, mutant.tests, limit))
    finally:
        _write(path, original)
    return (NOTICED if failed else EQUIVALENT if mutant.equivalent else SURVIVED), failed


def try_all(mutants: Sequence[Mutant], root: Path, results: Results, limit: float) -> list[tuple[Mutant, str]]:
    """Every mutant with its outcome, in a copy of `root`. A test that fails without a mutant, too, detects nothing."""
    tried = []
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder, "tree")
        shutil.copytree(root, tree, ignore=LEFT_OUT, symlinks=True)
        for number, mutant in enumerate(mutants, 1):
            started = time.monotonic()
            tried.append((mutant, *try_one(mutant, tree, results, limit)))
            print(f"{number}/{len(mutants)}  {tried[-1][1]}  {time.monotonic() - started:.0f} s  {mutant.file}: "
                  f"{mutant.mistake}", flush=True)
        noticing = sorted({test for _, _, failed in tried for test in failed if test.startswith("tests/")})
        broken = set(run_tests(tree, noticing, 10 * limit, stop=False) if noticing else [])
    return [(mutant, BROKEN if broken & set(failed) else outcome) for mutant, outcome, failed in tried]


def summary(outcomes: list[tuple[Mutant, str]]) -> list[str]:
    """A Markdown table by area, then every mutant that was not detected, cannot be applied, or is equivalent."""
    areas: dict[str, Counter] = {}
    for mutant, outcome in outcomes:
        area = Path(mutant.file).parts[0] if "/" in mutant.file else "scripts"
        for name in (area, "**all**"):
            areas.setdefault(name, Counter())[outcome if outcome in (NOTICED, SURVIVED, EQUIVALENT) else "problem"] += 1
    areas["**all**"] = areas.pop("**all**", Counter())
    lines = ["| area | detected | not detected | share detected | equivalent | not tried |",
             "|---|---|---|---|---|---|"]
    for area, count in areas.items():
        lines.append(f"| {area} | {count[NOTICED]} | {count[SURVIVED]} | {share(count):.1%} | {count[EQUIVALENT]} | "
                     f"{count['problem']} |")
    for mutant, outcome in outcomes:
        if outcome != NOTICED:
            reason = f" ({mutant.equivalent})" if outcome == EQUIVALENT else ""
            lines.append(f"- {outcome}: {mutant.file}: {mutant.mistake}{reason}")
    return lines


def share(count: Counter) -> float:
    """Of the mutants that were tried and are not equivalent, the share that was detected."""
    return count[NOTICED] / max(count[NOTICED] + count[SURVIVED], 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--list", type=Path, default=LIST, help="YAML file of the mutants")
    parser.add_argument("--only", default="", metavar="TEXT", help="those whose file or description contains TEXT")
    parser.add_argument("--out", type=Path, default=Path("runs/mutants.jsonl"), help="where results are appended")
    parser.add_argument("--limit", type=float, default=300, help="seconds after which tests count as failed")
    arguments = parser.parse_args()
    for library in LIBRARIES:
        importlib.import_module(library)
    chosen = [m for m in read_list(arguments.list) if arguments.only in f"{m.file}: {m.mistake}"]
    outcomes = try_all(chosen, ROOT, Results(arguments.out.resolve()), arguments.limit)
    print("", *summary(outcomes), sep="\n")
    count = Counter(outcome for _, outcome in outcomes)
    sys.exit(share(count) < GOAL or not set(count) <= {NOTICED, SURVIVED, EQUIVALENT})


if __name__ == "__main__":
    main()
