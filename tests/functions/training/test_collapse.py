import math

import pytest
import torch

from functions.training.collapse import collapse_warning, share_entropy

CLASSES = ["MildDemented", "NonDemented", "VeryMildDemented"]
SAFE = {"lr": 3e-4, "warmup_share": 0.1, "clip_norm": 1.0, "class_weights": "none", "soft_targets": False,
        "warming_up": False}
ALL_NON = torch.tensor([[0, 14, 0], [0, 50, 0], [0, 36, 0]])
EQUAL = torch.tensor([[10, 5, 5], [5, 10, 5], [5, 5, 10]])
FITTED = torch.tensor([[13, 1, 0], [1, 48, 1], [1, 1, 34]])
VARIED = torch.tensor([[4, 8, 2], [2, 40, 8], [3, 20, 13]])


def test_entropy_is_the_loss_of_knowing_only_the_shares():
    p = [0.14, 0.50, 0.36]
    assert share_entropy(ALL_NON) == pytest.approx(-sum(q * math.log(q) for q in p))


def test_varied_predictions_raise_no_warning():
    assert collapse_warning(VARIED, VARIED, 0.9, CLASSES, **SAFE) is None


def test_nine_predictions_in_ten_of_one_class_are_not_yet_a_collapse():
    mostly = torch.tensor([[2, 12, 0], [1, 46, 3], [1, 32, 3]])
    assert collapse_warning(VARIED, mostly, 0.9, CLASSES, **SAFE) is None


def test_one_class_that_is_all_there_is_raises_no_warning():
    only = torch.tensor([[0, 0, 0], [0, 50, 0], [0, 0, 0]])
    assert collapse_warning(VARIED, only, 0.9, CLASSES, **SAFE) is None


@pytest.mark.parametrize(
    ("train", "loss", "changes", "cause"),
    [
        (ALL_NON, 0.99, {"lr": 1e-3, "warmup_share": 0, "clip_norm": 0}, "rate 0.001 without warm-up and clipping"),
        (ALL_NON, 0.99, {"lr": 1e-3, "clip_norm": 0}, "rate 0.001 without clipping"),
        (ALL_NON, 0.99, {}, "nothing learned from the images yet"),
        (VARIED, 0.99, {}, "close to the entropy of the class shares"),
        (ALL_NON, 2.0, {"class_weights": "balanced"}, "one class is predicted for 100% of the training slices too"),
        (VARIED, 2.0, {"class_weights": "sqrt"}, "--class_weights balanced"),
        (VARIED, 2.0, {"soft_targets": True}, "--class_weights balanced"),
        (VARIED, 0.70, {}, "--class_weights balanced"),
        (VARIED, 0.70, {"class_weights": "balanced"}, "Training balanced accuracy is 48%. Try more epochs"),
        (EQUAL, 0.70, {}, "Training balanced accuracy is 50%. Try more epochs"),
        (FITTED, 0.20, {}, "overfitting to the training patients (training balanced accuracy 94%)"),
    ],
)
def test_a_collapse_on_validation_is_reported_with_its_likely_cause(train, loss, changes, cause):
    warning = collapse_warning(train, ALL_NON, loss, CLASSES, **SAFE | changes)
    assert "predicts NonDemented for 100% of validation slices (true share 50%)" in warning
    assert cause in warning
    assert "\n" not in warning


def test_a_collapse_during_warm_up_is_expected():
    assert collapse_warning(ALL_NON, ALL_NON, 0.99, CLASSES, **SAFE | {"warming_up": True}) is None
