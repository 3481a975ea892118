"""How a script ends: 0 done, 1 our fault (a traceback), 2 the user's input (one line), 130 interrupted. Torch-free."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_signals = []     # those that came; Python drops an exception raised inside a destructor, and the signal with it


def raise_if_interrupted() -> None:
    """KeyboardInterrupt if a signal came whose own KeyboardInterrupt was lost; called where a run can stop."""
    if _signals:
        raise KeyboardInterrupt


def _out_of_memory(error: BaseException) -> bool:
    return type(error).__name__ == "OutOfMemoryError" or "DefaultCPUAllocator" in str(error)


def in_one_line(error: BaseException) -> str:
    """An error's message on one line, with what to do where the library's own message does not say."""
    message = " ".join(str(error).split()) or type(error).__name__
    if _out_of_memory(error):
        return ("memory is full: try a smaller --batch_size (and --accumulation to make up for it) or a smaller model. "
                f"{message[:200]}")
    return message


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Ends the program with one line instead of a traceback where the user's input or an interruption is the reason.

    SIGTERM (a cluster's notice, `kill`) counts as Ctrl-C. A terminal that lacks a character gets a question mark.
    """

    def interrupt(signum, frame):
        _signals.append(signum)
        raise KeyboardInterrupt

    _signals.clear()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        yield
    except KeyboardInterrupt as interruption:
        print(f"\ninterrupted: {str(interruption) or 'no epoch had begun'}", file=sys.stderr)
        sys.exit(130)
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"error: {in_one_line(error)}", file=sys.stderr)
        sys.exit(2)
    except (RuntimeError, MemoryError) as error:
        if not (_out_of_memory(error) or isinstance(error, MemoryError)):
            raise
        print(f"error: {in_one_line(error)}", file=sys.stderr)
        sys.exit(2)
