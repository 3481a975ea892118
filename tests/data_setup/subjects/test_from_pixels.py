from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import completeness_score, homogeneity_score

from data_setup.similarity.neighbours import Neighbours, nearest
from data_setup.subjects.from_pixels import ALPHA, MIN_SLICES, group_by_pixels
from tests.phantoms import make_phantom

REAL = Path(__file__).resolve().parents[4] / "shared/data/alzheimer_mri_4class"


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    """60 generated people with 12 slices each: (pictures, whose they are)."""
    out = tmp_path_factory.mktemp("phantom") / "p"
    make_phantom(out, people=60, slices=12, seed=1)
    table = pd.read_csv(out / "manifest.csv")
    pictures = np.stack([np.asarray(Image.open(out / path)) for path in table["path"]])
    return pictures, pd.factorize(table["subject"])[0]


def scores(groups, people):
    """(purity, completeness): a slice that cannot be told is a group of its own."""
    labels = np.where(groups < 0, groups.max() + 1 + np.arange(len(groups)), groups)
    return homogeneity_score(people, labels), completeness_score(people, labels)


@pytest.mark.parametrize("change", ["none", "flipped", "relit", "turned"])
def test_slices_of_one_scan_are_put_together_whatever_was_done_to_copies(phantom, change):
    pictures, people = phantom
    generator = np.random.default_rng(0)
    if change == "flipped":
        mirrored = generator.random(len(pictures)) < 0.5
        pictures = np.where(mirrored[:, None, None], pictures[:, :, ::-1], pictures)
    elif change == "relit":
        gain = generator.uniform(0.7, 1.3, len(pictures))[:, None, None]
        pictures = np.clip(pictures * gain + generator.uniform(0, 25, gain.shape), 0, 255).astype(np.uint8)
    elif change == "turned":
        pictures = [np.asarray(Image.fromarray(p).rotate(angle, Image.Resampling.BILINEAR))
                    for p, angle in zip(pictures, generator.uniform(-10, 10, len(pictures)), strict=True)]
    found = group_by_pixels(list(pictures))
    purity, completeness = scores(found.groups, people)
    assert purity > 0.995
    assert completeness > 0.7
    assert found.false_link_rate < 0.1
    assert "patients found from pixels" in found.verdict


def test_the_order_of_files_does_not_matter(phantom):
    pictures, people = phantom
    order = np.random.default_rng(1).permutation(len(pictures))
    first, second = group_by_pixels(list(pictures)).groups, group_by_pixels(list(pictures[order])).groups
    together = first[:, None] == first[None]
    again = second[:, None] == second[None]
    assert (together[np.ix_(order, order)] == again)[np.ix_(second >= 0, second >= 0)].mean() > 0.9999


def test_one_slice_a_person_cannot_be_told(phantom):
    """Everybody's tenth slice: the most alike are strangers, and nothing may be linked."""
    pictures, people = phantom
    found = group_by_pixels([pictures[np.flatnonzero(people == k)[10]] for k in range(60)])
    assert (found.groups == -1).all()
    assert found.verdict.startswith("undetermined")


def test_noise_cannot_be_told():
    generator = np.random.default_rng(0)
    y, x = np.mgrid[:60, :50]
    inside = ((y - 30) / 26) ** 2 + ((x - 25) / 20) ** 2 < 1
    found = group_by_pixels([(inside * generator.integers(60, 200, (60, 50))).astype(np.uint8) for _ in range(300)])
    assert (found.groups == -1).mean() > 0.97
    assert found.links <= 4


@pytest.mark.parametrize("seed", range(2))
def test_the_stated_share_of_false_links_is_no_promise_too_much(tmp_path, seed):
    make_phantom(tmp_path / "p", people=30, slices=12, seed=seed)
    table = pd.read_csv(tmp_path / "p" / "manifest.csv")
    people = pd.factorize(table["subject"])[0]
    found = group_by_pixels([np.asarray(Image.open(tmp_path / "p" / path)) for path in table["path"]])
    mixed = sum(len(set(people[found.groups == k])) - 1 for k in range(found.groups.max() + 1))
    assert mixed <= max(1, 2 * found.false_link_rate * found.links)


def test_too_few_slices_and_empty_pictures_do_no_harm():
    assert (group_by_pixels([np.zeros((20, 20), np.uint8)] * (MIN_SLICES - 1)).groups == -1).all()
    assert (group_by_pixels([np.zeros((20, 20), np.uint8)] * 60).groups == -1).all()


@pytest.mark.skipif(not REAL.is_dir(), reason="the real slices are not here")
def test_patients_of_the_real_set_are_found():
    table = pd.read_csv(REAL / "subjects.csv")
    table = table[table["subject"].isin(table["subject"].unique()[::4])]
    pictures = [np.asarray(Image.open(REAL / path).convert("L")) for path in table["path"]]
    found = group_by_pixels(pictures)
    assert scores(found.groups, pd.factorize(table["subject"])[0]) == (pytest.approx(1), pytest.approx(1))
    assert found.groups.max() + 1 == 40
    assert found.false_link_rate < ALPHA


def made_up(people, size):
    """(neighbours, people) of stacks whose slices share a direction, and of eight slices that lie between two people.

    Those eight, the last, are nobody's (-1); the first is as near to person 0 as to person 1, and so on.
    """
    generator, d = np.random.default_rng(0), 300
    own = generator.normal(size=(people, d))
    x = np.concatenate([np.repeat(own, size, axis=0), [own[2 * k] + own[2 * k + 1] for k in range(8)]])
    x += 0.3 * generator.normal(size=x.shape)
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    places, _ = nearest(x, np.zeros_like(x), 60)
    return (Neighbours(x, np.zeros_like(x), places, np.zeros(places.shape, bool)),
            np.r_[np.repeat(np.arange(people), size), [-1] * 8])


def test_a_slice_between_two_people_does_not_join_them():
    """It is near to both, but their own slices are nearer to each other: a link needs both sides."""
    neighbours, people = made_up(140, 6)
    groups = group_by_pixels([None] * len(people), neighbours).groups
    for person in range(140):
        assert len(set(groups[people == person])) == 1
    assert len(set(groups[people >= 0])) == 140


def test_a_slice_that_is_as_near_to_sixteen_strangers_is_nobodys():
    """Seen from the stack it stands out; seen from itself many are as near: the worse side counts."""
    neighbours, people = made_up(30, 8)
    groups = group_by_pixels([None] * len(people), neighbours).groups
    assert len(set(groups[people >= 0])) == 30
    assert (groups[people < 0] == -1).all()
