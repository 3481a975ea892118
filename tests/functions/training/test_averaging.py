import copy

import pytest
import torch
from torch import nn

from functions import engine
from functions.runtime.errors import UserError
from functions.training.averaging import WeightAverage
from functions.training.optimisation import CrossEntropy, make_optimizer
from tests.functions.several import CPU, small_vit

LOSS = CrossEntropy(reduction="none")


def batches(size=(1, 8, 8), classes=3, count=4):
    generator = torch.Generator().manual_seed(5)
    return [(torch.randn(6, *size, generator=generator), torch.arange(6) % classes) for _ in range(count)]


def small_net():
    """A frozen layer with its BatchNorm, and trained ones behind it."""
    torch.manual_seed(2)
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3),
                        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3))
    net[:2].requires_grad_(False)
    return net


def train(model, average, epochs=3, after_step=lambda: None, **options):
    def after():
        average.update()
        after_step()

    data = batches()
    return engine.train(model, data, data, make_optimizer(model, "sgd", lr=0.1, weight_decay=0.0), LOSS, epochs, CPU,
                        after_step=after, scoring=average.applied, **options)


@pytest.mark.parametrize("make", [small_vit, small_net])
@pytest.mark.parametrize("decay", [0.3, 0.999])
def test_the_average_is_the_recursion_over_the_weights_after_each_step(make, decay):
    """ā = Σ_i a_i (1 - d_{i-1}) Π_{j ≥ i} d_j, in double precision; running statistics too."""
    model, logged = make(), []
    average = WeightAverage(model, decay)

    def log():
        logged.append({name: value.double().clone() for name, value in model.state_dict().items()})

    log()
    train(model, average, after_step=log)
    decays = [min(decay, (1 + t) / (10 + t)) for t in range(len(logged) - 1)]
    assert (average.updates, len(decays)) == (12, 12)
    for name, value in average.averages.items():
        shares = torch.tensor([1.0, *(1 - d for d in decays)], dtype=torch.float64)
        for step, d in enumerate(decays):
            shares[:step + 1] *= d
        assert shares.sum().item() == pytest.approx(1)
        expected = sum(share * weights[name] for share, weights in zip(shares, logged, strict=True))
        torch.testing.assert_close(value.double(), expected, rtol=1e-4, atol=1e-6, msg=name)


def test_frozen_tensors_and_counts_are_not_copied():
    assert set(WeightAverage(small_net(), 0.9).averages) == {
        "2.weight", "2.bias", "3.weight", "3.bias", "3.running_mean", "3.running_var", "6.weight", "6.bias"}


def test_the_averages_are_scored_and_training_goes_on_with_the_weights():
    model, seen = small_net(), []
    average = WeightAverage(model, 0.9)

    def after_epoch(epoch, scores, history):
        averaged = copy.deepcopy(model)
        averaged.load_state_dict({**model.state_dict(), **average.averages})
        expected = engine.test_step(averaged, batches(), LOSS, CPU)
        assert torch.equal(scores["test"].probabilities, expected.probabilities)
        own = engine.test_step(model, batches(), LOSS, CPU)
        assert (scores["test"].probabilities - own.probabilities).abs().max() > 1e-4
        seen.append(epoch)

    train(model, average, after_epoch=after_epoch)
    alone, nothing = small_net(), WeightAverage(small_net(), 0.9)
    train(alone, nothing)
    assert seen == [1, 2, 3]
    assert all(torch.equal(value, alone.state_dict()[name]) for name, value in model.state_dict().items())


def test_a_context_that_ends_in_an_error_gives_the_weights_back():
    model = small_net()
    average = WeightAverage(model, 0.9)
    train(model, average, epochs=1)
    before = copy.deepcopy([model.state_dict(), average.averages])

    def score():
        with average.applied():
            assert torch.equal(model[6].weight, before[1]["6.weight"])
            raise UserError("the loss is not finite")

    with pytest.raises(UserError):
        score()
    for own, other in zip((model.state_dict(), average.averages), before, strict=True):
        assert all(torch.equal(value, other[name]) for name, value in own.items())


def test_a_constant_weight_is_its_own_average():
    model = small_vit()
    average = WeightAverage(model, 0.99)
    for _ in range(30):
        average.update()
    for name, value in average.averages.items():
        torch.testing.assert_close(value, model.state_dict()[name])


def test_a_checkpoint_holds_the_averages_as_its_weights_and_gives_both_back():
    model = small_net()
    average = WeightAverage(model, 0.9)
    train(model, average)
    saved = copy.deepcopy(average.add_to({"weights": model.state_dict(), "epoch": 3}))
    assert saved["epoch"] == 3
    assert saved["weights"].keys() == model.state_dict().keys()
    for name, value in saved["weights"].items():
        assert torch.equal(value, average.averages.get(name, model.state_dict()[name])), name
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in saved["unaveraged"]["weights"].items())

    again = small_net()
    again.load_state_dict(saved["weights"] | saved["unaveraged"]["weights"])
    later = WeightAverage(again, 0.9)
    later.restore(saved)
    for network, kept in ((model, average), (again, later)):
        train(network, kept)
    assert later.updates == average.updates == 24
    assert all(torch.equal(value, later.averages[name]) for name, value in average.averages.items())


@pytest.mark.parametrize(("change", "complaint"), [
    ({"unaveraged": {}}, r"no averages"),
    ({"unaveraged": {"weights": {}, "updates": 3}}, r"unaveraged\.weights\.2\.bias is missing"),
    ({"unaveraged": {"weights": {"6.bias": torch.zeros(4)}, "updates": 3}}, r"unaveraged\.weights\.2\.bias is missing"),
])
def test_averages_of_other_weights_are_refused(change, complaint):
    model = small_net()
    average = WeightAverage(model, 0.9)
    with pytest.raises(UserError, match=complaint):
        average.restore(average.add_to({"weights": model.state_dict()}) | change)


def test_an_average_waits_for_no_gpu(monkeypatch):
    """On a GPU every .item(), .cpu() or bool() of a tensor waits for it: none may happen at a step."""
    model, waits = small_vit(), []
    average = WeightAverage(model, 0.9)
    for name in ("item", "cpu", "tolist", "__bool__", "__float__"):
        monkeypatch.setattr(torch.Tensor, name, lambda self, *a, _n=name, **k: waits.append(_n))
    average.update()
    assert waits == []


def test_the_decay_rises_to_the_one_that_was_asked_for():
    model = nn.Linear(1, 1, bias=False)
    average = WeightAverage(model, 0.5)
    decays = []
    for _ in range(12):
        with torch.no_grad():
            model.weight.zero_()
        average.averages["weight"].fill_(1.0)
        average.update()
        decays.append(average.averages["weight"].item())
    assert decays == pytest.approx([min(0.5, (1 + t) / (10 + t)) for t in range(12)])
    assert decays[8:] == pytest.approx([0.5] * 4)
