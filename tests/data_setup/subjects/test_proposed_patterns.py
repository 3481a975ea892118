import re
import shlex

import numpy as np
import pytest
import torch

from data_setup.subjects.find import find_subjects
from data_setup.subjects.proposed_patterns import agreement, propose_patterns, subject_advice

FORMS = ["{n:03d}_{z:02d}.png", "img_p{n}_s{z}.png", "z{z:02d}_p{n:03d}.png", "{c}{n:02d}-{z}.png", "{n:03d}/{z}.png",
         "{n:03d}/scan/{z}.png", "{c}-x.y+{n}-{z}.png"]


def layout(form, patients=12, slices=5):
    """(paths, classes, patients) of a set with two classes; the numbers go on from class to class."""
    rows = [(f"/d/train/{name}/" + form.format(n=n, z=z, c=name), name, n)
            for name, first in (("AD", 1), ("CN", 1 + patients // 2)) for n in range(first, first + patients // 2)
            for z in range(slices)]
    return [list(column) for column in zip(*rows, strict=True)]


def pictures(patients, noise=10):
    """A picture a slice, (n, 1, 8, 8): each patient's are alike."""
    generator = np.random.default_rng(0)
    base = {one: generator.normal(128, 40, (8, 8)) for one in sorted(set(patients))}
    return torch.from_numpy(np.stack([base[one] + generator.normal(0, noise, (8, 8)) for one in patients])[:, None])


def same_groups(ours, truth):
    return len(set(ours)) == len(set(truth)) == len(set(zip(ours, truth, strict=True)))


@pytest.mark.parametrize("form", FORMS)
def test_the_advised_pattern_is_the_one_that_the_pixels_confirm(form):
    paths, classes, patients = layout(form)
    advice = subject_advice(paths, classes, pictures(patients), auto=True)
    assert "--subjects FILE.csv" in advice
    assert "--subjects auto" in advice
    assert "12 patients" in advice
    assert "beyond chance" in advice
    pattern = shlex.split(re.search(r"--subject_pattern ('.*?') finds", advice)[1])[0]
    assert same_groups(find_subjects(paths, pattern=pattern), patients)


def test_numbers_that_start_anew_in_each_class_get_the_class_into_the_id():
    paths = [f"/d/{name}/{n:03d}_{z}.png" for name in ("AD", "CN") for n in range(6) for z in range(5)]
    classes = [path.split("/")[2] for path in paths]
    patients = [(name, path.split("/")[3][:3]) for name, path in zip(classes, paths, strict=True)]
    best = propose_patterns(paths, classes)[0]
    assert best.subjects[0] == "AD/000"
    assert same_groups(find_subjects(paths, pattern=best.pattern), patients)


def test_names_and_pixels_that_say_nothing_give_no_pattern():
    generator = np.random.default_rng(1)
    for paths in ([f"/d/{'AB'[i % 2]}/{i}.png" for i in range(60)],
                  [f"/d/{'AB'[i % 2]}/x{i * 7 % 60}_{i * 11 % 60}.png" for i in range(60)], ["/d/A/1.png"]):
        classes = [path.split("/")[2] for path in paths]
        assert propose_patterns(paths, classes) == []
        assert subject_advice(paths, classes) == "give --subjects FILE.csv or --subject_pattern REGEX"
    paths, classes, _ = layout(FORMS[0])
    noise = torch.from_numpy(generator.normal(128, 40, (len(paths), 1, 8, 8)))
    assert "finds" not in subject_advice(paths, classes, noise)
    assert "if the file names mean this" in subject_advice(paths, classes)


def test_agreement_is_one_where_the_nearest_is_the_same_patients_and_zero_by_chance():
    patients = [n for n in range(10) for _ in range(4)]
    images = pictures(patients)
    assert agreement(images, [str(n) for n in patients]) == pytest.approx(1)
    assert abs(agreement(images, [str(i % 5) for i in range(40)])) < 0.3
    assert agreement(images, ["one"] * 40) == 0
    assert agreement(images, [None] * 40) == 0
