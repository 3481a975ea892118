import contextlib
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
import torch
from torch._utils import ExceptionWrapper

from functions.runtime import exits
from functions.runtime.errors import UserError, not_a_file
from functions.runtime.exits import (
    one_line_errors,
    one_line_message,
    raise_if_interrupted,
    set_flags,
    signals_ignored,
)
from tests.conftest import ROOT


@pytest.fixture(autouse=True)
def _keep_the_handler():
    before = [(number, signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]
    yield
    exits._signals.clear()
    for number, handler in before:
        signal.signal(number, handler)


def end_of(error):
    with pytest.raises(SystemExit) as end, one_line_errors():
        raise error
    return end.value.code


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UserError("image size 5x5\nis wrong"), 2, "error: image size 5x5 is wrong\n"),
        (OSError(28, "No space left on device"), 2, "error: [Errno 28] No space left on device\n"),
        (MemoryError(), 2, "error: MemoryError\n"),
        (UserError("a\x1b[31m\x07.png"), 2, "error: a\\x1b[31m\\x07.png\n"),
        (KeyboardInterrupt("continue with --resume runs/x"), 130, "\ninterrupted: continue with --resume runs/x\n"),
        (KeyboardInterrupt(), 130, "\ninterrupted: no epoch had begun\n"),
    ],
)
def test_a_users_mistake_is_one_line_with_its_code(capsys, error, code, line):
    assert end_of(error) == code
    assert capsys.readouterr().err == line


def test_an_interrupted_script_without_epochs_speaks_of_none(capsys):
    def stopped(flags):
        with one_line_errors():
            set_flags(flags)
            raise KeyboardInterrupt

    for flags, line in ((["--out"], "\ninterrupted\n"), (["--epochs"], "\ninterrupted: no epoch had begun\n")):
        with pytest.raises(SystemExit) as end:
            stopped(flags)
        assert (end.value.code, capsys.readouterr().err) == (130, line)


def test_of_several_processes_the_others_say_who_they_are_and_are_silent_when_all_are_stopped(capsys, monkeypatch):
    monkeypatch.setenv("RANK", "3")
    assert end_of(UserError("no such file")) == 2
    assert end_of(KeyboardInterrupt("go on")) == 130
    assert capsys.readouterr().err == "process 3: error: no such file\n"


class DistError(RuntimeError):
    """As torch.distributed's."""


class DistNetworkError(DistError):
    """As torch.distributed's."""


@pytest.mark.parametrize("error", [RuntimeError("[third_party/gloo/pair.cc:561] Connection closed by peer"),
                                   DistNetworkError("The client socket has timed out")])
def test_a_lost_process_is_a_line_wherever_the_others_are_in_the_script(capsys, monkeypatch, error):
    monkeypatch.setenv("RANK", "1")
    assert end_of(error) == 2
    told = capsys.readouterr().err
    assert told.startswith("process 1: error: another process of this run has died")
    assert told.count("\n") == 1
    assert issubclass(torch.distributed.DistNetworkError, torch.distributed.DistError)
    assert torch.distributed.DistError.__name__ == DistError.__name__


def test_full_memory_says_what_to_do_and_our_own_bugs_keep_their_traceback(capsys):
    full = RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")
    assert end_of(full) == 2
    assert "--batch_size" in capsys.readouterr().err
    assert "--batch_size" not in one_line_message(RuntimeError("mat1 and mat2"))
    for bug in (RuntimeError("mat1 and mat2"), KeyError("x"), AssertionError()):
        with pytest.raises(type(bug)), one_line_errors():
            raise bug


def from_a_worker(error):
    """Raises an error as a DataLoader hands it over from the process that it happened in."""
    try:
        raise error
    except type(error):
        ExceptionWrapper(where="in DataLoader worker process 0").reraise()


@pytest.mark.parametrize(("error", "line"), [
    (UserError("a.png: empty file (0 bytes)"), "error: a.png: empty file (0 bytes)\n"),
    (PermissionError(13, "Permission denied", "a.png"), "error: [Errno 13] Permission denied: 'a.png'\n")])
