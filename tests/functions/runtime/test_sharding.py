import pytest
import torch

from functions.runtime.sharding import checkpoint_activations, distribute_like, full_state, load_optimizer, shard
from tests.functions.test_engine import make_model


def gradients(model, images):
    torch.manual_seed(0)                                             # dropout's masks
    loss = model(images).square().sum()
    loss.backward()
    return [loss, *(p.grad for p in model.parameters())]


def test_checkpointed_activations_change_nothing_but_memory():
    """Kept between forward and backward: a block's input alone. Losses, gradients, and what is dropped are the same."""
    images, kept = torch.randn(2, 1, 8, 8), []
    plain, lean = (make_model(dropout=0.4, drop_path=0.4) for _ in range(2))
    checkpoint_activations(lean.encoder)
    for model in (plain, lean):
        held = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x, held=held: held.append(x.numel()) or x, lambda x: x):
            model(images)
        kept.append(sum(held))
    assert kept[1] < kept[0] / 2
    for ours, theirs in zip(gradients(lean, images), gradients(plain, images), strict=True):
        assert torch.equal(ours, theirs)
    assert list(lean.state_dict()) == list(plain.state_dict())


@pytest.mark.parametrize("momentum", [0.1, None])
def test_running_statistics_count_a_batch_once_though_blocks_are_run_twice(momentum):
    """A ResNet's; those of frozen blocks, in eval mode, stay as they were."""
    def block():
        torch.manual_seed(1)
        return torch.nn.Sequential(torch.nn.Conv2d(1, 3, 3), torch.nn.BatchNorm2d(3, momentum=momentum),
                                   torch.nn.ReLU(), torch.nn.Conv2d(3, 2, 3), torch.nn.BatchNorm2d(2))

    plain, lean = (torch.nn.Sequential(block(), torch.nn.BatchNorm2d(2).eval()) for _ in range(2))
    checkpoint_activations(lean)
    images = torch.randn(4, 1, 9, 9)
    for _ in range(2):
        for model in (plain, lean):
            model(images).square().sum().backward()
    for ours, theirs in zip(lean.parameters(), plain.parameters(), strict=True):
        assert torch.equal(ours.grad, theirs.grad)
    for ours, theirs in zip(lean.buffers(), plain.buffers(), strict=True):
        assert torch.equal(ours, theirs)
    assert lean[0][1].num_batches_tracked == 2
    assert lean[0][1].momentum == momentum


def test_scoring_with_checkpointed_activations():
    images, model = torch.randn(2, 1, 8, 8), make_model().eval()
    with torch.inference_mode():
        before = model(images)
        checkpoint_activations(model.encoder)
        assert torch.equal(model(images), before)


def test_weights_are_spread_over_several_processes_only():
    model = make_model()
    with pytest.raises(ValueError, match="start them with torchrun"):
        shard(model, model.encoder)


def test_fp16_cannot_be_sharded(monkeypatch):
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    model = make_model()
    with pytest.raises(ValueError, match="bf16 or fp32"):
        shard(model, model.encoder, "fp16")


def test_what_is_whole_stays_what_it_is():
    """Sharded weights are tested by two processes in test_distributed.py."""
    model = make_model()
    optimizer = torch.optim.AdamW(model.parameters())
    gradients(model, torch.randn(2, 1, 8, 8))
    optimizer.step()
    state = optimizer.state_dict()
    assert full_state(state)["state"][3]["exp_avg"] is state["state"][3]["exp_avg"]
    assert distribute_like(state["state"][3]["exp_avg"], model.classifier.weight) is state["state"][3]["exp_avg"]
    other = torch.optim.AdamW(model.parameters(), lr=0.5)
    load_optimizer(other, full_state(state))
    assert other.param_groups[0]["lr"] == 1e-3
    fused = torch.optim.AdamW(model.parameters(), fused=True)
    load_optimizer(fused, state)
    assert fused.param_groups[0]["fused"], "as this run's device takes it, not as the checkpoint's did"
    assert torch.equal(other.state_dict()["state"][3]["exp_avg"], state["state"][3]["exp_avg"])


def test_moments_that_overlap_in_memory_are_laid_out_as_their_parameters_are():
    """A fused step writes them by their parameters' layout."""
    weight = torch.nn.Parameter(torch.zeros(4, 6).T)
    optimizer = torch.optim.AdamW([weight], fused=True)
    weight.grad = torch.ones_like(weight)
    optimizer.step()
    state = optimizer.state_dict()
    moment = torch.arange(24.0)[15:].as_strided((6, 4), (1, 1))
    state["state"][0]["exp_avg"] = moment
    load_optimizer(optimizer, state)
    loaded = optimizer.state[weight]["exp_avg"]
    assert torch.equal(loaded, moment)
    assert loaded.stride() == weight.stride()
    assert loaded.untyped_storage().nbytes() == 24 * 4
