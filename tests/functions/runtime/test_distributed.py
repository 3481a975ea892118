"""Two processes over Gloo: the same training as in one, image for image."""

import os

import pytest
import torch

from data_setup.loading import distributed_batches as shares
from functions.runtime import distributed
from tests.forkserver import fork_context
from tests.functions.several import SIZE, Pictures, everything, trained


def free_port():
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return str(listener.getsockname()[1])


def one_of_two(rank, port, file, ways):
    """A process with the environment that torchrun gives it, without its start-up; errors are in `file`-<rank>.txt."""
    os.dup2(os.open(f"{file}-{rank}.txt", os.O_CREAT | os.O_WRONLY), 2)
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
    torch.set_num_threads(1)
    torch._C._get_accelerator = lambda: torch.device("cuda")      # FSDP finds a GPU, which a CPU run must not take
    everything(file, ways)


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    file, port = tmp_path_factory.mktemp("together") / "results.pt", free_port()
    processes = [fork_context().Process(target=one_of_two, args=(rank, port, file, ("ddp", "accumulate", "shard")))
                 for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    told = [file.with_name(f"{file.name}-{rank}.txt").read_text() for rank in range(2)]
    assert [process.exitcode for process in processes] == [0, 0], told
    return torch.load(file)


@pytest.fixture(scope="module")
def alone():
    return trained(2 * SIZE)


@pytest.mark.parametrize("way", ["ddp", "accumulate", "shard"])
def test_two_processes_take_the_steps_of_one_with_twice_the_batch(together, alone, way):
    """20 steps, the last of each epoch of 5 images: three here, two there. A wrong share shows in every weight."""
    ours = together[way]
    assert ours["steps"] == alone["steps"] == 20
    for name, value in alone["checkpoint"]["weights"].items():
        torch.testing.assert_close(ours["checkpoint"]["weights"][name], value, rtol=0, atol=1e-5, msg=name)
    for number, state in alone["checkpoint"]["optimizer"]["state"].items():
        for name, value in state.items():
            torch.testing.assert_close(ours["checkpoint"]["optimizer"]["state"][number][name], value, rtol=1e-3,
                                       atol=1e-5, msg=f"{number} {name}")


@pytest.mark.parametrize("way", ["ddp", "shard"])
def test_scores_are_sums_over_all_images_each_once_and_in_order(together, alone, way):
    ours = together[way]
    assert alone["scores"]["train"]["confusion"].sum() == 37
    for split in ("train", "test"):
        assert torch.equal(ours["scores"][split]["confusion"], alone["scores"][split]["confusion"])
        assert ours["scores"][split]["loss"] == pytest.approx(alone["scores"][split]["loss"], abs=1e-5)
    assert torch.equal(ours["labels"], Pictures(13).labels)
    torch.testing.assert_close(ours["probabilities"], alone["probabilities"], rtol=0, atol=1e-5)


def test_what_one_process_knows_the_others_do(together):
    """Process 0's buffers, values and orders are all processes', and the first bad step is the first of any of them."""
    told = together["told"]
    assert told["buffer"].tolist() == told["value"].tolist() == [5, 5]
    assert told["bad"].tolist() == [7, 7], "step 6 of process 1, counted from one"
    assert told["number"][0] == told["number"][1]


def test_processes_draw_numbers_of_their_own_which_process_0_decides(together):
    torch.manual_seed(3)
    number = torch.randint(2**31, ()).item()
    assert together["told"]["same"].tolist() == [number, number]
    drawn = [torch.rand(()).item()]
    torch.manual_seed(number + 1)
    drawn.append(torch.rand(()).item())
    assert together["told"]["drawn"].tolist() == pytest.approx(drawn, abs=1e-12)
    assert drawn[0] != drawn[1]


def test_a_sharded_partly_frozen_run_goes_on_bit_for_bit(together):
    """Weights and AdamW's state are gathered into a file and cut up again; every process knows the frozen part."""
    weights, same = together["resumed"]
    assert len(weights) > 20
    for name, (whole, resumed) in weights.items():
        assert torch.equal(whole, resumed), name
    assert same.tolist() == [1, 1]


def test_sharded_matrices_are_gathered_in_bf16_and_the_logits_are_those_of_the_whole_model(together):
    """What travels is half as large; evaluate.py, under autocast without sharding, computes the same logits."""
    assert together["bf16"] == (True, True, True)


def test_both_sides_mean_the_same_label():
    assert shares.IGNORED == distributed.IGNORED == torch.nn.CrossEntropyLoss().ignore_index


@pytest.mark.parametrize(("given", "expected"), [
    ((32, 1, 2, 1), (32, 2)),     # fewer processes: more batches a step, none larger
    ((32, 1, 1, 2), (16, 1)), ((32, 4, 1, 2), (32, 2)), ((10, 1, 3, 2), (5, 3)), ((32, 2, 4, 4), (32, 2))])
def test_a_step_keeps_its_images_when_processes_come_or_go(given, expected):
    assert distributed.split_step(*given) == expected


def test_a_step_that_cannot_be_shared_out_is_refused():
    with pytest.raises(ValueError, match="steps of 10 images cannot be divided evenly among 3 processes"):
        distributed.split_step(5, 1, 2, 3)


def test_a_device_that_processes_cannot_talk_from_is_refused(monkeypatch):
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "2"), ("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", "1")):
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match="this is a mps run"):
        distributed.join(torch.device("mps"))


def test_alone_nothing_is_changed():
    value = torch.ones(3)
    assert distributed.all_reduce_sum(value) is value
    assert distributed.all_gather(value) is value
    model = torch.nn.Linear(2, 2)
    assert distributed.data_parallel(model) is model
