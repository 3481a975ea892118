import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from PIL import Image

from data_setup.images.resize import Frame
from data_setup.listing.class_folders import list_slices
from data_setup.loading.dataset import (
    SliceDataset,
    bytes_needed,
    check_unreadable,
    decode,
    fits_in_memory,
    read_slice,
)


def test_decoding_keeps_pixels_and_exact_sums(folders):
    table = list_slices(folders).table
    decoded = decode(table["path"].tolist(), Frame((12, 10)), 1, keep=True)
    assert decoded.images.shape == (18, 1, 12, 10)
    assert decoded.images.dtype == torch.uint8
    for i, path in enumerate(table["path"]):
        assert (decoded.images[i, 0].numpy() == np.asarray(Image.open(path))).all()
    rows = np.array([0, 3, 7])
    mean, std = decoded.mean_and_std(rows, 120)
    pixels = decoded.images[rows].double() / 255
    assert mean == pytest.approx([pixels.mean().item()])
    assert std == pytest.approx([pixels.std(unbiased=False).item()])
    assert len(set(decoded.digests)) == 12, "test's slices are copies of train's first three"


def test_memory_is_counted_in_bytes(folders):
    table = list_slices(folders).table
    decoded = decode(table["path"].tolist(), Frame((12, 10)), 3, keep=True)
    assert decoded.images.nbytes == bytes_needed(18, (12, 10), 3)
    assert decode(table["path"].tolist(), Frame((12, 10)), 3, keep=False).images is None


def test_every_process_of_a_machine_holds_the_slices(monkeypatch):
    free = psutil.virtual_memory()._replace(available=8000)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert fits_in_memory(4000)
    assert not fits_in_memory(4001)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert fits_in_memory(1000)
    assert not fits_in_memory(1001)


def test_slices_on_disk_equal_slices_in_memory(folders):
    table = list_slices(folders).table
    table["subject"] = None
    images = decode(table["path"].tolist(), Frame((9, 10)), 1, keep=True).images
    part = table[table["split"] == "test"]
    kept = SliceDataset(part, ["AD", "CN"], Frame((9, 10)), 1, images)
    read = SliceDataset(part, ["AD", "CN"], Frame((9, 10)), 1, None)
    assert len(kept) == len(read) == 6
    for ours, theirs in zip(kept.__getitems__([4, 0, 5]), read.__getitems__([4, 0, 5]), strict=True):
        assert torch.equal(ours, theirs)
    assert torch.equal(kept[1][0], torch.from_numpy(read_slice(part["path"].iloc[1], Frame((9, 10)), 1).copy()))
    assert kept.labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_an_unreadable_file_is_named_and_the_others_are_read(folders):
    broken = folders["train"] / "AD" / "train2.png"
    broken.write_bytes(broken.read_bytes()[:60])
    table = list_slices(folders).table
    decoded = decode(table["path"].tolist(), Frame((12, 10)), 1, keep=True)
    [(row, reason)] = decoded.errors.items()
    assert table["path"][row] == str(broken)
    assert str(broken) in reason
    assert (decoded.images[row] == 0).all()
    assert sum(d == "" for d in decoded.digests) == 1


def many(split, name, count):
    return pd.DataFrame({"path": [f"{split}/{name}/{i}.png" for i in range(count)], "class": name, "split": split})


def test_more_than_one_percent_unreadable_stops_and_exactly_one_percent_does_not():
    table = pd.concat([many("train", "AD", 150), many("train", "CN", 50), many("test", "AD", 40)], ignore_index=True)
    check_unreadable(table, {0: "0 broken", 160: "160 broken"})
    with pytest.raises(ValueError, match=r"3 of 200 train files.*limit 1%.*0 broken"):
        check_unreadable(table, {0: "0 broken", 1: "1 broken", 160: "160 broken"})
    with pytest.raises(ValueError, match="1 of 40 test files"):
        check_unreadable(table, {200: "200 broken"})


def test_a_class_that_cannot_be_read_at_all_stops_even_below_one_percent():
    table = pd.concat([many("train", "AD", 400), many("train", "CN", 2)], ignore_index=True)
    with pytest.raises(ValueError, match="none of the 2 train files of class CN"):
        check_unreadable(table, {400: "400 broken", 401: "401 broken"})


def test_flat_training_images_are_refused(tmp_path):
    for i in range(2):
        path = tmp_path / "train" / "AD" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 77).save(path)
    decoded = decode([str(p) for p in sorted(tmp_path.rglob("*.png"))], Frame((8, 8)), 1, keep=True)
    with pytest.raises(ValueError, match="of one colour"):
        decoded.mean_and_std(np.array([0, 1]), 64)
