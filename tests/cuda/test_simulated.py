"""The simulated GPU follows torch's own rules: those of FakeTensorMode."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F

from tests.cuda.simulated import simulated_cuda

CALLS = {
    "sum": (lambda a, b: a + b, True),
    "scalar on the CPU": (lambda a, b: a + b.sum(), False),
    "product": (lambda a, b: a @ b.T, True),
    "in place": (lambda a, b: b.add_(a), True),
    "concatenation": (lambda a, b: torch.cat([a, b]), True),
    "copy": (lambda a, b: a.copy_(b), False),
    "choice": (lambda a, b: torch.where(a > 0, a, b), True),
    "cross entropy": (lambda a, b: F.cross_entropy(a, torch.zeros(3, dtype=torch.long)), True),
    "class weights": (lambda a, b: F.cross_entropy(a, torch.zeros(3, dtype=torch.long, device="cuda"), b[0]), True),
    "index on the CPU": (lambda a, b: a[torch.tensor([0, 1])], False),
    "linear": (lambda a, b: F.linear(a, b), True),
    "layer norm": (lambda a, b: F.layer_norm(a, (4,), b[0]), True),
    "moved first": (lambda a, b: a + b.to("cuda"), False),
}


@pytest.mark.parametrize("call", CALLS)
def test_tensors_on_two_devices_are_refused_where_torch_refuses_them(call, monkeypatch):
    act, refused = CALLS[call]

    def attempt():
        try:
            act(torch.ones(3, 4, device="cuda"), torch.ones(3, 4))
        except RuntimeError as error:
            return "device" in str(error)
        return False

    with simulated_cuda():
        assert attempt() == refused
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with FakeTensorMode():
        assert attempt() == refused


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_casts_as_on_a_gpu(dtype):
    with simulated_cuda(), torch.autocast("cuda", dtype=dtype):
        a = torch.randn(3, 4, device="cuda")
        product = F.linear(a, a)
        assert (product.dtype, F.layer_norm(product, (3,)).dtype, product.softmax(-1).dtype) == (
            dtype, torch.float32, torch.float32)


def test_numbers_are_those_of_the_cpu():
    values = torch.randn(5, 3)
    with simulated_cuda():
        moved = values.to("cuda")
        assert moved.is_cuda
        moved.mul_(2)[1:3] += 1
        assert torch.equal(moved.cpu()[1:3], values[1:3] * 2 + 1)
        assert moved.sum().item() == pytest.approx((values * 2).sum().item() + 6, rel=1e-5)
        with pytest.raises((TypeError, RuntimeError), match="cpu|numpy"):
            moved.numpy()


def test_every_leaf_gets_a_gradient_and_no_other():
    with simulated_cuda():
        layer = torch.nn.Linear(3, 2).to("cuda")
        other = torch.nn.Linear(3, 2).to("cuda")
        layer(torch.ones(4, 3, device="cuda")).sum().backward()
        assert all(p.grad.is_cuda for p in layer.parameters())
        assert all(p.grad is None for p in other.parameters())
