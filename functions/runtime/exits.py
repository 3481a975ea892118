"""Exit codes of scripts: 0 success, 1 bug (traceback), 2 user error (one line), 130 interrupted. No torch import."""

import atexit
import os
import re
import signal
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from functions.runtime.errors import UserError, printable
from functions.runtime.terminal import SafeOutput

CLOSED_PIPE = 128 + 13      # the exit code that a shell reports for a program terminated by SIGPIPE
_signals: list[int] = []     # received signals; Python drops an exception raised inside a destructor


@dataclass
class _Script:
    """The running script: its flags (None: unknown), and whether user errors print a traceback."""

    flags: frozenset[str] | None = None
    traceback: bool = False
    running: bool = False


_script = _Script()


def set_flags(flags: Iterable[str]) -> None:
    """Records the flags of the running script, so that messages suggest only existing flags."""
    _script.flags = frozenset(flags)


def show_tracebacks() -> None:
    """Makes user errors print a traceback too (--traceback)."""
    _script.traceback = True


def has_flag(flag: str) -> bool:
    """Whether the running script has this flag; True if its flags are unknown."""
    return _script.flags is None or flag in _script.flags


def in_script() -> bool:
    """Whether a script of this project is running, not a notebook or another program."""
    return _script.running


def interrupted() -> bool:
    """Whether SIGINT or SIGTERM was received."""
    return bool(_signals)


def raise_if_interrupted() -> None:
    """Raises KeyboardInterrupt if a signal was received whose KeyboardInterrupt was suppressed."""
    if interrupted():
        raise KeyboardInterrupt


def _ignore_signals(before: dict) -> None:
    """Ignores further SIGINT and SIGTERM, and resets SIGCHLD, for which torch raises an error when a worker exits.

    `before` receives the previous handlers. Windows has no SIGCHLD.
    """
    for name, action in (("SIGINT", signal.SIG_IGN), ("SIGTERM", signal.SIG_IGN), ("SIGCHLD", signal.SIG_DFL)):
        if hasattr(signal, name):
            before[getattr(signal, name)] = signal.signal(getattr(signal, name), action)


@contextmanager
def signals_ignored() -> Iterator[None]:
    """A context in which signals do not interrupt the program."""
    before: dict[int, Any] = {}
    try:
        _ignore_signals(before)
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:             # None: not installed by Python
                signal.signal(number, handler)


def _out_of_memory(error: BaseException) -> bool:
    return type(error).__name__ == "OutOfMemoryError" or "DefaultCPUAllocator" in str(error)


def _worker_died(error: BaseException) -> bool:
    return re.match(r"DataLoader worker \(pid.*\) (is killed by signal|exited unexpectedly)", str(error)) is not None


def peer_lost(error: BaseException) -> bool:
    """Whether a collective failed because another process died: an error of NCCL, the store or Gloo."""
    return isinstance(error, RuntimeError) and ("gloo" in str(error) or
                                                any(kind.__name__ == "DistError" for kind in type(error).__mro__))


def one_line_message(error: BaseException) -> str:
    """The error message on one line, with advice where the library's message has none.

    An error in a DataLoader worker has a whole traceback as its message; only the original message is used.
    """
    message = str(error)
    if caught := re.match(r"Caught (\w+) in DataLoader worker process", message):
        message = re.split(rf"\n(?:\w+\.)*{caught[1]}: ", message)[-1]
    message = " ".join(message.split()) or type(error).__name__
    if _worker_died(error):
        advice = " (try fewer --num_workers)" if has_flag("--num_workers") else ""
        return f"a DataLoader worker died, usually because the machine is out of memory{advice}: {message[:200]}"
    if peer_lost(error):
        return "another process of this run has died (see its own message), or cannot be reached"
    if _out_of_memory(error):
        advice = ("try a smaller --batch_size (and --accumulation to make up for it) or a smaller model"
                  if has_flag("--batch_size") else "close other programs, or use a machine with more memory")
        return f"out of memory: {advice}. {message[:200]}"
    return printable(message)


def _report(line: str) -> None:
    """Prints a line to stderr, which may be closed; with --traceback, prints the traceback first."""
    with suppress(OSError):
        if _script.traceback:
            traceback.print_exc()
        print(line, file=sys.stderr, flush=True)


def _discard_output() -> None:
    """Discards output that stdout and stderr cannot write, so that Python does not report it again on exit."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _check_working_folder() -> None:
    try:
        os.getcwd()
    except OSError as error:
        raise UserError(f"the working folder no longer exists ({error.strerror}): change to an existing one"
                        ) from None


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Runs `_one_line_errors` and then restores the previous signal handlers, for IPython and notebooks.

    Signals are ignored while Python shuts down. torch's SIGCHLD handler stays disabled: workers terminated by a signal
    to the process group are not an error.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    os.environ["MPLBACKEND"] = "agg"           # before matplotlib is imported: scripts write figures and show none
    _script.running = True
    try:
        with _one_line_errors():
            yield
    except SystemExit:
        atexit.register(_ignore_signals, {})
        raise
    finally:
        for number, handler in before.items():
            if handler is not None:                                         # None: not installed by Python
                signal.signal(number, handler)
        _signals.clear()
        _script.running = False


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """Exits with one line instead of a traceback for user errors and interruptions.

    Output is written through `SafeOutput`, which escapes terminal codes in names from the user's data. SIGTERM is
    handled like Ctrl-C. Characters that the terminal cannot encode are printed as question marks. If the reader of a
    pipe exits (`| head`), the program ends without a message. With torchrun, processes other than 0 prefix their errors
    with their rank and print nothing for an interruption.
    """

    def interrupt(signum, frame):
        _signals.append(signum)
        raise KeyboardInterrupt

    def unraisable(dropped):
        if not (interrupted() and isinstance(dropped.exc_value, KeyboardInterrupt)):     # raised again later
            report_dropped(dropped)

    _signals.clear()
    _script.flags, _script.traceback = None, False
    report_dropped, sys.unraisablehook = sys.unraisablehook, unraisable
    rank = os.environ.get("RANK", "0")
    prefix = "" if rank == "0" else f"process {rank}: "
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    stdout, sys.stdout = sys.stdout, SafeOutput(sys.stdout) if sys.stdout is not None else None
    try:
        try:
            _check_working_folder()
            yield
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()      # raises here, not after the exit code is set, if the output cannot be written
    except KeyboardInterrupt as interruption:
        _ignore_signals({})
        if not prefix:
            known = printable(interruption) or "no epoch had begun" * has_flag("--epochs")
            _report(f"\ninterrupted{': ' * bool(known)}{known}")
        sys.exit(130)
    except BrokenPipeError:
        _ignore_signals({})
        _discard_output()
        sys.exit(CLOSED_PIPE)
    except (UserError, OSError, RuntimeError, MemoryError) as error:
        if isinstance(error, RuntimeError) and not (_out_of_memory(error) or _worker_died(error) or peer_lost(error)):
            raise
        _ignore_signals({})
        _report(f"{prefix}error: {one_line_message(error)}")
        _discard_output()
        sys.exit(2)
    finally:
        sys.stdout, sys.unraisablehook = stdout, report_dropped
