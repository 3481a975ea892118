"""All GPU checks of this project in one command: correctness, numerical precision and speed.

    python -m benchmarks gpu_story [PART ...] [--budget SECONDS] [--again] [--quick] [--out FOLDER]

Each command of a part runs in a process of its own; no part takes longer than ten minutes. After every command the
part's Markdown is written to FOLDER/<number>_<part>.md, its whole output to FOLDER/records/. A command that fails is
recorded with its last lines, and the next one is run. A part that has finished is not run again.
"""

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from benchmarks.gpu_parts import SCRIPTS, Part, Step, make_parts
from benchmarks.timing import table
from functions.runtime.atomic_files import write_json, write_text
from functions.runtime.errors import UserError
from functions.runtime.exits import one_line_errors

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 600                        # time limit of a part, seconds
KEPT, KEPT_OF_FAILURE = 3, 15      # last lines of a command's output


class Outcome(NamedTuple):
    """How a command ended: "exit 0", "not run: …", "stopped after … s"; its seconds, last lines and table."""

    state: str
    seconds: float = 0.0
    last_lines: tuple[str, ...] = ()
    table: str = ""

    @property
    def failed(self) -> bool:
        return self.state.startswith("exit") and self.state != "exit 0"

    @property
    def cut_short(self) -> bool:
        return self.state.startswith(("stopped", "not run: no time"))


