import random

import numpy as np
import pytest
import torch

from functions.runtime import device as runtime
from functions.runtime.errors import UserError

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


def test_a_state_that_a_gpu_refuses_is_one_line(monkeypatch):
    def refuse(state, number):
        raise RuntimeError("RNG state is wrong size\nat x.cpp")

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "set_rng_state", refuse)
    with pytest.raises(UserError, match=r"^rng: no state of this device's generator \(RNG state is wrong size at x"):
        runtime.restore_rng_states(runtime.rng_states() | {"cuda": [torch.ones(3, dtype=torch.uint8)]})


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


def test_a_model_is_scored_in_the_precision_of_its_training_or_in_fp32_with_a_note(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    assert runtime.scoring_precision("fp16", CUDA) == ("fp16", "")
    assert runtime.scoring_precision("fp32", CPU) == ("fp32", "")
    precision, note = runtime.scoring_precision("fp16", CPU)
    assert precision == "fp32"
    assert "does not support fp16" in note


def test_deterministic_means_everything_torch_asks_for(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    before = torch.backends.cuda.cudnn_sdp_enabled()
    try:
        runtime.make_deterministic()
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.backends.cuda.cudnn_sdp_enabled()
        assert runtime.os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    finally:
        torch.use_deterministic_algorithms(False)
        torch.backends.cuda.enable_cudnn_sdp(before)


def test_an_apple_gpus_random_numbers_go_on(monkeypatch):
    restored = []
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda: torch.tensor([7]))
    monkeypatch.setattr(torch.mps, "set_rng_state", restored.append)
    runtime.restore_rng_states(runtime.rng_states())
    assert restored == [torch.tensor([7])]
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    states = runtime.rng_states()
    assert states.pop("mps") is None
    runtime.restore_rng_states(states)                  # a checkpoint of before


@pytest.fixture
def machine(monkeypatch):
    """Sets which devices torch finds: the number of GPUs, whether MPS is there."""
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    monkeypatch.setattr(torch, "set_float32_matmul_precision", lambda precision: None)

    def has(gpus, mps=False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return has


@pytest.mark.parametrize(("gpus", "mps", "name", "device"), [
    (2, False, "auto", "cuda:0"), (2, False, "cuda", "cuda:0"), (2, False, "cuda:1", "cuda:1"), (2, True, "mps", "mps"),
    (2, False, "cpu", "cpu"), (0, False, "auto", "cpu"), (0, True, "auto", "mps"), (0, True, "cpu", "cpu")])
def test_a_device_is_taken_by_its_name(machine, gpus, mps, name, device):
    machine(gpus, mps)
    assert runtime.pick_device(name) == torch.device(device)


@pytest.mark.parametrize(("gpus", "name", "complaint"), [
    (0, "cuda", "no such device"), (0, "cuda:0", "no such device"), (2, "cuda:2", "there are 2"),
    (2, "mps", "no such device"), (2, "tpu", "no such device")])
def test_a_device_that_is_not_there_is_refused(machine, gpus, name, complaint):
    machine(gpus)
    with pytest.raises(UserError, match=f"--device {name}.*{complaint}"):
        runtime.pick_device(name)


def test_one_gpu_by_its_number_is_no_choice_for_several_processes(machine, monkeypatch):
    machine(2)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    with pytest.raises(UserError, match="use --device cuda"):
        runtime.pick_device("cuda:1")
    assert runtime.pick_device("cuda") == torch.device("cuda:0")


def test_no_more_threads_than_cores_that_may_be_used(monkeypatch):
    given = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    monkeypatch.setattr(torch, "set_num_threads", given.append)
    for cores in (3, 16, None):
        runtime.pick_device("cpu", cores)
    assert given == [3, 8, 8]


def test_one_seed_seeds_python_numpy_and_torch():
    draws = []
    for seed in (5, 5, 6):
        runtime.set_seeds(seed)
        draws.append([random.random(), np.random.rand(), torch.rand(()).item()])  # noqa: NPY002
    assert draws[0] == draws[1]
    assert all(first != other for first, other in zip(draws[0], draws[2], strict=True))
