import pytest
import torch

from functions.speed import in_words, seconds_per_image
from models import ViT, ViTConfig


def test_measuring_leaves_no_trace():
    model = ViT(ViTConfig(image_size=8, patch_size=4, num_layers=1, embedding_dim=12, num_heads=3, dropout=0.5))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    images = torch.randn(4, 3, 8, 8)
    state = torch.get_rng_state()
    step, forward = seconds_per_image(model, images)
    assert step > 0
    assert forward > 0
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_measuring_leaves_running_statistics_alone():
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2), torch.nn.Flatten())
    before = net[1].running_mean.clone()
    seconds_per_image(net, 5 + torch.randn(4, 1, 3, 3))
    assert torch.equal(net[1].running_mean, before)
    assert net[1].num_batches_tracked == 0


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (59.6, "1 min 00 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")]
)
def test_durations_in_words(seconds, words):
    assert in_words(seconds) == words
