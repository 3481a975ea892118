import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from data_setup.similarity.copies import COPY, find_copies
from tests.phantoms import make_phantom


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """25 generated people with 8 slices each, nobody twice."""
    out = tmp_path_factory.mktemp("phantom") / "p"
    make_phantom(out, people=25, slices=8, seed=0)
    table = pd.read_csv(out / "manifest.csv")
    return [np.asarray(Image.open(out / path)) for path in table["path"]]


def test_nobody_is_a_copy_in_a_clean_set(pictures):
    assert find_copies(pictures) == []


def test_equal_pixels_are_exact_copies_each_paired_with_the_first(pictures):
    found = find_copies([*pictures, pictures[3].copy(), pictures[3].copy(), pictures[9].copy()])
    n = len(pictures)
    assert [(copy.first, copy.second, copy.kind) for copy in found] == [
        (3, n, "exact"), (3, n + 1, "exact"), (9, n + 2, "exact")]


def jpeg(picture):
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=85)
    return np.asarray(Image.open(file))


CHANGES = {
    "mirrored": lambda p: p[:, ::-1],
    "brighter": lambda p: np.clip(p * 1.12, 0, 255).astype(np.uint8),
    "shifted": lambda p: np.roll(p, (1, -1), axis=(0, 1)),
    "compressed": jpeg,
    "larger": lambda p: np.asarray(Image.fromarray(p).resize((160, 192), Image.Resampling.BICUBIC)),
    "turned by 2°": lambda p: np.asarray(Image.fromarray(p).rotate(2, Image.Resampling.BICUBIC)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_copies_are_found_and_nobody_else(pictures, change):
    """Of eight slices of eight people nearly all are found, whatever was done, and no pair that is none."""
    chosen = list(range(3, 64, 8))
    found = find_copies([*pictures, *(CHANGES[change](pictures[row]) for row in chosen)])
    true = {(row, len(pictures) + k) for k, row in enumerate(chosen)}
    assert {(copy.first, copy.second) for copy in found} <= true
    assert len(found) >= 7
    assert all(copy.kind == "near" and copy.distance < COPY for copy in found)


def test_planted_duplicates_are_noticed(tmp_path):
    make_phantom(tmp_path / "p", people=30, slices=8, seed=0, faults=("duplicates",))
    table = pd.read_csv(tmp_path / "p" / "manifest.csv")
    paths = table["path"].tolist()
    faults = table["fault"].astype(object).fillna("")
    true = {tuple(sorted((i, paths.index(fault.removeprefix("duplicate of ")))))
            for i, fault in enumerate(faults) if fault.startswith("duplicate of ")}
    found = find_copies([np.asarray(Image.open(tmp_path / "p" / path)) for path in paths])
    assert {(copy.first, copy.second) for copy in found} <= true
    assert len(found) > 0.9 * len(true)


def test_neighbours_in_a_dense_stack_are_no_copies_and_copies_are_found_beside_them(tmp_path):
    make_phantom(tmp_path / "p", people=12, slices=24, seed=0)
    pictures = [np.asarray(Image.open(path)) for path in sorted((tmp_path / "p").rglob("*.png"))]
    chosen = range(5, 280, 30)
    turned = [np.asarray(Image.fromarray(pictures[row]).rotate(3, Image.Resampling.BILINEAR)) for row in chosen]
    found = {(copy.first, copy.second) for copy in find_copies([*pictures, *turned])}
    true = {(row, len(pictures) + k) for k, row in enumerate(chosen)}
    assert found <= true
    assert len(found) >= 0.8 * len(true)


def test_empty_and_few_pictures_do_no_harm():
    black = np.zeros((20, 20), np.uint8)
    assert find_copies([]) == []
    assert [copy.kind for copy in find_copies([black, black])] == ["exact"]
    assert all(copy.kind == "exact" for copy in find_copies([black] * 30))
