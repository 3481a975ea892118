"""How a script ends: 0 done, 1 our fault (a traceback), 2 the user's input (one line), 130 interrupted."""

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from functions.run_folder import update_record

USER_ERRORS = (ValueError, OSError, FloatingPointError, torch.OutOfMemoryError)


def in_one_line(error: BaseException) -> str:
    """An error's message on one line, with what to do where the library's own message does not say."""
    message = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, torch.OutOfMemoryError):
        return f"the GPU's memory is full: try a smaller --batch_size (and --accumulation to make up for it). {message}"
    return message


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Ends the program with one line instead of a traceback where the user's input or an interruption is the reason."""
    try:
        yield
    except KeyboardInterrupt as interruption:
        print(f"\ninterrupted: {interruption or 'nothing was begun that could be lost'}", file=sys.stderr)
        sys.exit(130)
    except USER_ERRORS as error:
        print(f"error: {in_one_line(error)}", file=sys.stderr)
        sys.exit(2)


@contextmanager
def recorded(run: Path) -> Iterator[None]:
    """Writes into run.json how the run ended: finished, interrupted or failed, the traceback with it."""
    update_record(run, state="running", error=None)
    try:
        yield
    except KeyboardInterrupt:
        update_record(run, state="interrupted")
        raise KeyboardInterrupt(f"all finished epochs are saved; go on with --resume {run}") from None
    except BaseException:
        update_record(run, state="failed", error=traceback.format_exc())
        raise
