import numpy as np
import pytest
import torch
from torch import nn

from functions.cross_validation.fold_training import Repeated, patient_probabilities, train_network
from functions.training.optimisation import make_optimizer

CPU = torch.device("cpu")


class Epochs:
    """Three batches of 4, 4 and 2 images; counts its epochs."""

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        self.x, self.count = torch.randn(10, 3, generator=generator), 0
        self.y = (self.x[:, 0] > 0).long()

    def __len__(self):
        return 3

    def __iter__(self):
        self.count += 1
        return iter(list(zip(self.x.split(4), self.y.split(4), strict=True)))


@pytest.mark.parametrize(("steps", "images", "epochs"), [(1, 4, 1), (3, 10, 1), (5, 18, 2), (9, 30, 3)])
def test_steps_do_not_depend_on_the_number_of_batches(steps, images, epochs):
    batches = Epochs()
    repeated = Repeated(batches, steps)
    assert len(repeated) == steps
    assert [len(labels) for _, labels in repeated] == ([4, 4, 2] * 3)[:steps]
    model, trained = nn.Linear(3, 2), Epochs()
    assert train_network(model, trained, steps, torch.ones(2), CPU, lr=0.1, weight_decay=0.0) == images
    assert trained.count == batches.count == epochs


def test_training_learns_with_class_weights_and_rates():
    torch.manual_seed(0)
    model, batches = nn.Linear(3, 2), Epochs()
    train_network(model, batches, 200, torch.ones(2), CPU, lr=0.3, weight_decay=0.0)
    assert (model(batches.x).argmax(dim=1) == batches.y).all()
    frozen = nn.Linear(3, 2)
    before = frozen.weight.detach().clone()
    train_network(frozen, batches, 5, torch.ones(2), CPU, lr=0.1, weight_decay=0.0, rates={"weight": 0.0, "bias": 1.0})
    assert (frozen.weight == before).all()
    one_sided = nn.Linear(3, 2)
    train_network(one_sided, batches, 60, torch.tensor([1.0, 0.0]), CPU, lr=0.1, weight_decay=0.0)
    assert (one_sided(batches.x).argmax(dim=1) == 0).all()


def test_the_last_step_has_almost_no_learning_rate_left(monkeypatch):
    from functions.cross_validation import fold_training

    rates = []

    def record(*arguments, **options):
        optimizer = make_optimizer(*arguments, **options)
        optimizer.register_step_post_hook(lambda *_: rates.append(optimizer.param_groups[0]["lr"]))
        return optimizer

    monkeypatch.setattr(fold_training, "make_optimizer", record)
    train_network(nn.Linear(3, 2), Epochs(), 20, torch.ones(2), CPU, lr=0.1, weight_decay=0.0)
    assert rates[:2] == pytest.approx([0.05, 0.1])              # warm-up over a tenth of 20 steps
    assert rates[-1] < 0.001


def test_a_patient_has_the_mean_of_its_slices():
    model, batches = nn.Linear(3, 2), Epochs()
    subjects = np.array(list("aabbbccdde"))
    labels = np.zeros(10, int)
    ids, found = patient_probabilities(model, batches, labels, subjects, CPU)
    assert ids.tolist() == list("abcde")
    slices = model(batches.x).softmax(dim=1).detach().double().numpy()
    assert found[1] == pytest.approx(slices[2:5].mean(axis=0))
