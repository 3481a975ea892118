import pytest
import torch

from functions.distributed import IGNORED
from functions.errors import UserError
from functions.sums import Sums

CPU = torch.device("cpu")


def test_fillers_count_nowhere():
    """Two images and a filler, whose loss is 0, are two images; the mean loss of three was told."""
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    labels = torch.tensor([0, 0, IGNORED])
    losses = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    sums = Sums(CPU, "training")
    sums.add(logits, labels, losses.mean(), 0)
    scores = sums.scores(waited=0.5)
    assert scores.confusion.tolist() == [[1, 1], [0, 0]]
    assert scores.loss == pytest.approx(losses.sum().item() / 2)
    assert (scores.acc, scores.balanced_acc, scores.waited) == (0.5, 0.5, 0.5)
    assert scores.images_per_second == pytest.approx(2 / scores.seconds)


def test_the_first_step_whose_loss_was_not_finite_is_named():
    sums = Sums(CPU, "training")
    logits, labels = torch.zeros(1, 2), torch.tensor([0])
    for step, loss in enumerate((1.0, float("nan"), 2.0, float("inf"))):
        sums.add(logits, labels, torch.tensor(loss), step)
    with pytest.raises(UserError, match="step 2 of this epoch's training"):
        sums.scores()


def test_no_images_at_all():
    with pytest.raises(ValueError, match="holds no images"):
        Sums(CPU, "scoring").scores()
