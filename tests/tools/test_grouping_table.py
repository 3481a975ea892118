import numpy as np
import pytest

from tools import grouping_table
from tools.grouping_table import copies, plain


@pytest.fixture
def stacks():
    """(pictures, people): 12 people with 3 slices that resemble each other."""
    generator = np.random.default_rng(0)
    own = generator.integers(40, 200, (12, 52, 44))
    noise = generator.normal(0, 8, (12, 3, 52, 44))
    pictures = np.clip(own[:, None] + noise, 0, 255).astype(np.uint8).reshape(36, 52, 44)
    return list(pictures), np.repeat(np.arange(12), 3)


def same_groups(labels, people):
    return ((labels[:, None] == labels) == (people[:, None] == people)).all()


def test_the_plain_method_joins_the_slices_of_a_person(stacks):
    pictures, people = stacks
    assert same_groups(plain(pictures), people)


def test_the_plain_method_sees_no_brightness_and_no_contrast(stacks):
    pictures, people = stacks
    generator = np.random.default_rng(1)
    relit = [(picture * generator.uniform(0.3, 0.6) + generator.uniform(0, 90)).astype(np.uint8)
             for picture in pictures]
    assert same_groups(plain(relit), people)


def test_copies_are_what_their_names_say(stacks):
    pictures, _ = stacks
    made = copies(pictures, np.random.default_rng(0))
    assert (made["nothing else"][1][5] == pictures[5]).all()
    pairs = list(zip(made["half of them mirrored"][1], pictures, strict=True))
    mirrored = [(found == picture[:, ::-1]).all() for found, picture in pairs]
    assert 9 < sum(mirrored) < 27
    assert all((found == picture).all() for (found, picture), turned in zip(pairs, mirrored, strict=True) if not turned)
    assert {found.shape for found in made["128x128 JPEG 60"][1]} == {(128, 128)}
    for name, count in (("a random half", 18), ("a random quarter", 9)):
        rows = made[name][0]
        assert len(set(rows)) == count
        assert (np.diff(rows) > 0).all()
    assert [made[name][1] for name in ("every second slice", "every third slice")] == [None, None]


def test_the_plain_method_links_only_those_who_are_each_others_nearest(stacks):
    """A picture between two people is near to both; their own slices are nearer to each other."""
    pictures, people = stacks
    between = ((pictures[0].astype(int) + pictures[3]) / 2).astype(np.uint8)
    labels = plain([*pictures, between])
    assert same_groups(labels[:-1], people)
    assert labels[-1] not in labels[:-1]


@pytest.mark.parametrize(("slices", "words"), [([0], "name more slices"), ([1] * 40, "name more slices"),
                                               (["9" * 30], "not an integer below"), (["²"], "not an integer")])
def test_too_few_slices_and_odd_numbers_are_one_line(call_script, tmp_path, slices, words):
    rows = [f"{number}.png,p{number},{level}" for number, level in enumerate(slices)]
    (tmp_path / "t.csv").write_text("path,subject,slice\n" + "\n".join(rows) + "\n", encoding="utf-8")
    code, _, err = call_script(grouping_table.main, tmp_path, tmp_path / "t.csv")
    assert (code, err.count("\n")) == (2, 1)
    assert words in err
