"""Damaged, odd and impossible volumes: each is left out with one reason, and the good ones beside them are used."""

import csv
import errno
import gzip
import os
import re
import runpy

import nibabel
import numpy as np
import pytest
from PIL import Image
from pydicom.uid import JPEG2000Lossless

from tests.conftest import ROOT
from tests.data_setup.volumes.heads import AFFINE, datasets, head, save_dicom, save_nifti

SMALL = ("--slices", 3, "--size", "50x40", "--spacing", 4, "--workers", 1)
LEFT_HANDED, SHEARED, SINGULAR, HUGE = (AFFINE.copy() for _ in range(4))
LEFT_HANDED[:3, 0] *= -1          # the first axis points to the left
SHEARED[0, 1] = 2.0
SINGULAR[0, 0] = 0
HUGE[:3, :3] *= 1000


def nifti(data=None, affine=AFFINE, **fields):
    def save(path):
        image = nibabel.Nifti1Image(head() if data is None else data, None)
        image.set_sform(affine, code=1)
        image.header["qform_code"] = 0
        for name, value in fields.items():
            image.header[name] = value
        nibabel.save(image, path)
    return save


def content(change):
    """A file with changed bytes of a good volume."""
    def save(path):
        save_nifti(path.with_name("whole.nii"))
        path.write_bytes(change(path.with_name("whole.nii").read_bytes()))
        path.with_name("whole.nii").unlink()
    return save


def changed(place, value):
    return content(lambda good: good[:place] + value + good[place + len(value):])


def with_one(value):
    data = head().astype(np.float32)
    data[5, 5, 5] = value
    return data


COLOURS = np.zeros(head().shape, [("R", "u1"), ("G", "u1"), ("B", "u1")])
TINY, WIDE = (np.ones(shape, np.int16) for shape in ((3, 3, 3), (8, 8, 1)))

