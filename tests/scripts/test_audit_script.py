import json
import shutil

import pandas as pd
import pytest
from PIL import Image

from tests.functions.reports.test_html_page import read
from tests.phantoms import make_phantom


@pytest.fixture(scope="module")
def leaky(tmp_path_factory):
    out = tmp_path_factory.mktemp("phantom") / "leaky"
    make_phantom(out, people=40, slices=8, seed=0, faults=("leak",))
    return out


@pytest.fixture
def fewer_shuffles(monkeypatch):
    """Where no shortcut may be found, the stricter test: a shortcut has to exceed fewer shuffled runs."""
    monkeypatch.setattr("data_setup.audit.shortcuts.SHUFFLES", 2)


@pytest.fixture
def no_shortcuts(monkeypatch):
    """For what has nothing to do with them: their permutations are most of a small set's audit."""
    monkeypatch.setattr("data_setup.audit.findings.find_shortcuts", lambda *_: [])


@pytest.fixture
def call_audit(call_script):
    import audit

    return lambda *arguments: call_script(audit.main, *arguments)


def test_a_leak_is_printed_written_and_makes_strict_fail(call_audit, fewer_shuffles, leaky, tmp_path, monkeypatch):
    code, out, err = call_audit(leaky, "--strict")
    assert code == 1
    assert "WRONG  40 of 40 patients are in more than one split, by name" in out
    report = tmp_path / "runs" / "audit-leaky"
    found = json.loads((report / "audit.json").read_text())
    assert found["leak"]["by name"]["in several splits"] == 40
    assert {"command", "commit", "versions"} <= set(found)
    assert "40 of 40 patients" in " ".join(read((report / "audit.html").read_text()).text)
    assert {"path", "subject"} == set(pd.read_csv(report / "subjects.csv").columns)
    monkeypatch.setattr("data_setup.audit.findings.find_shortcuts", lambda *_: [])      # the leak alone is looked at
    assert call_audit(leaky)[0] == 0, "without --strict a finding is no failure"


def test_groups_from_the_pixels_can_be_given_to_a_run(call_audit, no_shortcuts, leaky, tmp_path):
    from data_setup.subjects.find import find_subjects

    call_audit(leaky, "--out", tmp_path / "report")
    paths = [str(path) for path in sorted(leaky.rglob("*.png"))]
    subjects = find_subjects(paths, tmp_path / "report" / "subjects.csv")
    told = sum(subject is not None for subject in subjects)
    assert told == len(pd.read_csv(tmp_path / "report" / "subjects.csv")) > 50


def test_folders_whose_names_hold_a_dot_have_reports_of_their_own(call_audit, no_shortcuts, slices, tmp_path):
    shutil.copytree(slices, tmp_path / "set.v1")
    call_audit("set.v1")
    assert (tmp_path / "runs" / "audit-set.v1" / "audit.html").is_file()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [(["nowhere"], "nowhere does not exist"), ([], "DATA"), (["{leaky}", "--subject_pattern", "("], "(")],
)
def test_bad_input_is_one_line_and_exit_code_2(call_audit, leaky, arguments, complaint):
    code, _, err = call_audit(*(argument.format(leaky=leaky) for argument in arguments))
    assert code == 2
    assert err.startswith("error: ")
    assert complaint in err
    assert err.count("\n") == 1


def test_where_nothing_can_be_written_is_said_before_the_work(call_audit, leaky, tmp_path):
    (tmp_path / "file").touch()
    for out in ("file", "file/x"):
        code, printed, err = call_audit(leaky, "--out", out)
        assert (code, printed) == (2, "")
        assert err == ("error: file is a file, but must be a folder: remove or rename it, or name another folder with "
                       "--out\n")


def test_a_report_names_the_data_wherever_it_is_read(call_audit, no_shortcuts, slices, tmp_path):
    shutil.copytree(slices, tmp_path / "here")
    call_audit("here")
    assert json.loads((tmp_path / "runs/audit-here/audit.json").read_text())["data"] == str(tmp_path / "here")


def test_strict_passes_where_there_are_notes_and_no_fault(call_audit, fewer_shuffles, tmp_path):
    """One slice of another size is worth a note."""
    make_phantom(tmp_path / "clean", people=20, slices=4, seed=0)
    path = sorted((tmp_path / "clean").rglob("*.png"))[0]
    with Image.open(path) as image:
        image.resize((image.width + 6, image.height + 6)).save(path)
    code, out, _ = call_audit("clean", "--strict")
    found = json.loads((tmp_path / "runs/audit-clean/audit.json").read_text())["findings"]
    assert found
    assert not any(finding["wrong"] for finding in found)
    assert code == 0, out


def test_a_subject_table_and_a_pattern_say_who_is_who(call_audit, no_shortcuts, slices, tmp_path):
    """Nine people of the table, and of the slices that it leaves out one for each number after z."""
    paths = sorted(slices.rglob("CN/*.png"))
    pd.DataFrame({"path": list(map(str, paths)), "subject": [f"p{i % 9}" for i in range(len(paths))]}).to_csv(
        tmp_path / "who.csv", index=False)
    call_audit(slices, "--subjects", "who.csv", "--subject_pattern", "(?P<subject>z[0-9])", "--out", "report")
    assert json.loads((tmp_path / "report/audit.json").read_text())["balance"]["patients"] == 9 + 4
