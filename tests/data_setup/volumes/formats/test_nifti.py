import gzip
import os

import nibabel
import numpy as np
import pytest

from data_setup.volumes.formats.nifti import header_texts, read_nifti
from data_setup.volumes.volume import VolumeError
from tests.data_setup.volumes.heads import AFFINE, head, save_analyze, save_nifti, turned


def test_nifti_files_pairs_and_units(tmp_path):
    for name in ("a.nii", "b.nii.gz", "c.img"):
        np.testing.assert_array_equal(read_nifti(save_nifti(tmp_path / name, axes="PIR")).data, head())
    image = nibabel.Nifti1Image(head(), np.diag([1e-3, 1e-3, 1e-3, 1]) @ AFFINE)
    image.header.set_xyzt_units("meter")
    nibabel.save(image, tmp_path / "metres.nii")
    np.testing.assert_allclose(read_nifti(tmp_path / "metres.nii").affine, AFFINE, rtol=1e-5)


@pytest.mark.parametrize(("name", "axes"), [
    ("OAS1_0001_MR1_mpr-1_anon.img", "ASL"), ("OAS1_0001_MR1_mpr_n4_anon_sbj_111.img", "ASL"),
    ("OAS1_0001_MR1_mpr_n4_anon_111_t88_gfc.img", "LAS"), ("OAS1_0001_MR1_mpr_n4_anon_111_t88_masked_gfc.img", "LAS"),
    ("OAS2_0001_MR2/RAW/mpr-1.nifti.img", "ASL")])
def test_oasis_has_its_own_rule_by_the_names_of_file_and_folders(tmp_path, name, axes):
    array, _ = turned(head(), axes)
    volume = read_nifti(save_analyze(tmp_path / name, array[..., None], (5, 4, 6, 1)))
    np.testing.assert_array_equal(volume.data, head())
    assert volume.axes == axes
    assert "OASIS" in volume.notes[0]


def test_a_file_without_orientation_needs_the_flag(tmp_path):
    analyze = save_analyze(tmp_path / "scan.img", turned(head(), "LAS")[0])
    image = nibabel.Nifti1Image(turned(head(), "LAS")[0], None)
    image.header.set_zooms((5, 4, 6))
    nibabel.save(image, tmp_path / "scan.nii")
    for path in (analyze, tmp_path / "scan.nii"):
        with pytest.raises(VolumeError, match="--orientation"):
            read_nifti(path)
        np.testing.assert_array_equal(read_nifti(path, "LAS").data, head())


def test_forms_that_contradict_each_other_are_a_reason(tmp_path):
    image = nibabel.Nifti1Image(head(), AFFINE)
    image.set_sform(np.diag([-1, 1, 1, 1]) @ AFFINE, code=1)
    image.set_qform(AFFINE, code=1)
    nibabel.save(image, tmp_path / "a.nii")
    with pytest.raises(VolumeError, match="qform says RAS and sform LAS"):
        read_nifti(tmp_path / "a.nii")
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]]
    image.set_sform(turn @ AFFINE, code=1)
    nibabel.save(image, tmp_path / "b.nii")
    assert read_nifti(tmp_path / "b.nii").notes == ("qform and sform differ by 17 degrees; sform is used",)


def test_a_voxel_size_of_0_is_a_reason_where_it_counts(tmp_path):
    for name, codes in (("q.nii", (1, 0)), ("s.nii", (0, 1)), ("OAS1_0001_MR1_mpr_n4_anon_111_t88_gfc.hdr", None)):
        if codes is None:
            path = save_analyze(tmp_path / name, head()).with_suffix(".hdr")
        else:
            image = nibabel.Nifti1Image(head(), AFFINE)
            image.header["qform_code"], image.header["sform_code"] = codes
            nibabel.save(image, path := tmp_path / name)
        content = bytearray(path.read_bytes())
        content[80:84] = bytes(4)               # pixdim[1]
        path.write_bytes(content)
        if codes == (0, 1):                     # the sform has the voxel sizes
            np.testing.assert_allclose(read_nifti(path).spacing, (5, 4, 6), rtol=1e-6)
        else:
            with pytest.raises(VolumeError, match="voxels of 0 x 4 x 6 mm"):
                read_nifti(path)


def test_damaged_and_incomplete_files_have_reasons(tmp_path):
    content = save_nifti(tmp_path / "whole.nii").read_bytes()
    (tmp_path / "gzip.nii.gz").write_bytes(gzip.compress(content)[:-3000])
    (tmp_path / "short.nii").write_bytes(content[:-3000])
    (tmp_path / "text.nii").write_text("not a volume")
    for name in ("gzip.nii.gz", "short.nii", "text.nii"):
        with pytest.raises(VolumeError, match="cannot be read: "):
            read_nifti(tmp_path / name)
    (tmp_path / "packed.nii").write_bytes(gzip.compress(content))
    with pytest.raises(VolumeError, match="capital and small letters: write it in small ones"):
        read_nifti(save_nifti(tmp_path / "small.nii.gz").rename(tmp_path / "Mixed.Nii.gz"))
    with pytest.raises(VolumeError, match="compressed by gzip without being named .gz"):
        read_nifti(tmp_path / "packed.nii")
    os.remove(save_nifti(tmp_path / "pair.img").with_suffix(".hdr"))
    with pytest.raises(VolumeError, match="pair.hdr is missing"):
        read_nifti(tmp_path / "pair.img")


def test_a_time_series_is_a_reason_before_its_voxels_are_read(tmp_path):
    nibabel.save(nibabel.Nifti1Image(np.zeros((20, 20, 20, 9), np.int16), AFFINE), tmp_path / "bold.nii")
    (tmp_path / "bold.nii.gz").write_bytes(gzip.compress((tmp_path / "bold.nii").read_bytes()[:400]))
    with pytest.raises(VolumeError, match="4-D .20 x 20 x 20 x 9"):
        read_nifti(tmp_path / "bold.nii.gz")


def test_free_text_of_a_header_is_named(tmp_path):
    image = nibabel.Nifti1Image(head(), AFFINE)
    image.header["descrip"] = b"Jane Doe"
    nibabel.save(image, tmp_path / "a.nii")
    assert header_texts(tmp_path / "a.nii") == ["descrip"]
    assert header_texts(save_nifti(tmp_path / "b.nii")) == []
