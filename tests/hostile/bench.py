"""Runs one script on one hostile input, in a process forked from one that has loaded torch, and judges it."""

import contextlib
import functools
import importlib
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from functions.runtime.errors import printable
from tests.conftest import TINY, make_slices
from tests.forkserver import fork_context

SECONDS = 60  # an input that takes longer has hung
MAX_RSS = 3 * 2**20  # KiB: torch and a tiny run take 0.6 GiB
MAX_MEMORY = 24 * 2**30  # of address space: a bomb ends as MemoryError, not with the machine
PROGRAMS = {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.startfile"}
WRITES = {
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.link",
    "os.symlink",
    "os.truncate",
    "os.chmod",
    "shutil.rmtree",
}
RESNET = ["--model", "resnet18", "--image_size", "32"]
REFUSED, WORKED, FAILED = "refused well", "worked", "failed"


@dataclass
class Case:
    """One input. `prepare` gets an empty folder and makes the input there; the script starts inside that folder."""

    kind: str
    name: str
    script: str  # train, evaluate, audit, train_transferlearning
    arguments: list[str]
    prepare: Callable[["Bench", Path], None] = lambda bench, folder: None
    must: str = ""  # "refuse" or "work"; "": either is right
    names: tuple[str, ...] = field(default=())  # one of these in the message, beside flags and files of the case
    unreadable: bool = False  # the input of predict.py has unreadable images: exit code 1, and a note that counts them

    @property
    def title(self) -> str:
        return f"{self.kind}: {self.name}"


class Bench:
    """A folder with slices and runs that cases copy from; `root` is otherwise watched for stray files."""

    def __init__(self, root: Path):
        self.root, self.base = root, root / "base"
        self.base.mkdir()
        make_slices(self.base / "S")
        for case in (
            Case("base", "done", "train", data(self) + ["--epochs", "1", "--name", "done"]),
            Case("base", "half", "train", data(self) + ["--epochs", "2", "--stop_after", "1", "--name", "half"]),
        ):
            self.must_work(case, self.base)

    def must_work(self, case: Case, folder: Path) -> None:
        code, out, err, *_ = self._fork(case, folder)
        assert code == 0, f"{case.title}: {out[-500:]}{err[-2000:]}"

    def slices(self, folder: Path, classes=("AD", "CN"), patients=6, splits=("train", "test")) -> Path:
        """A copy of some slices: `patients` of each class; nobody stands in train and test."""
        for split in splits:
            for old, new in zip(("AD", "CN"), classes, strict=True):
                (folder / split / new).mkdir(parents=True, exist_ok=True)
                for person in range(patients):
                    if (person % 3 == 0) == (split == "test"):
                        for file in sorted((self.base / "S/train" / old).glob(f"sub-{old}{person:02d}_*")):
                            shutil.copy(file, folder / split / new)
        return folder

    def run(self, folder: Path, name: str) -> Path:
        """A copy of the base run `name`, under the same place in `folder`."""
        return Path(shutil.copytree(self.base / "runs" / name, folder / "runs" / name))

    @functools.cached_property
    def transfer(self) -> Path:
        """runs/ with a finished run of train_transferlearning.py, feat, and its cached features; made when needed."""
        flags = [*data(self)[:4], *RESNET, "--weights", "random", "--epochs", "1", "--name", "feat"]
        folder = self.root / "transfer"
        folder.mkdir()
        self.must_work(Case("base", "features", "train_transferlearning", flags), folder)
        return folder / "runs"

    def try_case(self, case: Case, number: int) -> tuple[str, str, float]:
        """(outcome, why it failed or what was said, seconds)."""
        folder = self.root / f"case{number}"
        folder.mkdir()
        began = time.monotonic()
        case.prepare(self, folder)
        words = _words(case, folder)
        before = _listing(self.root, folder)
        code, out, err, events, rss = self._fork(case, folder)
        outcome, why = judge(case, code, out, err, words)
        if rss > MAX_RSS:
            outcome, why = FAILED, f"took {rss / 2**20:.1f} GiB of memory"
        if events:
            outcome, why = FAILED, "; ".join(events[:3])
        if stray := [str(path) for path in {*before.items()} ^ {*_listing(self.root, folder).items()}]:
            outcome, why = FAILED, f"changed outside its folder: {sorted(stray)[:3]}"
        if parts := [str(path.relative_to(folder)) for path in _files(folder) if path.name.endswith(".part")]:
            outcome, why = FAILED, f"left {parts[:3]}"
        shutil.rmtree(folder, ignore_errors=True)
        return outcome, why, time.monotonic() - began

    def _fork(self, case: Case, folder: Path) -> tuple[int, str, str, list[str], int]:
        context, files = fork_context(), [self.root / name for name in ("stdout", "stderr", "events")]
        for file in files:
            file.write_bytes(b"")
        ends, sent = context.Pipe(duplex=False)
        process = context.Process(target=_supervise, args=(case.script, case.arguments, folder, files, sent))
        process.start()
        sent.close()
        code, rss = ends.recv()
        process.join()
        out, err, events = (file.read_bytes().decode(errors="backslashreplace") for file in files)
        for file in files:
            file.unlink()
        return code, out, err, events.splitlines(), rss


def data(bench: Bench) -> list[str]:
    """The flags of a tiny run on the base slices, the seed fixed."""
    return ["--train_dir", str(bench.base / "S/train"), "--test_dir", str(bench.base / "S/test"), *TINY]


def judge(case: Case, code: int, out: str, err: str, words: set[str]) -> tuple[str, str]:
    """(outcome, why): what DESIGN's exit codes promise, and nothing else, is well."""
    lines = err.splitlines()
    last = lines[-1] if lines else ""
    if code == -100:
        return FAILED, f"hung: no end after {SECONDS} s"
    if "Traceback" in err + out:
        return FAILED, f"traceback, exit {code}: {last}"
    if code == 0:
        if case.must == "refuse" or case.unreadable:
            return FAILED, "accepted: exit 0"
        noise = [line for line in lines if "Warning" in line]
        return (FAILED, f"a library's warning: {noise[0]}") if noise else (WORKED, "")
    if code == 1 and case.unreadable:
        count = re.search(r"^note: .*images?.*: ([\d,]+) unreadable", last)
        return (WORKED, "") if count and count[1] != "0" else (FAILED, f"exit 1 without a count: {last}")
    if code != 2:
        return FAILED, f"exit {code}: {last}"
    if len(lines) != 1:
        return FAILED, f"{len(lines)} lines on stderr: {err[:400]!r}"
    if not last.isprintable():
        return FAILED, f"unprintable characters: {last!r}"
    if case.must == "work":
        return FAILED, f"refused: {last}"
    if not any(word in last for word in words | set(case.names)):
        return FAILED, f"names neither file nor flag: {last}"
    return REFUSED, last


def _words(case: Case, folder: Path) -> set[str]:
    """What a message may name: the flags and values of the case, its files and folders."""
    given = {printable(text.partition("=")[0]) for text in case.arguments if len(text) > 2 or text.startswith("-")}
    given |= {f" {text} " for text in case.arguments if len(text) < 3}
    flags = {text[2:] for text in given if text.startswith("--")} - {""}
    given |= flags | {text.replace("_dir", " folder").replace("_", " ") for text in flags}
    files = {path.name for path in _files(folder)} | {path.parent.name for path in _files(folder)}
    return given | {name for name in files if len(name) > 2}


def _files(folder: Path) -> list[Path]:
    found = []
    for where, folders, names in os.walk(folder):
        found += [Path(where, name) for name in (*folders, *names)]
    return found


def _listing(root: Path, without: Path) -> dict[str, tuple]:
    """Size and time of every file below `root` but those of one folder."""
    found = {}
    for path in _files(root):
        if without != path and without not in path.parents and path.parent != root:
            with contextlib.suppress(OSError):
                state = path.lstat()
                found[str(path.relative_to(root))] = (state.st_size, state.st_mtime_ns)
    return found


def _supervise(script: str, arguments: list[str], folder: Path, files: list[Path], sent) -> None:
    """Forks the process that is judged, and sends its exit code (-100: it hung) and its peak RSS in KiB."""
    if (child := os.fork()) == 0:
        try:
            _child(script, arguments, folder, *files)
        finally:
            os._exit(99)
    until, pid = time.monotonic() + SECONDS, 0
    while not pid and time.monotonic() < until:
        pid, status, usage = os.wait4(child, os.WNOHANG)
        time.sleep(0 if pid else 0.005)
    if not pid:
        os.killpg(child, signal.SIGKILL)
        _, _, usage = os.wait4(child, 0)
    sent.send((os.waitstatus_to_exitcode(status) if pid else -100, usage.ru_maxrss))


def _child(script: str, arguments: list[str], folder: Path, out: Path, err: Path, events: Path) -> None:
    """What the forked process does: the script's main, watched by an audit hook; never returns."""
    os.setsid()
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for file, number in ((out, 1), (err, 2)):
        os.dup2(os.open(file, os.O_WRONLY), number)
    sys.stdin = open(os.devnull)  # noqa: SIM115 - for the rest of the process
    sys.stdout, sys.stderr = (os.fdopen(number, "w", encoding="utf-8", closefd=False) for number in (1, 2))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    os.chdir(folder)
    os.environ["TMPDIR"], tempfile.tempdir = str(folder), None
    main = importlib.import_module(script).main
    _watch(folder, events)
    sys.argv = [f"{script}.py", *arguments]
    code = 1
    try:
        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    with contextlib.suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _watch(folder: Path, events: Path) -> None:
    """From here on, a program that is started, and a file that is written outside `folder`, stand in `events`."""
    log = os.open(events, os.O_WRONLY | os.O_APPEND)
    allowed = tuple(
        map(
            str,
            (
                f"{folder.resolve()}/",
                "/dev/",
                "/proc/",
                Path.home() / ".cache",
                Path.home() / ".config",
                "/tmp/matplotlib",
                "/tmp/torchinductor",
                "/tmp/pymp-",
                "/dev/shm",
            ),
        )
    )

    def outside(path) -> bool:
        if not isinstance(path, (str, bytes)):
            return False
        whole = os.path.join(os.getcwd(), os.fsdecode(path))
        real = os.path.realpath(os.path.dirname(whole))
        real = os.path.join(real, os.path.basename(whole)) + "/"
        return not f"{whole}/".startswith(("/proc/", "/dev/")) and not real.startswith(allowed)

    def hook(event: str, arguments: tuple) -> None:
        line = ""
        if event in PROGRAMS and arguments[0] not in ("git", sys.executable):
            line = f"started a program: {event} {arguments[:2]}"
        elif (
            event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        ):
            line = f"wrote outside: {arguments[0]}" if outside(arguments[0]) else ""
        elif event in WRITES and outside(arguments[0]):
            line = f"{event} outside: {arguments[0]}"
        if line and "__pycache__" not in line:
            os.write(log, (line.replace("\n", " ")[:300] + "\n").encode(errors="backslashreplace"))

    sys.addaudithook(hook)
