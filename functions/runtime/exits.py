"""How a script ends: 0 done, 1 our fault (a traceback), 2 the user's input (one line), 130 interrupted. Torch-free."""

import atexit
import os
import re
import signal
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from functions.runtime.errors import UserError, printable
from functions.runtime.terminal import SafeOutput

CLOSED_PIPE = 128 + 13      # what a shell reports for a program that SIGPIPE ended, as coreutils are
_signals = []     # those that came; Python drops an exception raised inside a destructor, and the signal with it


@dataclass
class _Script:
    """The script that is running: its flags (None: not known), and whether user errors show their traceback."""

    flags: frozenset[str] | None = None
    traceback: bool = False
    running: bool = False


_script = _Script()


def set_flags(flags: Iterable[str]) -> None:
    """Records the flags of the running script, so that no message advises one that it lacks."""
    _script.flags = frozenset(flags)


def show_tracebacks() -> None:
    """From here on, user errors show their traceback, too (--traceback)."""
    _script.traceback = True


def has_flag(flag: str) -> bool:
    """Whether the running script has this flag; True where no script has said which it has."""
    return _script.flags is None or flag in _script.flags


def in_script() -> bool:
    """Whether a script of this project is running, and not a notebook or another program that uses its functions."""
    return _script.running


def interrupted() -> bool:
    """Whether a signal came that asks the program to stop."""
    return bool(_signals)


def raise_if_interrupted() -> None:
    """KeyboardInterrupt if a signal came whose own KeyboardInterrupt was lost; called where a run can stop."""
    if interrupted():
        raise KeyboardInterrupt


def _ignore_signals(before: dict) -> None:
    """Ignores a second Ctrl-C, and the end of a DataLoader's worker, which torch would make an error; for good.

    `before` receives the handlers that were there. Windows has SIGINT and SIGTERM but no SIGCHLD.
    """
    for name, action in (("SIGINT", signal.SIG_IGN), ("SIGTERM", signal.SIG_IGN), ("SIGCHLD", signal.SIG_DFL)):
        if hasattr(signal, name):
            before[getattr(signal, name)] = signal.signal(getattr(signal, name), action)


@contextmanager
def signals_ignored() -> Iterator[None]:
    """Nothing cuts short what is done inside."""
    before = {}
    try:
        _ignore_signals(before)
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:             # None: not Python's own
                signal.signal(number, handler)


def _out_of_memory(error: BaseException) -> bool:
    return type(error).__name__ == "OutOfMemoryError" or "DefaultCPUAllocator" in str(error)


def _worker_died(error: BaseException) -> bool:
    return re.match(r"DataLoader worker \(pid.*\) (is killed by signal|exited unexpectedly)", str(error)) is not None


def peer_lost(error: BaseException) -> bool:
    """Whether an exchange with the other processes failed: one is gone. NCCL's and the store's kind, or Gloo's text."""
    return isinstance(error, RuntimeError) and ("gloo" in str(error) or
                                                any(kind.__name__ == "DistError" for kind in type(error).__mro__))


def one_line_message(error: BaseException) -> str:
    """An error's message on one line, with what to do where the library's own message does not say.

    Of an error in a DataLoader's worker, which brings its whole traceback as its message, the message is kept.
    """
    message = str(error)
    if caught := re.match(r"Caught (\w+) in DataLoader worker process", message):
        message = re.split(rf"\n(?:\w+\.)*{caught[1]}: ", message)[-1]
    message = " ".join(message.split()) or type(error).__name__
    if _worker_died(error):
        advice = " (try fewer --num_workers)" if has_flag("--num_workers") else ""
        return f"a process that reads slices died, as it does where memory is full{advice}: {message[:200]}"
    if peer_lost(error):
        return "another process of this run has died (its own message is above or below), or cannot be reached"
    if _out_of_memory(error):
        advice = ("try a smaller --batch_size (and --accumulation to make up for it) or a smaller model"
                  if has_flag("--batch_size") else "close other programs, or use a machine with more memory")
        return f"memory is full: {advice}. {message[:200]}"
    return printable(message)


def _report(line: str) -> None:
    """Prints a line to stderr, which may be closed; with --traceback, after the traceback of the current exception."""
    with suppress(OSError):
        if _script.traceback:
            traceback.print_exc()
        print(line, file=sys.stderr, flush=True)


def _discard_output() -> None:
    """Discards what stdout and stderr cannot write, or Python would complain about it once more on exit."""
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
        raise UserError(f"the folder this was started in cannot be found any more ({error.strerror}): change to one "
                        "that exists") from None


@contextmanager
def one_line_errors() -> Iterator[None]:
    """`_one_line_errors`, after which the signals' handlers are the earlier ones: IPython or a notebook goes on.

    While Python shuts down, signals are ignored again. torch's handler for the end of its workers stays away: those
    that a signal to the whole group has ended are no error.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    os.environ["MPLBACKEND"] = "agg"           # of matplotlib, before it is loaded: scripts write figures, show none
    _script.running = True
    try:
        with _one_line_errors():
            yield
    except SystemExit:
        atexit.register(_ignore_signals, {})
        raise
    finally:
        for number, handler in before.items():
            if handler is not None:                                         # None: not Python's own
                signal.signal(number, handler)
        _signals.clear()
        _script.running = False


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """Ends the program with one line instead of a traceback where the user's input or an interruption is the reason.

    What is printed meanwhile passes through `SafeOutput`: names in the user's data are no terminal codes.

    SIGTERM (a cluster's notice, `kill`) counts as Ctrl-C. A terminal that lacks a character gets a question mark. A
    reader of a pipe that has gone (`| head`) ends the program without a message, as it ends coreutils. Of the processes
    that torchrun started, all but the first say which they are, and nothing of an interruption.
    """

    def interrupt(signum, frame):
        _signals.append(signum)
        raise KeyboardInterrupt

    _signals.clear()
    _script.flags, _script.traceback = None, False
    rank = os.environ.get("RANK", "0")
    who = "" if rank == "0" else f"process {rank}: "
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
                sys.stdout.flush()      # an output that cannot be written is noticed here, not after the exit code
    except KeyboardInterrupt as interruption:
        _ignore_signals({})
        if not who:
            _report(f"\ninterrupted: {printable(interruption) or 'no epoch had begun'}")
        sys.exit(130)
    except BrokenPipeError:
        _ignore_signals({})
        _discard_output()
        sys.exit(CLOSED_PIPE)
    except (UserError, OSError, RuntimeError, MemoryError) as error:
        if isinstance(error, RuntimeError) and not (_out_of_memory(error) or _worker_died(error) or peer_lost(error)):
            raise
        _ignore_signals({})
        _report(f"{who}error: {one_line_message(error)}")
        _discard_output()
        sys.exit(2)
    finally:
        sys.stdout = stdout
