import numpy as np
from PIL import Image

from data_setup.audit.file_checks import read_files


def test_every_file_is_read_once_and_what_is_unusual_is_said(tmp_path):
    generator = np.random.default_rng(0)
    sound = generator.integers(0, 256, (30, 24), dtype=np.uint8)
    Image.fromarray(sound).save(tmp_path / "a.png")
    Image.fromarray(sound).convert("RGBA").save(tmp_path / "b.png")
    Image.new("L", (24, 30)).save(tmp_path / "c.png")
    Image.new("L", (20, 20), 9).save(tmp_path / "d.png")
    (tmp_path / "e.png").write_bytes((tmp_path / "a.png").read_bytes()[:50])
    seen = []
    files = read_files([str(tmp_path / f"{name}.png") for name in "abcde"],
                       lambda work, total: (seen.append(total), work)[1])
    assert seen == [5]
    assert files.unusual == {1: "of mode RGBA", 2: "all black", 3: "of one colour"}
    assert list(files.unreadable) == [4]
    assert str(tmp_path / "e.png") in files.unreadable[4]
    assert files.digests[0] == files.digests[1] != files.digests[2], "pixels count, not bytes"
    assert files.digests[4] == ""
    assert files.sizes == [(30, 24), (30, 24), (30, 24), (20, 20), None]
    np.testing.assert_array_equal(files.images[0], sound)


def test_many_pictures_are_kept_small(tmp_path, monkeypatch):
    monkeypatch.setattr("data_setup.audit.file_checks.MANY", 1)
    for name in "ab":
        Image.fromarray(np.full((208, 176), 99, np.uint8)).save(tmp_path / f"{name}.png")
    files = read_files([str(tmp_path / f"{name}.png") for name in "ab"])
    assert files.images[0].shape == (104, 88)
    assert files.sizes[0] == (208, 176)
