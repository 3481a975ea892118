import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from functions.runtime.errors import UserError
from functions.runtime.jobs import Job, run_jobs

ROOT = Path(__file__).resolve().parents[3]


def job(tmp_path, name, code):
    return Job(name, ["-c", code], tmp_path / f"{name}.txt")


def test_all_jobs_run_with_their_output_in_their_logs(tmp_path):
    jobs = [job(tmp_path, f"j{number}", f"print({number})") for number in range(3)]
    names = []
    run_jobs(jobs, 2, [{}, {}], lambda one: names.append(one.name))
    assert sorted(names) == ["j0", "j1", "j2"]
    assert [one.log.read_text().strip() for one in jobs] == ["0", "1", "2"]


def test_jobs_that_run_at_the_same_time_have_different_environments(tmp_path):
    """Each job waits until the other has begun, so both run together."""
    code = ("import os, pathlib, time; me = pathlib.Path(r'{0}', os.environ['SLOT']); me.touch()\n"
            "while len(list(me.parent.glob('slot*'))) < 2: time.sleep(0.01)")
    jobs = [job(tmp_path, name, code.format(tmp_path)) for name in ("a", "b")]
    run_jobs(jobs, 2, [{"SLOT": "slot0"}, {"SLOT": "slot1"}], lambda one: None)
    assert {path.name for path in tmp_path.glob("slot*")} == {"slot0", "slot1"}


def test_a_users_error_is_the_last_line_of_the_log_and_stops_the_rest(tmp_path):
    jobs = [job(tmp_path, "bad", "print('error: no such folder'); raise SystemExit(2)"), job(tmp_path, "next", "1")]
    with pytest.raises(UserError, match="^bad: no such folder$"):
        run_jobs(jobs, 1, [{}], lambda one: None)
    assert not (tmp_path / "next.txt").exists()


def test_a_bug_in_a_job_is_not_a_users_error(tmp_path):
    with pytest.raises(RuntimeError, match="exit code 1.*ZeroDivisionError"):
        run_jobs([job(tmp_path, "bug", "1 / 0")], 1, [{}], lambda one: None)


def test_ctrl_c_reaches_the_running_job_and_no_other_begins(tmp_path):
    code = f"""
import signal, sys; sys.path.insert(0, {str(ROOT)!r})
signal.signal(signal.SIGINT, signal.default_int_handler)       # ignored by what a shell starts in the background
from pathlib import Path
from functions.runtime.jobs import Job, run_jobs
work = "import time, pathlib\\ntry:\\n    pathlib.Path('begun').touch(); time.sleep(60)\\n"
work += "except KeyboardInterrupt:\\n    print('saved')"
run_jobs([Job(name, ["-c", work], Path(name)) for name in ("one", "two")], 1, [{{}}], print)
"""
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stderr=subprocess.DEVNULL,
                               start_new_session=True)
    while not (tmp_path / "begun").exists():
        assert process.poll() is None
        time.sleep(0.02)
    time.sleep(0.1)
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(timeout=30) != 0
    assert (tmp_path / "one").read_text().strip() == "saved"
    assert not (tmp_path / "two").exists()
