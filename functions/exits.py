"""How a script ends: 0 done, 1 our fault (a traceback), 2 the user's input (one line), 130 interrupted. Torch-free."""

import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from functions.errors import UserError, printable
from functions.terminal import SafeOutput

_signals = []     # those that came; Python drops an exception raised inside a destructor, and the signal with it


def interrupted() -> bool:
    """Whether a signal came that asks the program to stop."""
    return bool(_signals)


def raise_if_interrupted() -> None:
    """KeyboardInterrupt if a signal came whose own KeyboardInterrupt was lost; called where a run can stop."""
    if interrupted():
        raise KeyboardInterrupt


def _hold_signals(before: dict) -> None:
    """Ignores a second Ctrl-C, and the end of a DataLoader's worker, which torch would make an error; for good.

    `before` receives the handlers that were there. Windows has SIGINT and SIGTERM but no SIGCHLD.
    """
    for name, action in (("SIGINT", signal.SIG_IGN), ("SIGTERM", signal.SIG_IGN), ("SIGCHLD", signal.SIG_DFL)):
        if hasattr(signal, name):
            before[getattr(signal, name)] = signal.signal(getattr(signal, name), action)


@contextmanager
def signals_held() -> Iterator[None]:
    """Nothing cuts short what is done inside."""
    before = {}
    try:
        _hold_signals(before)
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:             # None: not Python's own
                signal.signal(number, handler)


def _out_of_memory(error: BaseException) -> bool:
    return type(error).__name__ == "OutOfMemoryError" or "DefaultCPUAllocator" in str(error)


def _worker_died(error: BaseException) -> bool:
    return re.match(r"DataLoader worker \(pid.*\) (is killed by signal|exited unexpectedly)", str(error)) is not None


def others_lost(error: BaseException) -> bool:
    """Whether an exchange with the other processes failed: one is gone. NCCL's and the store's kind, or Gloo's text."""
    return isinstance(error, RuntimeError) and ("gloo" in str(error) or
                                                any(kind.__name__ == "DistError" for kind in type(error).__mro__))


def in_one_line(error: BaseException) -> str:
    """An error's message on one line, with what to do where the library's own message does not say.

    Of an error in a DataLoader's worker, which brings its whole traceback as its message, the last line is kept.
    """
    message = str(error)
    if caught := re.match(r"Caught (\w+) in DataLoader worker process", message):
        message = message.rpartition(f"\n{caught[1]}: ")[2]
    message = printable(" ".join(message.split())) or type(error).__name__
    if _worker_died(error):
        return (f"a process that reads slices died, as it does where memory is full (try fewer --num_workers): "
                f"{message[:200]}")
    if others_lost(error):
        return "another process of this run has died (its own message is above or below), or cannot be reached"
    if _out_of_memory(error):
        return ("memory is full: try a smaller --batch_size (and --accumulation to make up for it) or a smaller model. "
                f"{message[:200]}")
    return message


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Ends the program with one line instead of a traceback where the user's input or an interruption is the reason.

    What is printed meanwhile passes through `SafeOutput`: names in the user's data are no terminal codes.

    SIGTERM (a cluster's notice, `kill`) counts as Ctrl-C. A terminal that lacks a character gets a question mark. Of
    the processes that torchrun started, all but the first say which they are, and nothing of an interruption.
    """

    def interrupt(signum, frame):
        _signals.append(signum)
        raise KeyboardInterrupt

    _signals.clear()
    rank = os.environ.get("RANK", "0")
    who = "" if rank == "0" else f"process {rank}: "
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    stdout, sys.stdout = sys.stdout, SafeOutput(sys.stdout)
    try:
        yield
    except KeyboardInterrupt as interruption:
        _hold_signals({})
        if not who:
            print(f"\ninterrupted: {printable(interruption) or 'no epoch had begun'}", file=sys.stderr)
        sys.exit(130)
    except (UserError, OSError, RuntimeError, MemoryError) as error:
        if isinstance(error, RuntimeError) and not (_out_of_memory(error) or _worker_died(error) or others_lost(error)):
            raise
        _hold_signals({})
        print(f"{who}error: {in_one_line(error)}", file=sys.stderr)
        sys.exit(2)
    finally:
        sys.stdout = stdout
