import os
import signal
import time

import pytest

from functions.exits import in_one_line, one_line_errors


@pytest.fixture(autouse=True)
def _keep_the_handler():
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def end_of(error):
    with pytest.raises(SystemExit) as end, one_line_errors():
        raise error
    return end.value.code


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ValueError("image size 5x5\nis wrong"), 2, "error: image size 5x5 is wrong\n"),
        (OSError(28, "No space left on device"), 2, "error: [Errno 28] No space left on device\n"),
        (FloatingPointError("the loss is not finite"), 2, "error: the loss is not finite\n"),
        (MemoryError(), 2, "error: MemoryError\n"),
        (KeyboardInterrupt("go on with --resume runs/x"), 130, "\ninterrupted: go on with --resume runs/x\n"),
        (KeyboardInterrupt(), 130, "\ninterrupted: no epoch had begun\n"),
    ],
)
def test_a_users_mistake_is_one_line_with_its_code(capsys, error, code, line):
    assert end_of(error) == code
    assert capsys.readouterr().err == line


def test_full_memory_says_what_to_do_and_our_own_bugs_keep_their_traceback(capsys):
    full = RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")
    assert end_of(full) == 2
    assert "--batch_size" in capsys.readouterr().err
    assert "--batch_size" not in in_one_line(RuntimeError("mat1 and mat2"))
    for bug in (RuntimeError("mat1 and mat2"), KeyError("x"), AssertionError()):
        with pytest.raises(type(bug)), one_line_errors():
            raise bug


def _send_sigterm():
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(5)


def test_sigterm_ends_like_ctrl_c():
    with pytest.raises(SystemExit) as end, one_line_errors():
        _send_sigterm()
    assert end.value.code == 130
