import csv
import functools
import runpy

import pytest

from tests.conftest import ROOT, TINY
from tests.data_setup.volumes.heads import ORIENTATIONS, datasets, head, save_dicom, save_nifti

TOOL = str(ROOT / "tools" / "prepare_data.py")
SMALL = ("--slices", 3, "--size", "50x40", "--spacing", 4, "--workers", 1)


def main():
    runpy.run_path(TOOL, run_name="__main__")


@pytest.fixture
def call_prepare(call_script):
    return functools.partial(call_script, main)


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    """12 patients as NIfTI, each in another orientation, one as DICOM, and a table of labels."""
    folder = tmp_path_factory.mktemp("volumes")
    rows = ["subject,class"]
    for number in range(12):
        save_nifti(folder / f"bids/sub-{number:02d}/ses-1/sub-{number:02d}_ses-1_T1w.nii.gz", head(number),
                   ORIENTATIONS[4 * number])
        rows.append(f"sub-{number:02d},{'AD' if number % 2 else 'CN'}")
    save_dicom(folder / "Doe_Jane", datasets(head(20)))
    (folder / "Doe_Jane" / "Doe.dcm").write_text("damaged")
    (folder / "labels.csv").write_text("\n".join([*rows, "SECRET-42,CN"]))
    return folder


def read(file):
    with open(file, newline="") as stream:
        return list(csv.DictReader(stream))


def test_volumes_become_a_data_set_for_training_and_predict_gives_the_same_for_a_volume(
        volumes, call_prepare, call_train, call_script, tmp_path, monkeypatch):
    out, key = tmp_path / "data", tmp_path / "apart.csv"
    code, printed, error = call_prepare(volumes, "--labels", volumes / "labels.csv", "--out", out, "--key", key, *SMALL)
    assert (code, error) == (0, "")
    rows = read(out / "manifest.csv")
    assert len(rows) == 13 * 3
    assert all((out / row["path"]).is_file() for row in rows)
    assert {row["axes"] for row in rows if "bids" in row["source"]} == set(ORIENTATIONS[0:48:4])
    assert "identifying header fields (files): " in printed
    assert "PatientName (30)" in printed

    for path in out.rglob("*"):                          # nothing of the header of a patient, in names or in contents
        hidden = [text for text in (b"SECRET", b"Doe", b"20200102") if path.is_file() and text in path.read_bytes()]
        assert (hidden, "Doe" in path.name, "SECRET" in path.name) == ([], False, False)
    assert "SECRET" not in printed
    assert "Doe" not in printed
    assert {row["reason"] for row in read(out / "left_out.csv")} == {"not a DICOM file"}
    assert "SECRET-42" in key.read_text()
    assert "Doe_Jane/Doe.dcm" in key.read_text()

    code, _, error = call_train("--epochs", 1, "--train_dir", out, *TINY)
    assert code == 0, error
    run = tmp_path / "runs" / "ViTModel"
    split = read(run / "split.csv")
    assert {(row["subject"], row["split"]) for row in split} == {(row["subject"], row["split"]) for row in rows}

    tested = {row["path"]: row for row in rows if row["split"] == "test"}
    source = next(row["source"] for row in tested.values() if "bids" in row["source"])
    theirs = [row for row in read(run / "predictions.csv")
              if tested[f"test/{row['path'].rpartition('/test/')[2]}"]["source"] == source]
    monkeypatch.setattr("data_setup.resources.available_cores", lambda: 1)
    import predict
    code, _, error = call_script(predict.main, run, volumes / source, "--out", "new.csv")
    assert code == 0, error
    assert [float(row["AD"]) for row in read(tmp_path / "new.csv")] == pytest.approx(
        [float(row["AD"]) for row in theirs], abs=1e-5)
    [volume] = read(tmp_path / "new_volumes.csv")
    first = next(row for row in tested.values() if row["source"] == source)
    same = ("axes", "affine", "sha256", "window_high", "voxel_mm", "pixel_mm", "notes")
    assert [volume[name] for name in same] == [first[name] for name in same]

    code, printed, _ = call_prepare(volumes, "--labels", volumes / "labels.csv", "--out", out, "--key", key, *SMALL)
    assert code == 0
    assert "(0 new)" in printed
    assert read(out / "manifest.csv") == rows


def test_without_labels_all_slices_are_in_one_folder(volumes, call_prepare, tmp_path):
    code, printed, error = call_prepare(volumes, "--out", tmp_path / "data", *SMALL)
    assert (code, error) == (0, "")
    assert len(list((tmp_path / "data" / "unlabelled").glob("sub-*.png"))) == 13 * 3
    assert {row["split"] for row in read(tmp_path / "data" / "manifest.csv")} == {"unlabelled"}
    assert not (tmp_path / "data" / "train").exists()


def test_several_series_of_a_session_are_listed_and_asked_for(call_prepare, tmp_path):
    save_dicom(tmp_path / "in", datasets(StudyInstanceUID="1.2"), "a{}")
    save_dicom(tmp_path / "in", datasets(head(1), description="T1 SPACE", StudyInstanceUID="1.2"), "b{}")
    (tmp_path / "in" / "labels.csv").write_text("subject,class\nSECRET-42,AD\n")
    given = (tmp_path / "in", "--labels", tmp_path / "in" / "labels.csv", "--out", tmp_path / "out", *SMALL)
    code, _, error = call_prepare(*given)
    assert (code, error.count("\n")) == (2, 1)
    assert error.endswith("choose with --series TEXT, a part of the description or of the path (of several matches "
                          "one is used), among: T1 MPRAGE (30 files); T1 SPACE (30 files)\n")
    assert call_prepare(*given, "--series", "space")[0] == 0
    [left_out] = read(tmp_path / "out" / "left_out.csv")
    assert left_out["reason"] == "no 'space' in its path or description"


def test_what_cannot_be_used_is_one_line(call_prepare, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "sub-01_T1w.nii").write_text("x")
    (tmp_path / "labels.csv").write_text("subject,class\nsub-01,AD\n")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")

    def failure(*arguments, folder="in", out="out"):
        code, printed, error = call_prepare(tmp_path / folder, "--labels", tmp_path / "labels.csv", "--out",
                                            tmp_path / out, *arguments)
        assert (code, error.count("\n")) == (2, 1)
        return printed + error

    assert "sub-01_T1w.nii: cannot be read" in failure()
    assert "no volume can be used" in failure()
    assert "no such folder" in failure(folder="nowhere")
    assert f"is a file: name its folder, {tmp_path / 'in'}" in failure(folder="in/sub-01_T1w.nii")
    assert "was not made by this tool" in failure(out="mine")
    assert "contains the volumes" in failure(out="")
    assert "name three axes" in failure("--orientation", "RRS")
    for name in ("train", "unlabelled", ".prepared"):       # each run replaces these folders
        assert "is among the slices" in failure("--key", tmp_path / "out" / name / "key.csv")
    assert "is not a folder: name a file in an existing folder" in failure("--key", tmp_path / "nowhere" / "key.csv")
    assert '"-1" is not an integer between 0' in failure("--seed", -1)
    assert '"0" is not an integer of at least 1' in failure("--workers", 0)
    assert "no volume has it" in failure("--series", "zzz")
