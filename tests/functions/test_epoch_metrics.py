import pytest
import torch

from functions.epoch_metrics import EpochSums
from functions.runtime.distributed import IGNORED
from functions.runtime.errors import UserError

CPU = torch.device("cpu")


def test_fillers_count_nowhere():
    """Two images and a filler, whose loss is 0, are two images; the mean loss of three was told."""
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    labels = torch.tensor([0, 0, IGNORED])
    losses = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    sums = EpochSums(CPU, "training")
    sums.add(logits, labels, losses.mean(), 0)
    scores = sums.scores(data_wait=0.5)
    assert scores.confusion.tolist() == [[1, 1], [0, 0]]
    assert scores.loss == pytest.approx(losses.sum().item() / 2)
    assert (scores.acc, scores.balanced_acc, scores.data_wait) == (0.5, 0.5, 0.5)
    assert scores.images_per_second == pytest.approx(2 / scores.seconds)


def test_the_true_class_of_a_soft_target_is_that_of_the_larger_share():
    """The padding at the end, a row of zeros, counts nowhere."""
    logits = torch.tensor([[2.0, 0.0, 1.0], [0.0, 1.0, 3.0], [0.0, 1.0, 0.0], [5.0, 0.0, 0.0]])
    soft = torch.tensor([[0.7, 0.3, 0.0], [0.4, 0.0, 0.6], [0.0, 0.2, 0.8], [0.0, 0.0, 0.0]])
    found = []
    for labels in (soft, torch.tensor([0, 2, 2, IGNORED])):
        sums = EpochSums(CPU, "training")
        sums.add(logits, labels, torch.tensor(0.75), 0)
        found.append(sums.scores())
    assert found[0].confusion.tolist() == found[1].confusion.tolist() == [[1, 0, 0], [0, 0, 0], [0, 1, 1]]
    assert found[0].loss == found[1].loss == 0.75 * 4 / 3


def test_the_first_step_whose_loss_was_not_finite_is_named():
    sums = EpochSums(CPU, "training")
    logits, labels = torch.zeros(1, 2), torch.tensor([0])
    for step, loss in enumerate((1.0, float("nan"), 2.0, float("inf"))):
        sums.add(logits, labels, torch.tensor(loss), step)
    with pytest.raises(UserError, match="step 2 of this epoch's training"):
        sums.scores()


def test_no_images_at_all():
    with pytest.raises(ValueError, match="holds no images"):
        EpochSums(CPU, "scoring").scores()


def test_a_loss_that_is_not_finite_before_any_step_is_laid_to_the_weights_that_were_read():
    for bad, loaded, expected in ((0, "w.pth", "the initial weights, w.pth, are the cause"),
                                  (0, "", "step 1 of this epoch's training: try a lower --lr"),
                                  (1, "w.pth", "step 2 of this epoch's training: try a lower --lr")):
        sums = EpochSums(CPU, "training", loaded)
        for step in range(3):
            loss = torch.tensor(float("nan") if step == bad else 1.0)
            sums.add(torch.zeros(1, 2), torch.tensor([0]), loss, step)
        with pytest.raises(UserError, match=expected):
            sums.scores()
