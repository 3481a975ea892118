import csv
import io
import json
import os

import numpy as np
import pytest

from functions.prediction.output import CsvOutput, JsonOutput, TableOutput, check_files, report
from functions.prediction.rows import GroupMeans, ImageRow
from functions.runtime.csv_files import unescape
from functions.runtime.errors import UserError

CLASSES = ["AD", "=CN"]
ROWS = [ImageRow("=a,\n.png", "s1", np.array([0.25, 0.75]), "no", "colour", 1.5), ImageRow("b.png", error="empty file"),
        ImageRow("c.png", "s1", np.array([0.75, 0.25]), "patient", "no", 0.5)]


def written(output_type, *arguments):
    stream, means = io.StringIO(), GroupMeans("subject")
    output = output_type(stream, *arguments)
    for row in ROWS:
        output.image(row.entries(CLASSES))
        means.add(row)
    output.patients(means.entries(CLASSES), [])
    return stream.getvalue()


def test_csv_is_read_back_and_safe_for_spreadsheets():
    patients = io.StringIO()
    rows = list(csv.reader(io.StringIO(written(CsvOutput, (patients, io.StringIO())))))
    assert [len(row) for row in rows] == [10] * 4
    assert rows[0][:5] == ["path", "subject", "prediction", "AD", "'=CN"]
    assert rows[1][0] == "'=a,\n.png"
    assert [unescape(cell) for cell in rows[1]] == ["=a,\n.png", "s1", "=CN", "0.25", "0.75", "no", "colour", "1.5",
                                                    "", ""]
    assert rows[2] == ["b.png", *[""] * 8, "empty file"]
    assert patients.getvalue().splitlines()[1].startswith("s1,2,AD,0.5,0.5,yes,yes")


def test_json_is_one_object():
    content = json.loads(written(JsonOutput))
    assert [row["path"] for row in content["images"]] == ["=a,\n.png", "b.png", "c.png"]
    assert content["images"][1]["AD"] is None
    assert [row["slices"] for row in content["patients"]] == [2]


def test_a_table_shows_the_largest_probability_and_remarks():
    lines = written(TableOutput, CLASSES).splitlines()
    assert lines == [
        "prediction  probability  image",
        r"=CN               0.750  =a,\n.png  [out of distribution: colour]",
        "unreadable            -  b.png: empty file",
        "AD                0.750  c.png  [seen in training: patient]",
        "",
        "prediction  probability  patient (mean over slices)",
        "AD                0.500  s1, 2 slices  [seen in training; out of distribution]"]


@pytest.mark.parametrize("name", ["a.csv", "a.json"])
def test_a_file_is_complete_or_absent(tmp_path, name):
    notes = []
    assert report(iter(ROWS), 3, CLASSES, tmp_path / name, lambda: ["late"], notes.append) == 1
    assert notes == ["late", "3 images of 1 patients: 1 unreadable, 1 seen in training, 1 out of distribution"]
    assert (tmp_path / "a_patients.csv").exists() == (name == "a.csv")

    def stopped():
        yield ROWS[0]
        raise KeyboardInterrupt

    before = (tmp_path / name).read_bytes()
    with pytest.raises(KeyboardInterrupt):
        report(stopped(), 3, CLASSES, tmp_path / name, list, notes.append)
    assert (tmp_path / name).read_bytes() == before
    assert not list(tmp_path.glob(".*"))


def test_only_predictions_are_overwritten(tmp_path):
    out, beside = tmp_path / "a.csv", tmp_path / "a_patients.csv"
    for file in (out, tmp_path / "a.json"):
        check_files(file, None)
        report(iter(ROWS), 3, CLASSES, file, list, lambda note: None)
        check_files(file, None)
    beside.write_text("path,subject\na.png,s1\n")
    for name, subjects, message in (("a.csv", beside, "would overwrite --subjects"),
                                    ("a.csv", None, "a_patients.csv exists and holds no predictions"),
                                    ("a_patients.csv", None, "a_patients.csv exists and holds no predictions")):
        with pytest.raises(UserError, match=message):
            check_files(tmp_path / name, subjects)
    check_files(tmp_path / "a.json", beside)
    beside.unlink()
    beside.mkdir()
    with pytest.raises(UserError, match=r"a_patients\.csv is a folder"):
        check_files(out, None)
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(UserError, match="a pipe"):
        check_files(tmp_path / "pipe.csv", None)


def test_patients_of_earlier_predictions_do_not_remain_beside_new_ones(tmp_path):
    report(iter(ROWS), 3, CLASSES, tmp_path / "a.csv", list, lambda note: None)
    assert (tmp_path / "a_patients.csv").exists()
    report(iter(ROWS[1:2]), 1, CLASSES, tmp_path / "a.csv", list, lambda note: None)
    assert [file.name for file in tmp_path.iterdir()] == ["a.csv"]
