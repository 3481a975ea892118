import json
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from data_setup.images.read import read_image
from data_setup.volumes import convert as module
from data_setup.volumes.convert import convert, convert_all, file_hash
from data_setup.volumes.discover import Source
from tests.data_setup.volumes.heads import SETTINGS, head, save_analyze, save_nifti


def source(path):
    return Source((path,), path.name, path.name, "a1", None)


def test_a_finished_volume_is_not_read_again_a_changed_one_is(tmp_path, monkeypatch):
    one = source(save_nifti(tmp_path / "a.nii"))
    store = tmp_path / "store"
    [first] = convert_all([one], SETTINGS, store, 1, lambda count: None)
    assert first["new"]
    with monkeypatch.context() as patch:
        patch.setattr(module, "read_nifti", None)
        [again] = convert_all([one], SETTINGS, store, 1, lambda count: None)
    assert again == first | {"new": False}
    save_nifti(tmp_path / "a.nii", head(seed=1))
    [changed] = convert_all([one], SETTINGS, store, 1, lambda count: None)
    assert changed["new"]
    assert [str(folder) for folder in store.iterdir()] == [changed["folder"]]


def test_nothing_half_written_after_an_interruption(tmp_path, monkeypatch):
    one, store = source(save_nifti(tmp_path / "a.nii")), tmp_path / "store"

    def interrupt(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "contact_sheet", interrupt)
        with pytest.raises(KeyboardInterrupt):
            convert_all([one], SETTINGS, store, 1, lambda count: None)
    assert all(folder.name.endswith(module.PART) for folder in store.iterdir())
    [record] = convert_all([one], SETTINGS, store, 1, lambda count: None)
    assert [str(folder) for folder in store.iterdir()] == [record["folder"]]
    assert {path.name for path in next(store.iterdir()).iterdir()} == {
        "z00.png", "z01.png", "z02.png", "sheet.png", "record.json"}


def test_workers_inherit_ignored_interrupts(tmp_path, monkeypatch):
    """Ctrl-C reaches the workers while they import; their tracebacks would hide the one line of the main process."""
    class Pool(ThreadPoolExecutor):
        def __init__(self, workers, mp_context, initializer):
            super().__init__(workers)

        def submit(self, *arguments):
            seen.append(signal.getsignal(signal.SIGINT))
            return super().submit(*arguments)

    seen, before = [], signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(module, "ProcessPoolExecutor", Pool)
    sources = [source(save_nifti(tmp_path / f"{number}.nii", head(number))) for number in range(2)]
    assert all(record["new"] for record in convert_all(sources, SETTINGS, tmp_path / "store", 2, int))
    assert seen == [signal.SIG_IGN] * 2
    assert signal.getsignal(signal.SIGINT) is before


def test_bad_volumes_have_reasons_and_the_others_are_converted_by_two_processes(tmp_path):
    (tmp_path / "bad.nii").write_text("x")
    sources = [source(save_nifti(tmp_path / f"{n}.nii", head(n))) for n in range(2)] + [source(tmp_path / "bad.nii")]
    counts = []
    records = convert_all(sources, SETTINGS, tmp_path / "store", 2, counts.append)
    assert [("reason" in record) for record in records] == [False, False, True]
    assert counts == [1, 1, 1]
    assert json.dumps(records)


def test_the_png_is_what_the_slices_are(tmp_path):
    (tmp_path / "store").mkdir()
    record = convert(source(save_nifti(tmp_path / "a.nii")), SETTINGS, tmp_path / "store")
    volume = module.read_nifti(tmp_path / "a.nii")
    expected = module.make_slices(volume, SETTINGS)
    for number, pixels in enumerate(expected.pixels):
        with Image.open(f"{record['folder']}/z{number:02d}.png") as image:
            np.testing.assert_array_equal(np.array(image), pixels)


def test_slices_of_16_bits_are_read_as_those_of_8_bits(tmp_path):
    """A slice without white would otherwise be brightened by its own maximum."""
    one = source(save_nifti(tmp_path / "a.nii", (head() * np.linspace(1, 2, 30)).astype(np.int16)))
    pixels = []
    for bits in (8, 16):
        [record] = convert_all([one], replace(SETTINGS, bits=bits), tmp_path / str(bits), 1, lambda count: None)
        files = [f"{record['folder']}/z{number:02d}.png" for number in range(SETTINGS.slices)]
        pixels.append(np.stack([read_image(file, 1) for file in files]))
    assert np.abs(pixels[0].astype(int) - pixels[1]).max() <= 1
    assert pixels[0][0].max() < 250


def test_the_hash_includes_the_header_of_a_pair(tmp_path):
    image = save_analyze(tmp_path / "a.img", head())
    before = file_hash((image,))
    with open(tmp_path / "a.hdr", "r+b") as file:
        file.seek(150)
        file.write(b"changed")
    assert file_hash((image,)) != before
