import random

import numpy as np
import pytest
import torch

from functions import runtime

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def test_precision_is_fp32_on_a_cpu(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True}, raising=False)
    assert runtime.resolve_precision("auto", CPU) == "fp32"
    for wanted in ("bf16", "fp16"):
        with pytest.raises(ValueError, match=f"{wanted}.*cpu"):
            runtime.resolve_precision(wanted, CPU)
    with pytest.raises(ValueError, match="fp8"):
        runtime.resolve_precision("fp8", CPU)


def test_bf16_runs_on_a_cpu_that_has_it_in_hardware_but_only_if_asked_for(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "amx_bf16": True}, raising=False)
    assert runtime.resolve_precision("bf16", CPU) == "bf16"
    assert runtime.resolve_precision("auto", CPU) == "fp32"
    with pytest.raises(ValueError, match="fp16.*cpu"):
        runtime.resolve_precision("fp16", CPU)


@pytest.mark.parametrize(("has_bf16", "expected"), [(True, "bf16"), (False, "fp16")])
def test_precision_on_a_gpu_follows_what_it_has(monkeypatch, has_bf16, expected):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has_bf16 or including_emulation)
    assert runtime.resolve_precision("auto", CUDA) == expected
    assert runtime.resolve_precision("fp32", CUDA) == "fp32"


def test_a_gpus_random_numbers_go_on_though_another_machine_had_more_gpus(monkeypatch):
    restored = {}
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, number: restored.update({number: state}))
    runtime.restore_rng_states(runtime.rng_states() | {"cuda": ["first", "second"]})
    assert restored == {0: "first"}


def test_autocast_is_off_at_fp32():
    with runtime.autocast("fp32", CPU):
        assert not torch.is_autocast_enabled("cpu")
    with runtime.autocast("bf16", CPU):
        assert torch.is_autocast_enabled("cpu")


def test_each_process_takes_a_gpu_of_its_own(monkeypatch):
    taken = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    monkeypatch.setattr(torch, "set_float32_matmul_precision", taken.append)
    assert runtime.pick_device() == torch.device("cuda", 0)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert runtime.pick_device() == torch.device("cuda", 1)
    assert taken == ["high", torch.device("cuda", 0), "high", torch.device("cuda", 1)]
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(ValueError, match="process 2 has no GPU: there are 2"):
        runtime.pick_device()


def test_one_seed_seeds_python_numpy_and_torch():
    draws = []
    for seed in (5, 5, 6):
        runtime.set_seeds(seed)
        draws.append([random.random(), np.random.rand(), torch.rand(()).item()])  # noqa: NPY002
    assert draws[0] == draws[1]
    assert all(first != other for first, other in zip(draws[0], draws[2], strict=True))