FILES = {       # name → (how it is made, the reason; "" if the volume is used)
    "good.nii": (nifti(), ""), "left_handed.nii": (nifti(head()[::-1], LEFT_HANDED), ""),
    "not_utf8_\udce9.nii": (nifti(), ""),
    "int8.nii": (nifti((head() // 8).astype(np.int8)), ""), "float64.nii": (nifti(head() * 1e-9), ""),
    "five_d.nii": (nifti(head()[..., None, None]), ""), "not_packed.nii.gz": (content(bytes), "cannot be read: .*gzip"),
    "text.nii": (content(lambda good: b"no volume"), "cannot be read"),
    "packed_text.nii.gz": (content(lambda good: gzip.compress(b"x")), "cannot be read"),
    "empty.nii": (content(lambda good: b""), "cannot be read: Empty file"),
    "packed_empty.nii.gz": (content(lambda good: b""), "cannot be read: Empty file"),
    "gzip.nii.gz": (content(lambda good: gzip.compress(good)[:-3000]), "cannot be read"),
    "short.nii": (content(lambda good: good[:-3000]), "cannot be read"),
    "header_only.nii": (content(lambda good: good[:352]), "cannot be read"),
    "many_voxels.nii": (changed(42, b"\x30\x75\x30\x75\x30\x75"), "cannot be read"),
    "no_voxels.nii": (changed(42, bytes(6)), "cannot be read|one slice only|has no voxels"),
    "kind.nii": (changed(70, b"\x99\x99"), "cannot be read"), "unit.nii": (changed(123, b"\x07"), "unit of length"),
    "within.nii": (changed(108, bytes(4)), "voxels begin at byte 0"),       # nibabel reads the header as voxels
    "nan.nii": (nifti(with_one(np.nan)), "1 of 44,160 voxels are NaN or infinite"),
    "infinite.nii": (nifti(with_one(-np.inf)), "1 of 44,160 voxels are NaN or infinite"),
    "constant.nii": (nifti(np.full_like(head(), 7)), r"all voxels have one value \(7\)"),
    "blank.nii": (nifti(np.zeros_like(head())), "all voxels have one value"),
    "four_d.nii": (nifti(np.stack([head()] * 3, axis=3)), "4-D .* a volume is 3-D"),
    "slice.nii": (nifti(WIDE), "one slice only"), "small.nii": (nifti(TINY), "3 slices only"),
    "complex.nii": (nifti(head().astype(np.complex64)), "colours or complex numbers"),
    "rgb.nii": (nifti(COLOURS), "colours or complex numbers"),
    "singular.nii": (nifti(affine=SINGULAR), "singular"),
    "sheared.nii": (nifti(affine=SHEARED), "sheared by 27 degrees"),
    "nan_affine.nii": (changed(280, b"\0\0\xc0\x7f"), "not finite"),
    "huge.nii": (nifti(affine=HUGE), "voxels of .* mm"),
    "nowhere.nii": (changed(254, b"\0\0"), "no orientation"), "alone.img": (content(bytes), "alone.hdr is missing"),
    "loop.nii": (lambda path: path.symlink_to(path.name), "not accessible .Too many levels"),
    "broken.nii": (lambda path: path.symlink_to("gone"), "a broken link to gone"),
    "pipe.nii": (os.mkfifo, "a pipe, not a regular file"),
}


PATIENTS = iter(f"patient-{number}" for number in range(100))


def series(**changes):
    return datasets(patient=next(PATIENTS), **changes)


def compressed():
    sets = series()
    for one in sets:
        one.file_meta.TransferSyntaxUID = JPEG2000Lossless
        one["PixelData"].is_undefined_length = True
        one.PixelData = b"\xfe\xff\x00\xe0\x00\x00\x00\x00\xfe\xff\x00\xe0\x04\x00\x00\x00abcd"
    return sets


def other(name, value, row=3):
    sets = series()
    setattr(sets[row], name, value)
    return sets


SERIES = {
    "gap": (lambda: (found := series())[:9] + found[12:], "about 3 slices are missing"),
    "sizes": (lambda: other("Rows", 23), "damaged or truncated|several|sizes"),
    "spacing": (lambda: series(PixelSpacing=[0, 0]), "wrong affine"),
    "single": (lambda: series()[:1], "one slice only"),
    "photo": (lambda: series(SamplesPerPixel=3), "colours"),
    "packed": (compressed, "compressed as JPEG 2000 .*pip install pylibjpeg|pixels cannot be decoded"),
    "positions": (lambda: series(ImagePositionPatient=None), "no ImagePositionPatient"),
    "bits": (lambda: series(BitsAllocated=13), "pixels cannot be decoded"),
}


def call(call_script, *arguments):
    return call_script(lambda: runpy.run_path(str(ROOT / "tools/prepare_data.py"), run_name="__main__"), *arguments)


def test_every_bad_volume_has_its_reason_and_the_good_ones_are_used(call_script, tmp_path):
    for number, (name, (make, _)) in enumerate(FILES.items()):
        (tmp_path / "in" / f"sub-{number:02d}").mkdir(parents=True)
        make(tmp_path / "in" / f"sub-{number:02d}" / name)
    for name, (make, _) in SERIES.items():
        save_dicom(tmp_path / "in" / name, make())
    (tmp_path / "in" / "up").symlink_to(tmp_path / "in")
    code, out, error = call(call_script, tmp_path / "in", "--out", tmp_path / "data", *SMALL)
    assert (code, error) == (0, "")
    with open(tmp_path / "data" / "left_out.csv", newline="") as stream:
        reasons = {row["source"]: row["reason"] for row in csv.DictReader(stream)}
    with open(tmp_path / "data_key.csv", newline="") as stream:
        places = {row["original_place"]: row["place"] for row in csv.DictReader(stream)}
    for number, (name, (_, reason)) in enumerate(FILES.items()):
        found = reasons.pop(f"sub-{number:02d}/{name}", "")
        assert bool(found) == bool(reason), (name, found)
        assert re.search(reason, found), (name, found)
    for name, (_, reason) in SERIES.items():
        assert re.search(reason, found := reasons.pop(places[name], "")), (name, found)
    assert "a link to a folder" in reasons.pop(places["up"])
    assert reasons == {}
    good = [reason for _, reason in FILES.values()].count("")
    assert f"{3 * good} slices of {good} volumes" in out
    slices = {path.name[4:6]: np.array(Image.open(path)).astype(int)
              for path in (tmp_path / "data" / "unlabelled").glob("*_z01.png")}
    names = list(FILES)
    for name in ("left_handed.nii", "float64.nii", "five_d.nii"):
        assert np.abs(slices[f"{names.index(name):02d}"] - slices[f"{names.index('good.nii'):02d}"]).max() <= 1, name


@pytest.mark.parametrize(("before", "message"), [
    (lambda path: None, "no volume can be used"),
    (lambda path: (path / "notes.txt").write_text("x"), "no volume can be used"),
    (lambda path: (path / "brain.mgz").write_bytes(b"x"), "no volume can be used")])
def test_a_folder_without_volumes_is_one_line(call_script, tmp_path, before, message):
    (tmp_path / "in").mkdir()
    before(tmp_path / "in")
    code, _, error = call(call_script, tmp_path / "in", "--out", tmp_path / "data", *SMALL)
    assert (code, error.count("\n")) == (2, 1)
    assert message in error


def test_a_full_disk_is_one_line_and_the_next_run_goes_on(call_script, tmp_path, monkeypatch):
    for number in range(2):
        save_nifti(tmp_path / "in" / f"sub-{number}_T1w.nii")
    save, saved = Image.Image.save, []

    def full(image, *arguments, **options):
        saved.append(1)
        if len(saved) == 6:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(image, *arguments, **options)

    given = (tmp_path / "in", "--out", tmp_path / "data", *SMALL)
    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "save", full)
        code, _, error = call(call_script, *given)
    assert (code, error) == (2, f"error: {tmp_path}/data/.prepared: slices cannot be written (No space left on "
                             "device): make space there and run the command again\n")
    assert not (tmp_path / "data" / "manifest.csv").exists()
    code, out, _ = call(call_script, *given)
    assert code == 0
    assert "6 slices of 2 volumes (1 new)" in out
