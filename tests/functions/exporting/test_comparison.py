import pytest
import torch
from torch import nn

from functions.exporting.comparison import BATCHES, TOLERANCE, largest_difference, pytorch_logits, repeated

EXPECTED = torch.randn(33, 5, generator=torch.Generator().manual_seed(0))
IMAGES = torch.arange(33.0)


def run(images, change=0.0):
    return EXPECTED[images.long()] + change


def test_every_batch_is_compared_and_the_largest_difference_returned():
    seen = []

    def counted(images):
        seen.append(len(images))
        return run(images, 2e-5 if len(images) == 3 else 1e-6)

    expected = 2e-5 / EXPECTED.abs().max().item()
    assert largest_difference("x", counted, IMAGES, EXPECTED) == pytest.approx(expected, rel=0.05)
    assert tuple(seen) == BATCHES
    assert 2 not in BATCHES, "the batch that was traced proves nothing about others"


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("change", [3 * TOLERANCE * 4, float("nan"), float("inf")])
def test_other_logits_at_any_batch_are_an_error(batch, change):
    def changed(images):
        return run(images, change) if len(images) == batch else run(images)

    with pytest.raises(RuntimeError, match=f"x: logits of {batch} images differ from PyTorch's by .*: no file is kept"):
        largest_difference("x", changed, IMAGES, EXPECTED)


def test_logits_of_another_shape_are_an_error():
    with pytest.raises(RuntimeError, match=r"logits of 1 images are \(1, 1\), not \(1, 5\)"):
        largest_difference("x", lambda images: run(images)[:, :1], IMAGES, EXPECTED)


def test_large_logits_may_differ_in_proportion_to_the_largest():
    assert largest_difference("x", lambda i: run(i) * 1e3 + 0.05, IMAGES, EXPECTED * 1e3) < TOLERANCE
    with pytest.raises(RuntimeError):
        largest_difference("x", lambda i: run(i) * 1e-3 + 2e-4, IMAGES, EXPECTED * 1e-3)


def test_few_images_are_begun_again():
    images = torch.arange(5.0).view(5, 1, 1, 1)
    assert repeated(images, 12).flatten().tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]
    assert len(repeated(images, 3)) == 3


def test_pytorchs_logits_are_those_of_eval_mode():
    net = nn.Sequential(nn.Flatten(), nn.Dropout(0.5)).train()
    images = torch.ones(4, 1, 3, 3)
    assert torch.equal(pytorch_logits(net, images), torch.ones(4, 9))
