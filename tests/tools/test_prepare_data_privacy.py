"""No value of an identifying field, and no name of a DICOM file or folder, is in any output but the key."""

import runpy
import zlib

import nibabel
import pytest
import torch
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from data_setup.volumes.formats.dicom_headers import CONFIDENTIAL
from data_setup.volumes.preparation import describe_preparation
from tests.conftest import ROOT
from tests.data_setup.volumes.heads import AFFINE, SETTINGS, datasets, head, save_analyze, save_dicom, turned

SMALL = ("--slices", 3, "--size", "50x40", "--spacing", 4, "--workers", 1)
PLANTED = {"DA": "19110203", "TM": "131415.161718", "DT": "19110203131415.161718", "AS": "099Y", "UI": "1.2.987654",
           "DS": "987654", "IS": "987654", "US": 54321, "OB": b"ZQBYTES.", "UN": b"ZQBYTES."}
MARKS = (b"ZQ", b"19110203", b"131415", b"099Y", b"987654", b"54321")


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """(a folder of volumes with a mark in every field of the profile, the names of these fields)."""
    folder, names = tmp_path_factory.mktemp("planted"), {"private fields", "OverlayData", "CurveData"}
    inner, fields = Dataset(), Dataset()
    inner.PatientName, inner.OperatorsName = "ZQ^Nested", "ZQ"
    for tag in CONFIDENTIAL:
        if (keyword := keyword_for_tag(tag)) and tag >> 16 not in (0, 2):       # no command, no file meta
            kind = dictionary_VR(tag)
            fields.add_new(tag, kind, Sequence([inner]) if kind == "SQ" else PLANTED.get(kind, "ZQ"))
            names |= {keyword} if tag >> 16 < 0x7FE0 else set()      # headers are read up to the pixels
    fields.private_block(0x0029, "ZQMAKER", create=True).add_new(1, "LO", "ZQ")
    fields.add_new(0x60003000, "OW", b"ZQBYTES.")
    fields.add_new(0x50003000, "OW", b"ZQBYTES.")
    sets = datasets(head(5))
    for one in sets:
        one.update(fields)
        one.SeriesDescription = "ZQ T1"
    save_dicom(folder / "ZQFolder" / "ZQ1", sets, "ZQ{:04d}")
    other = datasets(head(6), patient="ZQOther", SeriesDescription="ZQ T1", StudyInstanceUID="1.2")
    save_dicom(folder / "ZQFolder" / "ZQ2", other, "ZQ{:04d}")
    save_dicom(folder / "ZQFolder" / "ZQ3", datasets(head(6), patient="ZQOther", SeriesDescription="ZQ FLAIR",
                                                     StudyInstanceUID="1.2"), "ZQ{:04d}")
    save_dicom(folder / "ZQBroken", datasets(PixelData=b"ZQ", SeriesInstanceUID="1.2.987654.5", patient="ZQ3"))
    (folder / "ZQFolder" / "ZQ.dcm").write_text("ZQ")
    (folder / "ZQFolder" / "ZQ.xyz").write_text("ZQ")
    image = nibabel.Nifti1Image(head(7), AFFINE)
    for name in ("descrip", "aux_file", "intent_name", "db_name"):
        image.header[name] = b"ZQ"
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"ZQ Jane"))
    nibabel.save(image, folder / "sub-01_T1w.nii.gz")
    analyze = save_analyze(folder / "sub-02_T1w.img", turned(head(8), "LAS")[0]).with_suffix(".hdr")
    content = bytearray(analyze.read_bytes())
    for place in (4, 14, 148, 228, 258, 268, 278, 288, 298, 308, 318):      # of the texts of Analyze 7.5
        content[place:place + 2] = b"ZQ"
    analyze.write_bytes(content)
    return folder, names


def found_in(folder, but=()):
    """Places of marks below a folder: names, bytes, and the bytes within compressed chunks of PNG files."""
    found = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        content = path.read_bytes() if path.is_file() and path.name not in but else b""
        if path.suffix == ".png":
            assert not any(chunk in content for chunk in (b"tEXt", b"iTXt", b"zTXt", b"eXIf"))
            start = content.index(b"IDAT") + 4
            content = content[:start] + zlib.decompressobj().decompress(content[start:])
        elif path.suffix == ".csv":                 # marks of numbers would be found in hashes
            content = content.replace(b"sha256", b"")
        found += [(name, mark) for mark in MARKS if mark in content or mark.decode() in name]
    return found


def test_no_planted_value_is_in_the_output_of_prepare_data(planted, call_script, tmp_path):
    folder, names = planted
    code, out, err = call_script(lambda: runpy.run_path(str(ROOT / "tools/prepare_data.py"), run_name="__main__"),
                                 folder, "--out", tmp_path / "data", "--series", "T1", "--orientation", "LAS", *SMALL)
    assert (code, err) == (0, "")
    reported = {name.rpartition(" (")[0] for name in out.split("fields (files): ")[1].splitlines()[0].split(", ")}
    texts = ("descrip", "aux_file", "intent_name", "db_name", "extensions", "data_type")
    assert names | {f"NIfTI header: {name}" for name in texts} <= reported
    assert len(list((tmp_path / "data" / "unlabelled").iterdir())) == 4 * 3
    for mark in MARKS:
        assert mark.decode() not in out.replace(str(folder), "")
    assert found_in(tmp_path, but=("data_key.csv",)) == []
    assert b"ZQFolder/ZQ1" in (tmp_path / "data_key.csv").read_bytes()
    assert (tmp_path / "data_key.csv").stat().st_mode & 0o077 == 0


def test_no_planted_value_is_in_the_output_of_predict(planted, finished, call_script, tmp_path, monkeypatch):
    import predict

    monkeypatch.setattr("data_setup.resources.available_cores", lambda: 1)
    checkpoint = torch.load(finished / "best.pt", weights_only=True)
    checkpoint["preprocessing"] |= describe_preparation(SETTINGS)
    torch.save(checkpoint, tmp_path / "model.pt")
    for out in ("new.csv", "new.json"):
        code, printed, err = call_script(predict.main, "model.pt", planted[0], "--series", "T1", "--orientation", "LAS",
                                         "--out", out)
        assert (code, printed) == (1, "")           # one series is damaged
        for mark in MARKS:
            assert mark.decode() not in err.replace(str(planted[0]), "")
    (tmp_path / "model.pt").unlink()
    for file in tmp_path.iterdir():
        file.write_text(file.read_text().replace(str(planted[0]), ""))
    assert found_in(tmp_path, but=("new_key.csv",)) == []