def test_a_users_mistake_in_a_reading_process_is_one_line(capsys, error, line):
    with pytest.raises(SystemExit) as end, one_line_errors():
        from_a_worker(error)
    assert (end.value.code, capsys.readouterr().err) == (2, line)


def test_a_bug_in_a_reading_process_keeps_its_traceback():
    with pytest.raises(ValueError, match="Original Traceback"), one_line_errors():
        from_a_worker(ValueError("shapes differ"))


def test_tracebacks_of_user_errors_are_shown_if_asked_for(capsys):
    with pytest.raises(SystemExit) as end, one_line_errors():
        exits.show_tracebacks() or from_a_worker(UserError("no such file"))
    err = capsys.readouterr().err
    assert end.value.code == 2
    assert err.startswith("Traceback (most recent call last)")
    assert err.endswith("\nerror: no such file\n")
    assert end_of(UserError("no such file")) == 2
    assert capsys.readouterr().err == "error: no such file\n", "the next program does not inherit it"


def test_no_flag_is_advised_that_the_script_lacks(capsys):
    full = RuntimeError("DefaultCPUAllocator: can't allocate memory")
    died = RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed")
    for flags, expected in (({"--batch_size", "--num_workers"}, True), ({"--data"}, False)):
        for error, flag in ((full, "--batch_size"), (died, "--num_workers")):
            def script(flags=flags, error=error):
                exits.set_flags(flags)
                raise error

            with pytest.raises(SystemExit), one_line_errors():
                script()
            assert (flag in capsys.readouterr().err) == expected


@pytest.mark.parametrize("unbuffered", [[], ["-u"]])
@pytest.mark.parametrize("body", ["print('x' * 100_000)", "print('x' * 100_000, file=sys.stderr)",
                                  "raise UserError('x' * 100_000)", "print('x'); sys.exit(0)"])
def test_a_reader_that_has_gone_ends_a_script_without_a_message(unbuffered, body):
    """Both streams go into a pipe that nobody reads any more, as in `2>&1 | head -1`."""
    code = ("import sys; from functions.runtime.exits import one_line_errors\n"
            "from functions.runtime.errors import UserError\n"
            f"with one_line_errors():\n    sys.stdin.readline(); {body}")
    process = subprocess.Popen([sys.executable, *unbuffered, "-c", code], cwd=ROOT, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               env=os.environ | {"PYTHONUNBUFFERED": ""})
    process.stdout.close()
    process.stdin.write(b"\n")
    process.stdin.close()
    assert process.wait() in ((2,) if "raise" in body else (141,))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux alone has /dev/full")
def test_an_output_that_is_full_is_an_error_with_its_line():
    code = "from functions.runtime.exits import one_line_errors\nwith one_line_errors():\n    print('x')"
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (2, "error: [Errno 28] No space left on device\n")


def test_of_an_error_in_a_reading_process_the_last_line_is_told():
    text = ("Caught ValueError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n"
            "  File x, line 3\nValueError: inner\n\nThe above ...\nValueError: a.png has changed: put it back\n")
    assert one_line_message(ValueError(text)) == "a.png has changed: put it back"


def test_a_reading_process_that_died_is_no_fault_of_ours(capsys):
    for text in ("DataLoader worker (pid 7) is killed by signal: Killed. ",
                 "DataLoader worker (pid(s) 7, 8) exited unexpectedly"):
        assert end_of(RuntimeError(text)) == 2
        assert "a DataLoader worker died" in capsys.readouterr().err


def test_a_second_signal_does_not_cut_short_what_the_first_one_began():
    before = signal.getsignal(signal.SIGINT)
    with signals_ignored():
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(os.getpid(), number)
        time.sleep(0.05)
    assert signal.getsignal(signal.SIGINT) is before


def _send_sigterm():
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(5)


class Swallower:
    """Python reports an exception in a destructor and goes on, as if no signal had come."""

    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.2)


def _lose_an_interrupt():
    raise_if_interrupted()
    swallower = Swallower()
    del swallower
    raise_if_interrupted()
    raise AssertionError("the signal was lost")


