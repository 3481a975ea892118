"""CUDA tensors on a machine without a GPU: they follow torch's device and autocast rules, and they hold numbers.

A `SimulatedTensor` is a wrapper subclass on device "cuda" around a CPU tensor that holds its numbers. Every operation
that reaches torch's dispatcher, after autocast, is checked for tensors on different devices and then computed on the
CPU. So a script can be run whole, and a single tensor left on the CPU raises the error that a GPU would raise.
`torch._subclasses.fake_tensor` applies the same rules to tensors without numbers; test_simulated.py compares the two.

What is not simulated: kernels (numbers are the CPU's), attention backends, streams, and the backward pass: the autograd
engine needs a driver. `backward` gives every leaf of the graph a made-up finite gradient instead.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock

import torch
import torch.cuda.amp.common
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
CPU_ARGUMENTS = {        # operations that take tensors of several devices: copies, and an index on the CPU
    aten._to_copy.default, aten.copy_.default, aten.index.Tensor, aten.index_put_.default, aten.index_put.default,
    aten._index_put_impl_.default,
}
DEVICE_MESSAGE = "Expected all tensors to be on the same device"


class SimulatedTensor(torch.Tensor):
    """A tensor on device "cuda" whose numbers are those of the CPU tensor `numbers`."""

    @staticmethod
    def __new__(cls, numbers: torch.Tensor, requires_grad: bool = False):
        made = torch.Tensor._make_wrapper_subclass(
            cls, numbers.shape, strides=numbers.stride(), storage_offset=numbers.storage_offset(), dtype=numbers.dtype,
            device="cuda:0", requires_grad=requires_grad)
        made.numbers = numbers
        return made

    def __repr__(self, *, tensor_contents=None):
        return f"SimulatedTensor({self.numbers})"

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return compute(func, args, kwargs or {})


class SimulatedDevice(TorchDispatchMode):
    """Operations without a simulated tensor among their arguments reach `compute` too: torch.zeros(device="cuda")."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return compute(func, args, kwargs or {})


def tensors(args, kwargs) -> list[torch.Tensor]:
    """The tensors among an operation's arguments, of which one may be a list of tensors."""
    return [x for argument in (*args, *kwargs.values())
            for x in (argument if isinstance(argument, (list, tuple)) else (argument,)) if isinstance(x, torch.Tensor)]


def each(change, x):
    """`change` of an argument or result of an operation, or of every entry of a list or tuple."""
    return type(x)([change(entry) for entry in x]) if isinstance(x, (list, tuple)) else change(x)


def check_devices(func, args, kwargs, flat) -> None:
    """RuntimeError for tensors on different devices, a CPU scalar beside CUDA tensors excepted: torch's rule."""
    on_gpu = [x for x in flat if isinstance(x, SimulatedTensor)]
    on_cpu = [x for x in flat if not isinstance(x, SimulatedTensor) and x.ndim > 0]
    if func in CPU_ARGUMENTS:
        if "index" in str(func) and on_gpu and not isinstance(args[0], SimulatedTensor):
            raise RuntimeError("indices should be either on cpu or on the same device as the indexed tensor (cpu)")
        return
    written = func._schema.name.endswith("_") and flat and not isinstance(flat[0], SimulatedTensor)
    if on_gpu and (on_cpu or written):
        raise RuntimeError(f"{DEVICE_MESSAGE}, but got cpu and cuda:0 (in {func})")


def compute(func, args, kwargs):
    """`func` on the CPU; its results are on the device that torch would put them on."""
    flat = tensors(args, kwargs)
    check_devices(func, args, kwargs, flat)
    simulated = [x for x in flat if isinstance(x, SimulatedTensor)]
    kwargs = {name: value for name, value in kwargs.items() if name != "pin_memory"}
    device = kwargs.get("device")
    on_gpu = bool(simulated) if device is None else torch.device(device).type == "cuda"
    if on_gpu and device is not None:
        kwargs = kwargs | {"device": "cpu"}
    if func in (aten.copy_.default, aten.index_put_.default, aten._index_put_impl_.default):
        on_gpu = isinstance(args[0], SimulatedTensor)
    if func is aten._to_copy.default and device is not None and bool(simulated) == on_gpu and not kwargs.get("dtype"):
        on_gpu = bool(simulated)
    args, kwargs = [each(_numbers, x) for x in args], {name: each(_numbers, x) for name, x in kwargs.items()}
    if func in (aten._softmax.default, aten._log_softmax.default) and args[2]:     # kernels that CPUs lack: fp16 → fp32
        args = (args[0].float(), args[1], False)
    result = func(*args, **kwargs)
    known = {id(x.numbers): x for x in simulated}           # operations in place return their own argument

    def wrap(x):
        if not isinstance(x, torch.Tensor):
            return x
        if id(x) in known:
            return known[id(x)]
        return SimulatedTensor(x) if on_gpu else x

    return each(wrap, result)


