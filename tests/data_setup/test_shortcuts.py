import numpy as np
import pytest
from PIL import Image

from data_setup.shortcuts import Shortcut, find_shortcuts, hash_of, traces


@pytest.fixture
def cohort():
    """60 people of two classes with 4 slices each; nothing tells the class."""
    generator = np.random.default_rng(0)
    people = np.repeat(np.arange(60), 4)
    labels = (people % 2).astype(int)
    rows = [{"file size": [float(generator.normal(5000, 300))], "dimensions": [176.0, 208.0],
             "name": [float(generator.integers(0, 3))]} for _ in people]
    return rows, labels, people


def found(rows, labels, people):
    return {shortcut.trace for shortcut in find_shortcuts(rows.__getitem__, labels, people) if shortcut.found}


def test_where_nothing_tells_the_class_nothing_is_found(cohort):
    assert found(*cohort) == set()


def test_a_trace_that_goes_with_the_class_is_found_and_named(cohort):
    rows, labels, people = cohort
    for row, label in zip(rows, labels, strict=True):
        row["file size"] = [row["file size"][0] + 900 * label]
    assert found(rows, labels, people) == {"file size"}


def test_a_trace_that_goes_with_the_person_is_not_one_that_goes_with_the_class(cohort):
    """Every person has a scanner of its own: learnt by heart it says nothing of new people."""
    rows, labels, people = cohort
    for row, person in zip(rows, people, strict=True):
        row["file size"] = [float(hash_of(str(person)))]
    assert found(rows, labels, people) == set()


def test_a_minority_filled_up_from_elsewhere_is_found(cohort):
    """A third of one class has names of another family."""
    rows, labels, people = cohort
    for row, label, person in zip(rows, labels, people, strict=True):
        row["name"] = [99.0 if label and person % 3 == 0 else 1.0]
    assert "name" in found(rows, labels, people)


def test_classes_of_few_people_are_left_out(cohort):
    rows, labels, people = cohort
    labels = labels.copy()
    labels[people < 4] = 2
    for row, label in zip(rows, labels, strict=True):
        row["file size"] = [9000.0 * (label == 2)]
    assert found(rows, labels, people) == set()
    assert find_shortcuts(rows.__getitem__, np.where(people < 56, 0, 1), people) == []


def test_traces_see_what_files_are_made_of(tmp_path):
    generator = np.random.default_rng(0)
    smooth = np.add.outer(np.arange(64), np.arange(48)).astype(np.uint8)
    grid = smooth.copy()
    grid[::2, ::2] += 3
    Image.fromarray(smooth).save(tmp_path / "sub-01.png")
    Image.fromarray(smooth).save(tmp_path / "sub-02.jpg", quality=60)
    Image.fromarray(smooth).save(tmp_path / "synth_1.jpg", quality=95)
    noisy = np.clip(smooth + generator.normal(0, 20, smooth.shape), 0, 255).astype(np.uint8)
    png, low, high = (traces(tmp_path / name, smooth) for name in ("sub-01.png", "sub-02.jpg", "synth_1.jpg"))
    assert png["format, mode and JPEG tables"] != low["format, mode and JPEG tables"]
    assert low["format, mode and JPEG tables"][2] > high["format, mode and JPEG tables"][2], "coarser tables"
    assert png["name"] == low["name"] != high["name"], "digits do not count"
    assert traces(tmp_path / "sub-01.png", grid)["upsampling grid"] > png["upsampling grid"]
    assert traces(tmp_path / "sub-01.png", noisy)["high frequencies"] > png["high frequencies"]


def test_pixels_may_show_disease_so_they_need_more():
    assert Shortcut("name", 0.60, 0.55).found
    assert not Shortcut("high frequencies", 0.60, 0.55).found
    assert Shortcut("high frequencies", 0.70, 0.55).found
