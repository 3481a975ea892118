import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from data_setup.loading.batches import Batches
from data_setup.loading.distributed_batches import IGNORED
from data_setup.loading.mixing import Mixing, make_mixing
from tests.functions.several import Pictures

CPU = torch.device("cpu")
LABELS = torch.tensor([0, 3, 1, 4, 2])         # all different, so that each target shows λ


def mixed(mixup, cutmix, seed=0, count=5):
    """(images, mixed images, targets, λ) of five images of 9x7 pixels, and labels of which the first `count` count."""
    generator = torch.Generator().manual_seed(9)
    images = torch.rand(5, 2, 9, 7, generator=generator)
    labels = torch.where(torch.arange(5) < count, LABELS, IGNORED)
    torch.manual_seed(seed)
    out, targets = Mixing(mixup, cutmix, 5)(images, labels, count)
    return images, out, targets, targets[torch.arange(count), LABELS[:count]]


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.4, 0), (0, 1), (0.4, 1)])
def test_each_target_is_of_the_image_and_of_the_one_before_it_in_shares_that_sum_to_one(mixup, cutmix):
    for seed in range(20):
        _, _, targets, shares = mixed(mixup, cutmix, seed)
        own, other = F.one_hot(LABELS, 5), F.one_hot(LABELS.roll(1), 5)
        torch.testing.assert_close(targets, shares[:, None] * own + (1 - shares[:, None]) * other)
        torch.testing.assert_close(targets.sum(dim=1), torch.ones(5))
        assert len(shares.unique()) == 1, "one λ per batch"


def test_mixup_blends_pixels_in_the_shares_of_the_targets():
    for seed in range(20):
        images, out, _, shares = mixed(0.4, 0, seed)
        torch.testing.assert_close(out, shares[0] * images + (1 - shares[0]) * images.roll(1, 0))


def test_cutmix_pastes_a_box_of_the_area_that_the_targets_say():
    areas = []
    for seed in range(20):
        images, out, _, shares = mixed(0, 1, seed)
        pasted = (out != images).all(dim=1)                                    # (B, H, W)
        assert torch.equal(out, torch.where(pasted[:, None], images.roll(1, 0), images))
        assert all(torch.equal(pasted[0], one) for one in pasted)
        rows, columns = pasted[0].any(dim=1).sum(), pasted[0].any(dim=0).sum()
        assert pasted[0].sum() == rows * columns, "a rectangle"
        assert pasted[0].double().mean().item() == pytest.approx(1 - shares[0].item(), abs=1e-6)
        areas.append(pasted[0].sum().item())
    assert len(set(areas)) > 5


def test_with_both_each_batch_is_one_or_the_other():
    kinds = set()
    for seed in range(20):
        images, out, _, _ = mixed(1, 1, seed)
        kinds.add(bool(((out == images) | (out == images.roll(1, 0))).all()))
    assert kinds == {True, False}


@pytest.mark.parametrize("alpha", [0.01, 1, 100])
def test_shares_have_the_mean_and_variance_of_their_beta_distribution(alpha):
    """Also at both ends of what the setting accepts."""
    torch.manual_seed(0)
    mixing, labels = Mixing(alpha, 0, 2), torch.tensor([0, 1])
    shares = torch.stack([mixing(torch.zeros(2, 1, 1, 1), labels, 2)[1][0, 0] for _ in range(400)])
    assert shares.mean().item() == pytest.approx(0.5, abs=4 * (1 / (4 * (2 * alpha + 1)) / 400) ** 0.5)
    assert shares.var().item() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.25)


@pytest.mark.parametrize("count", [0, 1, 4])
def test_padding_is_not_mixed_and_its_targets_are_zeros(count):
    for seed in range(5):
        images, out, targets, _ = mixed(0.4, 1, seed, count)
        assert torch.equal(out[count:], images[count:])
        assert not targets[count:].any()
        torch.testing.assert_close(targets[:count].sum(dim=1), torch.ones(count))
        assert not targets[:count, 2].any(), "the class of the padding image"


def test_all_random_numbers_are_of_torchs_global_generator():
    """Its state is in a checkpoint, so a resumed run draws the same."""
    states = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    first, second = mixed(0.4, 1, seed=3), mixed(0.4, 1, seed=3)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states  # noqa: NPY002


def test_training_batches_are_mixed_after_their_transform_and_others_never():
    """Eleven images in batches of four, in the order and with the images of unmixed batches."""
    double = nn.ReLU()
    torch.manual_seed(0)
    plain = list(Batches(Pictures(11), 4, True, double, CPU))
    torch.manual_seed(0)
    batches = Batches(Pictures(11), 4, True, double, CPU, mixing=make_mixing(0.4, 0, 3))
    for (images, labels), (before, classes) in zip(batches, plain, strict=True):
        assert labels.shape == (len(classes), 3)
        [share] = {round(((out - other) / (one - other)).item(), 3) for out, one, other in zip(
            images.flatten(), before.flatten(), before.roll(1, 0).flatten(), strict=True) if (one - other).abs() > 0.5}
        assert 0 <= share <= 1
    assert batches.in_order([0, 1], 2).mixing is None
    assert make_mixing(0, 0, 3) is None
