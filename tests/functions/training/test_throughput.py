import pytest
import torch

from functions.training import throughput as speed
from functions.training.throughput import Speed, format_seconds, measured_peak, seconds_per_image, training_flop
from models import ViT, ViTConfig, build
from models.transfer import TransferConfig, TransferModel
from tests.functions.test_engine import make_model
from tests.models.parity import Undrawn


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
    assert format_seconds(seconds) == words


def test_flop_of_a_step_are_those_of_the_formula():
    """ViT-B/16 at 224: 17.6 G multiply-adds forward, twice that on the way back, less the first layer's input."""
    tokens, d, layers, mlp = 197, 768, 12, 3072
    per_layer = tokens * (4 * d * d + 2 * d * mlp) + 2 * tokens * tokens * d
    skipped = 196 * (2 * d * d + 2 * d * mlp + 2 * tokens * d)      # of the last layer: Eq. 4 reads the class token
    embedding = 196 * d * 768
    with Undrawn():
        model = build("vit_b_16")
    assert training_flop(model) == pytest.approx(6 * (layers * per_layer - skipped + embedding), rel=0.01)


def test_flop_of_a_hybrids_step_are_those_of_its_convolutions_and_its_vit():
    """r_vit_ti_16 on gray 64x96 images: a root of 7x7 at half the sides, patches of 8x8 of its 64 channels, 6 tokens.

    Six FLOP per multiply-add, four for the root: the image needs no gradient.
    """
    tokens, d, mlp, layers = 7, 12, 20, 3
    root, patches = 32 * 48 * 64 * 7 * 7, 6 * d * 64 * 8 * 8
    encoder = layers * (tokens * (4 * d * d + 2 * d * mlp) + 2 * tokens * tokens * d)
    skipped = 6 * (2 * d * d + 2 * d * mlp + 2 * tokens * d)
    model = build("r_vit_ti_16", image_size=(64, 96), in_channels=1, num_layers=layers, embedding_dim=d, num_heads=3,
                  mlp_size=mlp, num_classes=5)
    expected = 6 * (patches + encoder - skipped + d * 5) + 4 * root
    assert training_flop(model) == pytest.approx(expected, rel=1e-3)


def test_frozen_parts_cost_a_third():
    with Undrawn():
        model = TransferModel(TransferConfig(num_classes=4))
    model.unfreeze("head")
    frozen = training_flop(model)
    model.unfreeze("all")
    assert training_flop(model) / frozen == pytest.approx(3, rel=0.02)


def test_counting_leaves_the_model_alone():
    model = make_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    training_flop(model)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(p.grad is None and p.device.type == "cpu" for p in model.parameters())


def test_the_share_of_the_peak_that_is_used():
    assert Speed(flop=100e9, peak=50e12).mfu(images_per_second=250) == pytest.approx(0.5)


class Clock(torch.overrides.TorchFunctionMode):
    """A clock that only matrix products move: 1 s for each 10^12 FLOP, four times as long in its first 0.4 s.

    Of the later ones one in 40 takes a tenth of that and one in 40 ten times that.
    """

    def __init__(self):
        super().__init__()
        self.now, self.count = 0.0, 0

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function in (torch.Tensor.matmul, torch.Tensor.__matmul__, torch.matmul, torch.mm):
            (rows, inner), (_, columns) = args[0].shape, args[1].shape
            self.count += 1
            slowness = 4 if self.now < 0.4 else {13: 0.1, 26: 10}.get(self.count % 40, 1)
            self.now += 2 * rows * inner * columns / 1e12 * slowness
            return args[0]
        return function(*args, **kwargs or {})


def test_the_peak_is_what_the_device_keeps_up_once_it_is_warm(monkeypatch):
    """Neither the cold start nor the best or worst of the products: 10^12 FLOP/s."""
    with Clock() as clock:
        monkeypatch.setattr("time.perf_counter", lambda: clock.now)
        assert measured_peak(torch.device("cpu"), "fp32") == pytest.approx(1e12)


class Costly(torch.autograd.Function):
    """The identity; an image takes 1 s forward and 2 s back."""

    clock = [0.0]

    @staticmethod
    def forward(ctx, x):
        Costly.clock[0] += len(x)
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        Costly.clock[0] += 2 * len(gradient)
        return gradient


@pytest.mark.parametrize("count", [1, 4])
def test_seconds_are_for_each_image_of_a_step_and_of_a_forward_pass(monkeypatch, count):
    class Net(torch.nn.Linear):
        def forward(self, x):
            return Costly.apply(super().forward(x))

    monkeypatch.setattr("time.perf_counter", lambda: Costly.clock[0])
    assert seconds_per_image(Net(3, 2), torch.randn(count, 3)) == pytest.approx((3.0, 1.0))


def test_the_peak_is_that_of_all_processes_devices(monkeypatch):
    monkeypatch.setattr(speed, "measured_peak", lambda device, precision: 5.0)
    monkeypatch.setattr(speed, "training_flop", lambda model: 7.0)
    monkeypatch.setattr(speed, "world_size", lambda: 4)
    assert speed.measure_speed(None, None, "fp32") == (7.0, 20.0)
