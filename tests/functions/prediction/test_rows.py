import numpy as np
import pytest
import torch

from functions.prediction.reference import Reference
from functions.prediction.rows import Found, GroupMeans, ImageRow, image_rows, outside_training

CLASSES = ["AD", "CN"]


def test_rows_follow_the_paths_and_errors_stand_in_their_places():
    torch.manual_seed(0)
    reference = Reference(torch.randn(40, 3), torch.randn(20, 3), ["p"] * 40, ["AD"] * 40, torch.full((20, 2), 0.5),
                          [0] * 20, True, "", 1)
    found = Found(torch.tensor([[0.25, 0.75], [1.0, 0.0], [torch.nan, torch.nan]]),
                  torch.stack([torch.zeros(3), torch.full((3,), 50.0), torch.zeros(3)]), [False, True, False],
                  ["no", "patient", "no"], None)
    first, bad, second, third = image_rows(["a", "b", "c", "d"], ["s1", None, float("nan"), "s1"], {1: "damaged"},
                                           found, reference)
    assert first.entries(CLASSES) == {
        "path": "a", "subject": "s1", "prediction": "CN", "AD": 0.25, "CN": 0.75, "seen_in_training": "no",
        "out_of_distribution": "no", "novelty": first.entries(CLASSES)["novelty"], "attention": "", "error": ""}
    assert bad.entries(CLASSES) | {"path": "b"} == bad.entries(CLASSES)
    assert (bad.error, bad.probabilities) == ("damaged", None)
    assert (second.subject, second.seen, second.outside) == (None, "patient", "colour")
    assert second.novelty > 1
    assert third.error == "the network's output is not finite"


def test_without_a_reference_or_any_readable_image():
    [row] = image_rows(["a"], [None], {0: "empty file"}, None, None)
    assert row.error == "empty file"
    found = Found(torch.tensor([[1.0, 0.0]]), torch.zeros(1, 3), [True], ["no"], ["maps/1.png"])
    [row] = image_rows(["a"], [None], {}, found, None)
    assert (row.outside, row.novelty, row.attention) == ("", None, "maps/1.png")


@pytest.mark.parametrize(("ratio", "coloured", "gray", "expected"), [
    (0.9, False, True, "no"), (1.1, False, True, "features"), (0.9, True, True, "colour"), (0.9, True, False, "no"),
    (None, False, True, ""), (None, True, True, "colour"), (None, True, None, "")])
def test_the_reason_why_an_image_is_out_of_distribution(ratio, coloured, gray, expected):
    assert outside_training(ratio, coloured, gray) == expected


def test_a_class_named_as_a_column_keeps_both():
    entries = ImageRow("a", None, np.array([0.5, 0.5])).entries(["error", "novelty"])
    assert (entries["class error"], entries["error"]) == (0.5, "")
    assert (entries["class novelty"], entries["novelty"]) == (0.5, None)


def test_the_mean_over_a_patients_images():
    means = GroupMeans("subject")
    for subject, p, seen, outside in (("s2", 0.2, "no", "no"), ("s1", 0.5, "no", ""), ("s2", 0.6, "pixels", "no"),
                                      (None, 0.9, "no", "no")):
        means.add(ImageRow("x", subject, np.array([p, 1 - p]), seen, outside))
    means.add(ImageRow("x", "s3", error="damaged"))
    first, second = means.entries(CLASSES)
    assert first == {"subject": "s1", "slices": 1, "prediction": "AD", "AD": 0.5, "CN": 0.5, "seen_in_training": "no",
                     "out_of_distribution": ""}
    assert second == {"subject": "s2", "slices": 2, "prediction": "CN", "AD": 0.4, "CN": 0.6,
                      "seen_in_training": "yes", "out_of_distribution": "no"}
