import warnings

import numpy as np
import pytest

from data_setup.audit.file_features import text_hash
from data_setup.audit.shortcuts import Shortcut, _auroc, find_shortcuts


@pytest.fixture
def cohort():
    """60 people of two classes with 4 slices each; nothing tells the class."""
    generator = np.random.default_rng(0)
    people = np.repeat(np.arange(60), 4)
    labels = (people % 2).astype(int)
    rows = [{"file size": [float(generator.normal(5000, 300))], "dimensions": [176.0, 208.0],
             "name": [float(generator.integers(0, 3))]} for _ in people]
    return rows, labels, people


@pytest.fixture
def fewer_shuffles(monkeypatch):
    """Where nothing may be found, the stricter test: a shortcut has to exceed fewer shuffled runs."""
    monkeypatch.setattr("data_setup.audit.shortcuts.SHUFFLES", 3)


def found(rows, labels, people):
    return {shortcut.trace for shortcut in find_shortcuts(rows.__getitem__, labels, people) if shortcut.found}


def test_where_nothing_tells_the_class_nothing_is_found(cohort, fewer_shuffles):
    assert found(*cohort) == set()


def test_a_trace_that_goes_with_the_class_is_found_and_named(cohort):
    rows, labels, people = cohort
    for row, label in zip(rows, labels, strict=True):
        row["file size"] = [row["file size"][0] + 900 * label]
    assert found(rows, labels, people) == {"file size"}


def test_a_trace_that_goes_with_the_person_is_not_one_that_goes_with_the_class(cohort, fewer_shuffles):
    """Every person has a scanner of its own: learnt by heart it says nothing of new people."""
    rows, labels, people = cohort
    for row, person in zip(rows, people, strict=True):
        row["file size"] = [float(text_hash(str(person)))]
    assert found(rows, labels, people) == set()


def test_a_minority_filled_up_from_elsewhere_is_found(cohort):
    """A third of one class has names of another family."""
    rows, labels, people = cohort
    for row, label, person in zip(rows, labels, people, strict=True):
        row["name"] = [99.0 if label and person % 3 == 0 else 1.0]
    assert "name" in found(rows, labels, people)


def test_classes_of_few_people_are_left_out(cohort, fewer_shuffles):
    rows, labels, people = cohort
    labels = labels.copy()
    labels[people < 4] = 2
    for row, label in zip(rows, labels, strict=True):
        row["file size"] = [9000.0 * (label == 2)]
    assert found(rows, labels, people) == set()
    assert find_shortcuts(rows.__getitem__, np.where(people < 56, 0, 1), people) == []


def test_some_of_one_class_that_are_like_nobody_else_are_found(cohort):
    """A third of one class lies far off in one number: a tree's AUROC rises too little, what stands apart is seen."""
    rows, labels, people = cohort
    for row, label, person in zip(rows, labels, people, strict=True):
        row["noise"] = row["file size"] + [5.0 - 9 * (label == 1 and person % 6 == 1)]
    noise = next(s for s in find_shortcuts(rows.__getitem__, labels, people) if s.trace == "noise")
    assert noise.has_outliers
    assert not noise.separates_classes
    assert noise.apart == pytest.approx(1 / 3)


def test_a_few_of_every_class_that_stand_apart_say_nothing_of_the_class(cohort, fewer_shuffles):
    rows, labels, people = cohort
    for row, person in zip(rows, people, strict=True):
        row["noise"] = row["file size"] + [5.0 - 9 * (person % 10 < 2)]
    assert found(rows, labels, people) == set()


def test_one_strange_person_of_a_small_class_is_no_finding(cohort, fewer_shuffles):
    """A fifth of five people is one, whom shuffling puts into the small class often enough."""
    rows, labels, people = cohort
    labels = (people < 5).astype(int)
    for row, person in zip(rows, people, strict=True):
        row["noise"] = row["file size"] + [5.0 - 9 * (person == 2)]
    assert found(rows, labels, people) == set()


def test_what_may_show_disease_needs_more():
    assert Shortcut("name", 0.60, 0.55).found
    assert not Shortcut("border", 0.60, 0.55).found
    assert Shortcut("border", 0.70, 0.55).found
    assert not Shortcut("noise", 0.70, 0.55).found
    assert not Shortcut("upsampling grid", 0.58, 0.54).found, "a clean phantom's"
    assert not Shortcut("grey levels", 0.69, 0.61).found, "a clean phantom's"
    assert not Shortcut("spectrum", 0.85, 0.56).found, "a clean phantom's, people from pixels"
    assert not Shortcut("background noise", 0.67, 0.58).found, "a clean phantom's, people from pixels"
    assert Shortcut("noise", 0.95, 0.55).found
    assert not Shortcut("spectrum", 0.5, 0.5, 0.09, 0.07).found, "a clean phantom's"
    assert not Shortcut("noise", 0.5, 0.5, 0.20, 0.21).found
    assert Shortcut("noise", 0.5, 0.5, 0.20, 0.10).found
    assert not Shortcut("border", 0.5, 0.5, 0.12, 0.04).found, "a clean phantom's"


def test_a_trace_of_the_person_tells_no_class_of_new_people(cohort):
    """Folds hold whole people: with slices of one person on both sides the AUROC would be near one."""
    rows, labels, people = cohort
    for row, person in zip(rows, people, strict=True):
        row["file size"] = [float(text_hash(str(person)))]
    [own] = [s for s in find_shortcuts(rows.__getitem__, labels, people) if s.trace == "file size"]
    assert own.auroc < 0.7
    assert own.shuffled < 0.75


def test_labels_are_shuffled_over_whole_people():
    """A number of the person's own, 40 people with 8 slices: the best of nine shufflings scatters as 40 do, not 320."""
    best = []
    for seed in range(4):
        people = np.repeat(np.arange(40), 8)
        own = np.random.default_rng(seed).normal(size=40)
        rows = [{"noise": [float(own[person])]} for person in people]
        [shortcut] = find_shortcuts(rows.__getitem__, people % 2, people, seed)
        assert not shortcut.found
        best.append(shortcut.shuffled)
    assert np.mean(best) > 0.59, "0.55 where slices are shuffled"


def test_labels_of_one_class_tell_nothing_and_warn_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert _auroc(np.arange(24.0)[:, None], np.ones(24, dtype=int), np.arange(24) // 2, 0) == 0.5