def _numbers(x):
    if isinstance(x, SimulatedTensor):
        return x.numbers
    return torch.device("cpu") if isinstance(x, torch.device) and x.type == "cuda" else x


_backward = torch.Tensor.backward


def made_up_backward(loss: torch.Tensor, *args, **kwargs) -> None:
    """Adds a finite gradient to every leaf of the graph behind `loss`; the real engine would ask for a driver."""
    if not isinstance(loss, SimulatedTensor):
        _backward(loss, *args, **kwargs)
        return
    if not loss.isfinite():
        raise AssertionError("the loss is not finite: a made-up gradient would hide it")
    seen, nodes = set(), [loss.grad_fn]
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        leaf = getattr(node, "variable", None)
        if leaf is not None:
            step = leaf.detach() * 0.1 + 0.01
            leaf.grad = step if leaf.grad is None else leaf.grad + step
        nodes += [following for following, _ in node.next_functions]


def attention(q, k, v, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False):
    """softmax(q kᵀ / √d) v: torch chooses between kernels by asking the driver."""
    weights = (q @ k.transpose(-2, -1) * (scale or q.shape[-1] ** -0.5)).softmax(dim=-1)
    return weights.to(v.dtype) @ v


def enter_without_gradients(mode: torch.inference_mode) -> None:
    """`torch.inference_mode` as `torch.no_grad`: a wrapper subclass cannot be an inference tensor."""
    mode.before = torch.is_grad_enabled()
    torch.set_grad_enabled(mode.before and not mode.mode)


def leave_without_gradients(mode: torch.inference_mode, *_) -> None:
    torch.set_grad_enabled(mode.before)


@contextmanager
def simulated_cuda(bf16: bool = True) -> Iterator[None]:
    """Inside, torch believes in one CUDA GPU (with or without bf16) whose tensors are SimulatedTensors."""
    torch._C._ensureCUDADeviceGuardSet()
    answers = {
        "is_available": lambda: True, "device_count": lambda: 1, "current_device": lambda: 0,
        "_lazy_init": lambda: None,
        "is_bf16_supported": lambda *_, **__: bf16, "set_device": lambda *_: None, "synchronize": lambda *_: None,
        "get_device_name": lambda *_: "simulated GPU", "mem_get_info": lambda *_: (2**34, 2**35),
        "get_rng_state_all": lambda: [torch.zeros(16, dtype=torch.uint8)], "set_rng_state": lambda *_: None,
        "manual_seed_all": lambda *_: None, "current_stream": lambda *_: mock.MagicMock(),
        "max_memory_allocated": lambda *_: 0, "reset_peak_memory_stats": lambda *_: None, "empty_cache": lambda: None,
    }
    swapped, cudnn = torch.__future__.get_swap_module_params_on_conversion(), torch.backends.cudnn.enabled
    with ExitStack() as stack:
        for name, answer in answers.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, answer))
        for place, name, new in ((torch.cuda.amp.common, "amp_definitely_not_available", lambda: False),
                                 (torch.accelerator, "synchronize", lambda *_: None),
                                 (torch.inference_mode, "__enter__", enter_without_gradients),
                                 (torch.inference_mode, "__exit__", leave_without_gradients),
                                 (torch.Tensor, "backward", made_up_backward),
                                 (torch.Tensor, "pin_memory", lambda self, *_: self),
                                 (F, "scaled_dot_product_attention", attention)):
            stack.enter_context(mock.patch.object(place, name, new))
        torch.__future__.set_swap_module_params_on_conversion(True)    # model.to(device) replaces parameters
        torch._C._set_only_lift_cpu_tensors(True)                      # torch.tensor(…, device="cuda") asks no driver
        torch.backends.cudnn.enabled = False                           # batch norm asks the driver for cuDNN
        precision = torch.get_float32_matmul_precision()
        stack.enter_context(SimulatedDevice())
        try:
            yield
        finally:
            torch.__future__.set_swap_module_params_on_conversion(swapped)
            torch._C._set_only_lift_cpu_tensors(False)
            torch.backends.cudnn.enabled = cudnn
            torch.set_float32_matmul_precision(precision)