def test_an_interrupt_that_python_swallowed_stops_the_run_at_the_next_stop(capsys):
    hook = sys.unraisablehook
    with pytest.raises(SystemExit) as end, one_line_errors():
        _lose_an_interrupt()
    assert end.value.code == 130
    assert capsys.readouterr().err == "\ninterrupted: no epoch had begun\n"
    assert sys.unraisablehook is hook


def test_other_errors_in_destructors_are_reported_as_ever(monkeypatch):
    class Faulty:
        def __del__(self):
            raise KeyError("a bug")

    reported = []
    monkeypatch.setattr(sys, "unraisablehook", lambda found: reported.append(found.exc_type))
    with one_line_errors():
        faulty = Faulty()
        del faulty
    assert reported == [KeyError]


def test_sigterm_ends_like_ctrl_c():
    with pytest.raises(SystemExit) as end, one_line_errors():
        _send_sigterm()
    assert end.value.code == 130


@pytest.mark.parametrize("bug", [ValueError("numpy: operands could not be broadcast"), FloatingPointError("overflow"),
                                 KeyError("x"), TypeError("x")])
def test_a_bug_of_ours_keeps_its_traceback(bug):
    with pytest.raises(type(bug)), one_line_errors():
        raise bug


@pytest.mark.parametrize("end", [None, UserError("x"), OSError(28, "full"), KeyboardInterrupt(), KeyError("a bug"),
                                 SystemExit(3), MemoryError()], ids=repr)
def test_an_interpreter_that_goes_on_has_its_handlers_back(end):
    """After success, a line, an interruption or a bug: IPython, a notebook, a test."""
    def own(signum, frame):
        raise AssertionError("not called")

    for number in (signal.SIGINT, signal.SIGTERM):                        # _keep_the_handler restores them
        signal.signal(number, own)
    with contextlib.suppress(SystemExit, KeyError), one_line_errors():
        if end is not None:
            raise end
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == [own, own]
    assert not exits.interrupted()


LIVING = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)     # a CI may ignore it
sys.path.insert(0, {root!r})
from functions.runtime.errors import UserError
from functions.runtime.exits import one_line_errors
try:
    with one_line_errors():
        raise UserError("no such file")
except SystemExit as end:
    print("code", end.code)
print(signal.getsignal(signal.SIGINT) is signal.default_int_handler, signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("stopped")
"""


def test_ctrl_c_works_after_an_error_line_and_is_held_once_python_ends():
    at_exit = "import atexit\natexit.register(lambda: print('held', signal.getsignal(signal.SIGINT) == signal.SIG_IGN))"
    code = LIVING.format(root=str(ROOT)).replace("import signal, sys", f"import signal, sys\n{at_exit}")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.split("\n") == ["code 2", "True True", "stopped", "held True", ""]
    assert done.stderr == "error: no such file\n"
    command = [sys.executable, "-i", "-c", code]
    assert "stopped" in subprocess.run(command, input="", capture_output=True, text=True, timeout=60).stdout


def test_a_folder_that_was_removed_under_the_script_is_a_line(tmp_path, monkeypatch, capsys):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    here.rmdir()
    with pytest.raises(SystemExit) as end, one_line_errors():
        raise AssertionError("nothing of the script is run")
    monkeypatch.chdir(tmp_path)
    assert end.value.code == 2
    assert "the working folder no longer exists" in capsys.readouterr().err


def test_what_stands_in_a_files_place_is_called_what_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)                # a socket's name may have 108 bytes
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "broken").symlink_to("gone")
    (tmp_path / "folder").mkdir()
    os.mkfifo("pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        found = {name: not_a_file(name) for name in ("file", "link", "broken", "folder", "pipe", "socket", "/dev/null",
                                                     "none", "file/none", "x" * 300, "a\0b")}
    saved = "not a regular file: save its content in one"
    assert found == {
        "file": "", "link": "", "broken": "a broken link to gone", "folder": "a folder, not a file",
        "pipe": f"a pipe, {saved}", "socket": f"a socket, {saved}", "/dev/null": f"a device, {saved}",
        "none": "no such file", "file/none": "no such file", "x" * 300: "not accessible (File name too long)",
        "a\0b": "no such file"}