def run_step(step: Step, work: Path, log: Path, limit: float) -> Outcome:
    """Runs a command, its output going to `log`; kills it and all it has started after `limit` seconds."""
    arguments = [str(ROOT / argument) if argument in SCRIPTS else argument for argument in step.command]
    places = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": places, "PYTHONUNBUFFERED": "1"} | step.environment
    if step.table:
        step.table.unlink(missing_ok=True)
    started = time.perf_counter()
    with log.open("wb") as stream:
        process = subprocess.Popen([sys.executable, *arguments], cwd=work if step.is_script else ROOT, env=environment,
                                   stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT,
                                   start_new_session=True)
        try:
            state = f"exit {process.wait(timeout=limit)}"
        except subprocess.TimeoutExpired:
            state = f"stopped after {limit:.0f} s"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    seconds = time.perf_counter() - started
    lines = [line.rstrip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    written = step.table.read_text(encoding="utf-8") if step.table and step.table.exists() else ""
    return Outcome(state, seconds, tuple(lines[-(KEPT if state == "exit 0" else KEPT_OF_FAILURE):]), written)


def run_part(part: Part, out: Path, limit: float, has_gpu: bool) -> Iterator[list[Outcome]]:
    """After each command, the outcomes so far."""
    logs, ends, outcomes = out / "records" / part.name, time.monotonic() + limit, []
    logs.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        for number, step in enumerate(part.steps, start=1):
            left = ends - time.monotonic()
            if step.needs_gpu and not has_gpu:
                outcome = Outcome("not run: needs a GPU")
            elif left < 1:
                outcome = Outcome("not run: no time left")
            else:
                outcome = run_step(step, Path(work), logs / f"{number:02}.txt", left)
            outcomes.append(outcome)
            print(f"{part.name:8} {number}/{len(part.steps)}  {outcome.state}, {outcome.seconds:.0f} s  "
                  f"{shown(step)}", flush=True)
            yield outcomes


def shown(step: Step) -> str:
    """The command as a user types it in the repository."""
    return f"python {shlex.join(argument.removeprefix(f'{ROOT}/') for argument in step.command)}"


def part_text(number: int, part: Part, outcomes: Sequence[Outcome], facts: str) -> str:
    """A part in Markdown: a table of its commands, then what each of them printed or measured."""
    rows = [[f"`{shown(step)}`", outcome.state, f"{outcome.seconds:.0f}"]
            for step, outcome in zip(part.steps, outcomes, strict=False)]
    blocks = [f"## {number}. {part.name}: {part.question}", facts, part.note, table(["command", "state", "s"], rows)]
    for step, outcome in zip(part.steps, outcomes, strict=False):
        if outcome.table:
            blocks.append(outcome.table.strip())
        if outcome.last_lines and (outcome.state != "exit 0" or not step.table):
            blocks.append(f"`{shown(step)}`: {outcome.state}\n\n```\n" + "\n".join(outcome.last_lines) + "\n```")
    missing = len(part.steps) - len(outcomes)
    if missing:
        blocks.append(f"{missing} command(s) not run yet.")
    return "\n\n".join(block for block in blocks if block) + "\n"


def state_of(outcomes: Sequence[Outcome], part: Part) -> str:
    """"finished" (every command that can run here has exited with 0), "failed" or "cut short"."""
    if any(outcome.failed for outcome in outcomes):
        return "failed"
    return "cut short" if len(outcomes) < len(part.steps) or any(o.cut_short for o in outcomes) else "finished"


def describe_machine(has_gpu: bool) -> str:
    """Card, driver and memory as nvidia-smi names them, cores, versions and commit."""
    import torch

    from functions.checkpointing.run_folder import provenance

    card = "no GPU"
    if has_gpu:
        query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
        try:
            cards = subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip().splitlines()
            card = "; ".join("{}, driver {}, {}".format(*line.split(", ")) for line in cards)
        except (OSError, subprocess.CalledProcessError):
            card = f"{torch.cuda.get_device_name()}, driver unknown (nvidia-smi does not run)"
    found = {"Python": sys.version.split()[0], "torch": torch.__version__, "CUDA": torch.version.cuda,
             "cuDNN": torch.backends.cudnn.version()}
    for library in ("torchvision", "timm", "transformers"):
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            found[library] = "not installed"
    versions = ", ".join(f"{name} {number}" for name, number in found.items())
    return f"{card}; {os.cpu_count()} cores; {versions}; commit {provenance()['commit']}"


def run_story(parts: Sequence[Part], chosen: Sequence[str], out: Path, machine: str, *, has_gpu: bool, quick: bool,
              again: bool, budget: float | None) -> dict[str, str]:
    """Runs the chosen parts and returns {part: its outcome}; out/state.json stores it for the next call."""
    ends = float("inf") if budget is None else time.monotonic() + budget
    file, became = out / "state.json", {}
    known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    for number, part in enumerate(parts, start=1):
        if part.name not in chosen:
            continue
        left = ends - time.monotonic()
        if known.get(part.name) == {"state": "finished", "quick": quick} and not again:
            became[part.name] = "finished before, not run again (--again)"
        elif part.seconds > left:
            became[part.name] = f"left out: about {part.seconds} s, {max(left, 0):.0f} s are left of --budget"
        else:
            facts = (f"`python -m benchmarks {shlex.join(sys.argv[1:])}`, {time.strftime('%Y-%m-%d')}; {machine}.")
            known[part.name] = {"state": "cut short", "quick": quick}        # if it is killed in between
            for outcomes in run_part(part, out, min(LIMIT, left), has_gpu):
                write_json(file, known)
                write_text(out / f"{number}_{part.name}.md", part_text(number, part, outcomes, facts))
            became[part.name] = known[part.name]["state"] = state_of(outcomes, part)
            write_json(file, known)
        print(f"{part.name:8} {became[part.name]}", flush=True)
    return became


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line; an unknown part ends the program with exit code 2."""
    names = [part.name for part in make_parts(Path(), False, 1)]
    parser = argparse.ArgumentParser(prog="python -m benchmarks gpu_story", description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART",
                        help=f"one of {', '.join(names)} (default: all, in this order)")
    parser.add_argument("--budget", type=float, metavar="SECONDS", help="start no part that would not fit any more")
    parser.add_argument("--again", action="store_true", help="run parts again that have finished")
    parser.add_argument("--quick", action="store_true", help="smoke test: tiny sizes, also on a CPU")
    parser.add_argument("--out", type=Path, metavar="FOLDER",
                        help="folder of the tables [runs/benchmarks/gpu_story; with --quick gpu_story_quick]")
    options = parser.parse_args(arguments)
    for part in options.parts:
        if part not in names:
            parser.error(f'no part "{part}": it is one of {", ".join(names)}')
    options.parts = options.parts or names
    options.out = options.out or Path("runs/benchmarks") / ("gpu_story_quick" if options.quick else "gpu_story")
    return options


def main(arguments: Sequence[str]) -> None:
    """Every chosen part; exit code 1 if a command failed or a part was cut short."""
    options = parse(arguments)
    with one_line_errors():
        import torch

        has_gpu = torch.cuda.is_available()
        if not has_gpu and not options.quick:
            raise UserError("torch finds no CUDA GPU here: --quick tries the command itself at tiny sizes on a CPU")
        options.out.mkdir(parents=True, exist_ok=True)
        out = options.out.resolve()
        machine = describe_machine(has_gpu)
        print(machine, flush=True)
        try:
            became = run_story(make_parts(out, options.quick, os.cpu_count() or 1), options.parts, out, machine,
                               has_gpu=has_gpu, quick=options.quick, again=options.again, budget=options.budget)
        except KeyboardInterrupt:
            raise KeyboardInterrupt("finished parts are recorded; the same command continues after them") from None
    print(f"{options.out} holds a Markdown file for each part, and all output in records/")
    if {"failed", "cut short"} & set(became.values()):
        sys.exit(1)
