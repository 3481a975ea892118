import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import data_setup
from data_setup.loading.dataloaders import create_dataloaders
from data_setup.loading.transforms import RandomAugment
from functions.runtime.errors import UserError

CPU = torch.device("cpu")


@pytest.fixture
def folders(tmp_path):
    """8 people of each class with 4 slices, named as BIDS does, all of them in train and half their slices in test."""
    generator = np.random.default_rng(0)
    for name in ("AD", "CN"):
        for person in range(8):
            brightness = generator.integers(60, 200)
            for z in range(4):
                folder = tmp_path / ("train" if z % 2 else "test") / name
                folder.mkdir(parents=True, exist_ok=True)
                pixels = np.clip(generator.normal(brightness, 30, (12, 10)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"sub-{name}{person}_z{z}.png")
    return tmp_path


def load(folders, **options):
    return create_dataloaders(folders / "train", folders / "test", 5, image_size=(12, 10), channels=1, device=CPU,
                              **{"seed": 3} | options)


def test_patients_on_both_sides_are_split_again_and_stay_apart(folders):
    data = load(folders)
    sides = data.table.groupby("subject")["split"].nunique()
    assert len(sides) == 16
    assert (sides == 1).all()
    assert any("16 of 16 patients are in both train and test" in note for note in data.notes)
    assert data.caveats == []
    assert len(data.train.dataset) + len(data.val.dataset) + len(data.test.dataset) == 64


def test_folders_kept_as_they_are_carry_the_stamp(folders):
    data = load(folders, split="folder")
    assert data.caveats == ["LEAKY SPLIT"]
    assert {path.split("/")[-3] for path in data.test.dataset.paths} == {"test"}


def anonymous(folders):
    """Names that say nothing: a number that is not in the order of patients."""
    for number, path in enumerate(sorted(folders.rglob("sub-*.png"))):
        path.rename(path.with_name(f"{number * 37 % 64}.png"))


@pytest.mark.parametrize("copy", ["a link", "renamed copies"])
def test_test_slices_that_are_training_slices_are_a_leak_even_of_unknown_patients(folders, copy):
    anonymous(folders)
    shutil.rmtree(folders / "test")
    if copy == "a link":
        (folders / "test").symlink_to(folders / "train")
    else:
        shutil.copytree(folders / "train", folders / "test")
        for number, path in enumerate(sorted(folders.glob("test/*/*.png"))):
            path.rename(path.with_name(f"copy{number}.png"))
    data = load(folders)
    assert data.caveats == ["LEAKY SPLIT", "PATIENTS UNKNOWN"]
    assert any("64 of 64 slices have a slice with the same pixels in another split" in note for note in data.notes)


def test_blank_slices_of_unknown_patients_are_no_leak_and_twins_in_train_stay_on_one_side(folders):
    anonymous(folders)
    for split in ("train", "test"):
        Image.fromarray(np.zeros((12, 10), np.uint8)).save(folders / split / "AD" / "900.png")
    for number, path in enumerate(sorted(folders.glob("train/*/*.png"))):
        shutil.copy(path, path.with_name(f"twin{number}.png"))
    assert load(folders).caveats == ["PATIENTS UNKNOWN"]


def test_unknown_patients_come_with_a_remedy(folders):
    anonymous(folders)
    assert "give --subjects FILE.csv or --subject_pattern REGEX or --subjects auto (from the pixels)" in load(
        folders).notes
    for number, path in enumerate(sorted(folders.glob("*/*/*.png"))):
        path.rename(path.with_name(f"{number // 4:03d}_{number}.png"))
    assert any(r"--subject_pattern '/(?P<subject>\d+)_\d+\.[^./]+$'" in note
               for note in load(folders, keep_in_memory=False).notes)


def test_what_training_saw_names_its_data_set(folders, monkeypatch):
    monkeypatch.chdir(folders)
    (folders / "link").symlink_to(folders / "train")
    data = create_dataloaders("link", "test", 5, image_size=(12, 10), channels=1, device=CPU, seed=3)
    assert data.seen["folders"] == [str(folders.resolve() / "test"), str(folders.resolve() / "train")]
    assert set(data.seen["subjects"]) == {*data.train.dataset.subjects, *data.val.dataset.subjects}


def test_mean_and_std_come_from_the_training_slices_alone(folders):
    data = load(folders)
    pixels = np.stack([np.asarray(Image.open(path)) for path in data.train.dataset.paths]) / 255
    assert data.preprocessing["mean"] == pytest.approx([pixels.mean()])
    assert data.preprocessing["std"] == pytest.approx([pixels.std()])


def test_every_slice_comes_once_an_epoch_shuffled_in_training_ordered_in_scoring(folders):
    data = load(folders, augment=False)
    whole = torch.cat([images for images, _ in data.test])
    again = torch.cat([images for images, _ in data.test])
    assert torch.equal(whole, again)
    assert torch.cat([labels for _, labels in data.test]).tolist() == data.test.dataset.labels.tolist()
    torch.manual_seed(0)
    first, second = (torch.cat([images for images, _ in data.train]) for _ in range(2))
    assert not torch.equal(first, second)
    assert torch.equal(first.flatten(1).sum(1).sort().values, second.flatten(1).sum(1).sort().values)
    assert len(data.train) == -(-len(data.train.dataset) // 5)


def test_augmentation_is_for_training_only(folders):
    data = load(folders)
    assert any(isinstance(step, RandomAugment) for step in data.train.transform)
    for batches in (data.val, data.test):
        assert not any(isinstance(step, RandomAugment) for step in batches.transform)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_slices_read_from_disk_equal_those_in_memory(folders, num_workers):
    kept, read = load(folders), load(folders, keep_in_memory=False, num_workers=num_workers)
    for (ours, labels), (theirs, their_labels) in zip(kept.test, read.test, strict=True):
        assert torch.equal(ours, theirs)
        assert torch.equal(labels, their_labels)
    assert kept.fingerprint == read.fingerprint
    assert any("in memory" in note for note in kept.notes)
    assert any("on disk" in note for note in read.notes)


def test_pixels_and_labels_stay_together_when_a_file_in_the_middle_cannot_be_read(folders, monkeypatch):
    monkeypatch.setattr("data_setup.loading.dataset.UNREADABLE_LIMIT", 0.1)
    broken = sorted((folders / "train" / "AD").glob("*.png"))[3]
    broken.write_bytes(broken.read_bytes()[:50])
    data = load(folders, augment=False)
    assert any(str(broken) in line for line in data.left_out)
    for batches in (data.train, data.val, data.test):
        dataset = batches.dataset
        assert str(broken) not in dataset.paths
        for i, path in enumerate(dataset.paths):
            pixels, label = dataset[i]
            assert (pixels[0].numpy() == np.asarray(Image.open(path))).all(), path
            assert f"/{data.class_names[label]}/" in path


def test_a_split_that_was_written_down_is_taken_to_the_letter(folders):
    data = load(folders, seed=5)
    data.table.to_csv(folders / "split.csv", index=False)
    again = load(folders, seed=99, split=folders / "split.csv")
    pd.testing.assert_frame_equal(again.table, data.table)
    assert again.train.dataset.paths == data.train.dataset.paths


def test_unknown_patients_are_stamped(folders):
    for i, path in enumerate(sorted(folders.rglob("*.png"))):
        path.rename(path.with_name(f"{i}.png"))
    assert load(folders).caveats == ["PATIENTS UNKNOWN"]


def test_fingerprint_follows_pixels_not_places(folders, tmp_path):
    before = load(folders).fingerprint
    moved = folders.rename(folders.with_name("elsewhere"))
    assert load(moved).fingerprint == before
    path = next(moved.rglob("*.png"))
    pixels = np.asarray(Image.open(path)).copy()
    pixels[0, 0] ^= 1
    Image.fromarray(pixels).save(path)
    assert load(moved).fingerprint != before


def test_files_left_out_are_counted_and_named(folders):
    (folders / "train" / "AD" / "Thumbs.db").write_bytes(b"x")
    data = load(folders)
    assert data.left_out == [f"{folders / 'train' / 'AD' / 'Thumbs.db'}: left by another program"]
    assert any("1 files or folders left out" in note for note in data.notes)


def test_class_weights_balance_the_training_slices(folders):
    for path in list(folders.glob("*/AD/*AD[4567]*")):
        path.unlink()
    data = load(folders)
    labels = data.train.dataset.labels
    few, many = (labels == 0).sum().item(), (labels == 1).sum().item()
    for power in (0, 0.5, 1):
        weights = data.class_weights(power)
        assert weights[labels].mean().item() == pytest.approx(1)
        assert (weights[0] / weights[1]).item() == pytest.approx((many / few) ** power)
    assert many > few
    assert data.largest_class == "CN"


def test_too_few_people_to_keep_some_apart_is_said(tmp_path):
    for name in ("AD", "CN"):
        for z in range(3):
            path = tmp_path / "train" / name / f"sub-1{name}_z{z}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.random.default_rng(z).integers(0, 256, (12, 10), dtype=np.uint8)).save(path)
    with pytest.raises(ValueError, match="too few patients"):
        create_dataloaders(tmp_path / "train", None, 5, image_size=(12, 10), channels=1, device=CPU)


def test_the_package_offers_its_front_door():
    assert data_setup.create_dataloaders is create_dataloaders
    with pytest.raises(AttributeError):
        getattr(data_setup, "nothing_of_the_kind")  # noqa: B009 - a bare attribute would be a statement without effect


def test_without_names_patients_come_from_the_pixels_if_asked(tmp_path):
    """Leaky folders of nameless files: with "auto" nobody stands on both sides, and the split says who is who."""
    from tests.phantoms import make_phantom

    make_phantom(tmp_path / "p", people=60, slices=12, seed=1, faults=("leak",))
    truth = {}
    for number, path in enumerate(sorted((tmp_path / "p").rglob("*.png"))):
        renamed = path.with_name(f"{number:05d}.png")
        truth[str(renamed)] = path.name.split("_")[0]
        path.rename(renamed)
    options = {"image_size": (24, 20), "channels": 1, "device": CPU}
    data = create_dataloaders(tmp_path / "p/train", tmp_path / "p/test", 9, subjects="auto", **options)
    assert any("patients from the pixels alone" in note for note in data.notes)
    told = data.table[data.table["subject"].notna()]
    assert len(told) > 0.9 * len(data.table)
    assert (told.groupby("subject")["split"].nunique() == 1).all()
    people = told["path"].map(truth)
    assert (people.groupby(told["subject"]).nunique() == 1).mean() > 0.97
    data.table.to_csv(tmp_path / "split.csv", index=False)
    again = create_dataloaders(tmp_path / "p/train", tmp_path / "p/test", 9, subjects="auto",
                               split=tmp_path / "split.csv", **options)
    assert again.table.equals(data.table)


@pytest.mark.parametrize("kind", [str, Path])
def test_where_a_split_was_written_down_pixels_are_not_asked_again(folders, kind, monkeypatch):
    """Also where its path is a text, as the flag --split gives it."""
    file = folders / "split.csv"
    load(folders).table.assign(subject="").to_csv(file, index=False)
    for number, path in enumerate(sorted(folders.rglob("*.png"))):
        new = path.with_name(f"{number}.png")
        path.rename(new)
        file.write_text(file.read_text().replace(str(path), str(new)))
    monkeypatch.setattr("data_setup.loading.dataloaders.subjects_from_pixels", None)
    data = load(folders, split=kind(file), subjects="auto")
    assert data.caveats == ["PATIENTS UNKNOWN"]


def test_seen_are_the_patients_and_pixels_of_training_and_validation_and_no_others(folders):
    data = load(folders)
    table = data.table
    of = {name: set(table.loc[table["split"] == name, "subject"]) for name in ("train", "val", "test")}
    assert all(of.values())
    assert set(data.seen["subjects"]) == of["train"] | of["val"]
    digests = {name: set(getattr(data, name).dataset.digests) for name in of}
    assert set(data.seen["digests"]) == digests["train"] | digests["val"]
    assert not set(data.seen["digests"]) & digests["test"]


def test_a_file_that_changed_or_vanished_since_it_was_first_read_is_named(folders):
    """Where slices do not fit in memory they are read again in every epoch: another picture would be other data."""
    data = load(folders, keep_in_memory=False)
    changed, lost = data.train.dataset.paths[2], data.train.dataset.paths[3]
    Image.new("L", (10, 12), 9).save(changed)
    with pytest.raises(UserError, match="has changed since the run began") as refusal:
        data.train.dataset[2]
    assert changed in str(refusal.value)
    (folders / lost).unlink()
    with pytest.raises(UserError, match="could be read when the run began") as refusal:
        data.train.dataset.__getitems__([0, 3])
    assert lost in str(refusal.value)


def test_fingerprint_follows_the_class_of_every_slice(folders):
    before = load(folders).fingerprint
    path = sorted((folders / "train" / "AD").iterdir())[0]
    path.rename(folders / "train" / "CN" / path.name)
    assert load(folders).fingerprint != before


def test_how_many_rows_of_the_subject_table_name_no_patient_is_said(folders):
    paths = sorted(folders.glob("*/*/*.png"))
    rows = [f"{path},{'-' if number < 6 else path.name[:7]}\n" for number, path in enumerate(paths)]
    (folders / "s.csv").write_text("path,subject\n" + "".join(rows))
    data = load(folders, subjects=folders / "s.csv")
    assert any('s.csv: 6 of 64 rows have no patient ("-")' in note for note in data.notes)
    assert data.table["subject"].isna().sum() == 6


def test_a_size_is_asked_for_where_no_preprocessing_gives_one(tmp_path):
    with pytest.raises(UserError, match="image_size, .height, width., is needed"):
        create_dataloaders(tmp_path, tmp_path, 4, channels=1, device=torch.device("cpu"))
