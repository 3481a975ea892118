"""predict.py with volumes: NIfTI, Analyze and DICOM among its arguments."""

import csv
import io
import json
import sys

import pytest
import torch

from data_setup.volumes.preparation import describe_preparation
from tests.conftest import save_noise
from tests.data_setup.volumes.heads import SETTINGS, datasets, head, save_analyze, save_dicom, save_nifti, turned


@pytest.fixture
def call_predict(call_script, monkeypatch):
    import predict

    monkeypatch.setattr("data_setup.resources.available_cores", lambda: 1)      # no worker processes
    return lambda *arguments: call_script(predict.main, "model.pt", *arguments)


@pytest.fixture
def model(finished, tmp_path):
    """A checkpoint that records SETTINGS, without its run: no slices of training to compare with."""
    checkpoint = torch.load(finished / "best.pt", weights_only=True)
    checkpoint["preprocessing"] |= describe_preparation(SETTINGS)
    torch.save(checkpoint, tmp_path / "model.pt")
    return tmp_path / "model.pt"


def read(file):
    with open(file, newline="") as stream:
        return list(csv.DictReader(stream))


def test_every_format_gives_slices_and_one_result_for_each_volume(model, call_predict, tmp_path):
    save_nifti(tmp_path / "in" / "sub-01_T1w.nii.gz", axes="PIR")
    save_nifti(tmp_path / "in" / "sub-01_FLAIR.nii.gz", head(3))
    save_dicom(tmp_path / "in" / "Doe_Jane", datasets(SeriesDescription="Doe T1"))
    save_noise(tmp_path / "in" / "slice.png")
    save_analyze(tmp_path / "scan.img", turned(head(), "LAS")[0])
    code, out, err = call_predict("in", "scan.hdr", "--orientation", "las", "--out", "new.csv")
    assert (code, out) == (0, ""), err
    rows = read(tmp_path / "new.csv")
    places = [row["path"].partition("#")[0] for row in rows]
    [dicom] = {place for place in places if place.startswith("dicom-")}
    assert places == ["in/slice.png", *["scan.img"] * 3, *["in/sub-01_T1w.nii.gz"] * 3, *[dicom] * 3]
    assert rows[1]["path"] == "scan.img#z00"
    volumes = {row["volume"]: row for row in read(tmp_path / "new_volumes.csv")}
    assert set(volumes) == {"scan.img", "in/sub-01_T1w.nii.gz", dicom}
    for place, row in volumes.items():                    # the same head, so the same slices
        own = [float(one["AD"]) for one in rows if one["path"].startswith(place)]
        assert float(row["AD"]) == pytest.approx(sum(own) / 3, rel=1e-4)
        assert float(row["AD"]) == pytest.approx(float(volumes["scan.img"]["AD"]), rel=1e-4)
        assert (row["pixel_mm"], row["slices"]) == ("4.0", "3")
    assert [volumes[place]["axes"] for place in ("scan.img", "in/sub-01_T1w.nii.gz", dicom)] == ["LAS", "PIR", "LPS"]
    assert {row["subject"] for row in read(tmp_path / "new_patients.csv")} == {"sub-01", "P0001"}
    [key] = read(tmp_path / "new_key.csv")
    assert (key["subject"], key["original_subject"], key["original_place"]) == ("P0001", "SECRET-42", "in/Doe_Jane")
    assert "another volume of its session is used: sub-01_T1w.nii.gz" in err
    assert "10 images of 3 volumes of 2 patients" in err
    for text in (err, *(file.read_text() for file in tmp_path.glob("new*.csv") if "key" not in file.name)):
        assert "Doe" not in text
        assert "SECRET" not in text


def test_json_tables_and_files_of_one_series(model, call_predict, tmp_path):
    files = save_dicom(tmp_path / "in", datasets())
    code, _, err = call_predict(*files, "--out", "new.json", "--attention", tmp_path / "maps")
    assert code == 0, err
    content = json.loads((tmp_path / "new.json").read_text())
    assert [len(content[name]) for name in ("images", "patients", "volumes")] == [3, 1, 1]
    assert content["volumes"][0]["slices"] == 3
    assert len({row["attention"] for row in content["images"]} & set(map(str, (tmp_path / "maps").iterdir()))) == 3
    code, out, err = call_predict(tmp_path / "in")
    assert code == 0
    assert len(list(csv.DictReader(io.StringIO(out)))) == 3
    assert "with --out NAME.csv, NAME_key.csv has the original ones" in err


def test_a_volume_that_cannot_be_converted_is_named_with_its_reason(model, call_predict, tmp_path):
    (tmp_path / "text.nii").write_text("no volume")
    save_nifti(tmp_path / "good_1.nii")
    code, out, err = call_predict("text.nii", "good_1.nii")
    assert code == 1
    rows = list(csv.DictReader(io.StringIO(out)))
    assert (rows[0]["path"], rows[0]["error"][:14]) == ("text.nii", "cannot be read")
    assert len(rows) == 4
    (tmp_path / "mask").mkdir()
    save_nifti(tmp_path / "mask" / "sub-01_mask.nii")
    for arguments, reason in ((("text.nii",), "text.nii: cannot be read"), (("mask",), "a segmentation or a mask"),
                              (("nowhere.nii",), "no such file"),
                              (("good_1.nii", "--orientation", "RRS"), "three axes")):
        code, out, err = call_predict(*arguments)
        assert (code, out) == (2, ""), arguments
        assert reason in err.splitlines()[-1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["good_1.nii", "mask", "model.pt", "text.nii"]


def test_a_missing_package_is_one_line(model, call_predict, tmp_path, monkeypatch):
    save_nifti(tmp_path / "a_1.nii")
    monkeypatch.setitem(sys.modules, "nibabel", None)
    code, _, err = call_predict("a_1.nii")
    assert (code, err) == (2, "error: volumes need the package nibabel: pip install -r requirements-clinical.txt\n")


def test_settings_are_those_of_the_checkpoint_or_the_defaults_with_a_note(model, call_predict, tmp_path):
    save_nifti(tmp_path / "a_1.nii")
    checkpoint = torch.load(model, weights_only=True)
    for name in describe_preparation(SETTINGS):
        checkpoint["preprocessing"].pop(name)
    torch.save(checkpoint, model)
    code, out, err = call_predict("a_1.nii")
    assert (code, out.count("#z")) == (0, 16)
    assert "volumes are prepared with the defaults" in err
    checkpoint["preprocessing"] |= describe_preparation(SETTINGS) | {"volume_slices": 0}
    torch.save(checkpoint, model)
    code, _, err = call_predict("a_1.nii")
    assert (code, err.count("\n")) == (2, 1)
    assert "model.pt: --slices 0" in err


def test_a_table_gives_the_patients_of_volumes(model, call_predict, tmp_path):
    save_nifti(tmp_path / "a.nii")
    (tmp_path / "who.csv").write_text("path,subject\na.nii,p7\n")
    assert call_predict("a.nii", "--subjects", "who.csv", "--out", "new.csv")[0] == 0
    assert [row["subject"] for row in read(tmp_path / "new_patients.csv")] == ["p7"]
