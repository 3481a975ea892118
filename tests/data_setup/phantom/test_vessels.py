"""The phantom of vessels: same bytes everywhere, patients apart, abnormal by the stenosis alone."""

import ast
import csv
import hashlib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_setup.phantom import vessels
from data_setup.phantom.__main__ import main
from data_setup.phantom.people import Draws
from data_setup.phantom.vessels import CLASSES, DEGREE, SIDE, ceiling, draw_patient, make_vessels, render
from data_setup.subjects import find_subjects

GOLDEN = "83e36d63e4934b71dfefcc713f1482c419b4f2cdfb094b3ecb4e4ffc1b88ea7b"
SMALL = {"people": 20, "views": 2, "seed": 3}


def rows_of(folder):
    with open(folder / "manifest.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def pictures_of(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.png"))}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return make_vessels(tmp_path_factory.mktemp("vessels") / "small", **SMALL)


def test_the_set_is_the_same_to_the_byte(small):
    digest = hashlib.sha256((small / "manifest.csv").read_bytes())
    for name, data in pictures_of(small).items():
        digest.update(name.encode() + b"\0" + data)
    assert digest.hexdigest() == GOLDEN


def test_pixels_see_only_exactly_rounded_operations():
    """As in test_generate.py: sums, powers and exp differ in the last bit between machines."""
    exact = {"sqrt", "floor", "clip", "abs", "maximum", "arange", "asarray", "full", "stack", "uint8", "ndarray"}
    for node in ast.walk(ast.parse(Path(vessels.__file__).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "np":
            assert node.attr in exact, node.attr
        powers = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow | ast.MatMult)
        assert not powers or "variance" in ast.unparse(node), "only of numbers that no pixel sees"
        assert not (isinstance(node, ast.Attribute) and node.attr in {"sum", "dot", "std"})


def test_half_of_the_patients_are_abnormal_and_each_is_on_one_side_with_an_id_that_is_recognised(small):
    rows = rows_of(small)
    assert {row["path"] for row in rows} == set(pictures_of(small))
    assert find_subjects([row["path"] for row in rows]) == [row["subject"] for row in rows]
    patients = {row["subject"]: (row["split"], row["class"]) for row in rows}
    assert all(patients[row["subject"]] == (row["split"], row["class"]) for row in rows)
    assert len(rows) == 2 * len(patients) == 40
    counts = Counter(patients.values())
    assert [counts[split, name] for split in ("train", "test") for name in CLASSES] == [6, 6, 4, 4]
    with Image.open(small / rows[0]["path"]) as image:
        assert (image.mode, image.size) == ("L", (SIDE, SIDE))


def test_a_patient_depends_on_the_seed_and_the_number_only(small, tmp_path):
    fewer = pictures_of(make_vessels(tmp_path / "fewer", **{**SMALL, "people": 11}))
    assert len(fewer) == 22
    assert fewer.items() <= pictures_of(small).items()
    other = pictures_of(make_vessels(tmp_path / "other", people=10, views=1, seed=4))
    assert not set(other.values()) & set(pictures_of(small).values())


def twins(number, degree, monkeypatch):
    """(views without a stenosis, with one, vessels' pixels in either, lesions) of a patient, noise and all."""
    patient = draw_patient(0, number, Draws(7, number), label=1)
    deep, chords = [], vessels.chords
    monkeypatch.setattr(vessels, "chords", lambda tree: deep.append(chords(tree)) or deep[-1])
    healthy, _ = render(replace(patient, degree=0.0), 2, Draws(8, number))
    ill, lesions = render(replace(patient, degree=degree), 2, Draws(8, number))
    return healthy.astype(int), ill.astype(int), np.stack(deep).reshape(2, 2, SIDE, SIDE).max(axis=0) > 0, lesions


@pytest.mark.parametrize("number", [0, 1, 2])
def test_twins_differ_in_the_stenosis_and_behind_it_alone(number, monkeypatch):
    healthy, ill, of_vessels, lesions = twins(number, 0.7, monkeypatch)
    assert (healthy == ill)[~of_vessels].all(), "background and noise do not depend on the class"
    for before, after, (x, y, diameter) in zip(healthy, ill, lesions, strict=True):
        above = int(y - 26)                                # half of the longest stenosis, and a slanted vessel's radius
        assert above > 10
        np.testing.assert_array_equal(before[:above], after[:above])
        place = np.s_[round(y) - 2:round(y) + 3, round(x) - 2:round(x) + 3]
        assert after[place].mean() > before[place].mean() + 20
        assert 10 < diameter < 16
        assert after[-20:].mean() > before[-20:].mean() + 1, "less contrast agent behind it"


def test_a_stenosis_is_paler_the_higher_its_degree(monkeypatch):
    values = []
    for degree in (0.0, 0.2, 0.4, 0.6, 0.8):
        _, ill, _, ((x, y, _), _) = twins(4, degree, monkeypatch)
        values.append(ill[0, round(y) - 2:round(y) + 3, round(x) - 2:round(x) + 3].mean())
    assert all(np.diff(values) > 5), values


def test_views_of_a_patient_are_more_alike_than_those_of_others(small):
    images = np.stack([np.asarray(Image.open(small / row["path"])) for row in rows_of(small)]).astype(float)
    small_ones = images.reshape(len(images), 16, 8, 16, 8).mean(axis=(2, 4)).reshape(len(images), -1)
    alike = np.corrcoef(small_ones)
    np.fill_diagonal(alike, -1)
    subjects = np.array([row["subject"] for row in rows_of(small)])
    assert (subjects[alike.argmax(axis=1)] == subjects).mean() > 0.4, "a split by image would be leaky; by chance 0.03"


def test_the_degrees_follow_their_distributions_and_the_ceiling_is_bayes_rule():
    drawn = [np.array([draw_patient(0, 0, Draws(11, k, n), label=k).degree for n in range(1, 1201)]) for k in (0, 1)]
    for values, (mean, sd) in zip(drawn, DEGREE, strict=True):
        assert np.mean(values) == pytest.approx(mean, abs=0.012)            # three standard errors; none below 0
        assert np.std(values) == pytest.approx(sd, rel=0.1)
    best = ceiling()
    thresholds = np.linspace(0, 1, 401)
    reached = max((np.mean(drawn[0] < t) + np.mean(drawn[1] >= t)) / 2 for t in thresholds)
    assert best["accuracy"] == pytest.approx(reached, abs=0.015)
    assert best["auroc"] == pytest.approx(np.mean(drawn[1][:, None] > drawn[0]), abs=0.01)
    assert 0.9 < best["accuracy"] < 0.97


def test_command_line(tmp_path, call_script):
    command = [tmp_path / "set", "--kind", "vessels", "--people", 10, "--slices", 2]
    code, out, err = call_script(main, *command, "--contact_sheet", tmp_path / "sheet.png")
    assert (code, err) == (0, "")
    assert "10 patients, 2 views each" in out
    assert "accuracy 94.7%" in out
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (2 * SIDE, 2 * (14 + 3 * SIDE))
    new = tmp_path / "new"
    for wrong in (command, [new, "--kind", "hearts"], [new, "--kind", "vessels", "--fault", "leak"],
                  [new, "--kind", "vessels", "--people", 9], [new, "--kind", "vessels", "--slices", 0]):
        code, _, err = call_script(main, *wrong)
        assert (code, err.count("\n")) == (2, 1), wrong
        assert not new.exists()
