from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.flops import forward_flops, skipped_flops, training_flops
from benchmarks.peers import PEERS
from functions.training.throughput import training_flop
from models import VARIANTS, ViT, ViTConfig


def counted(model, config, backward):
    images = torch.randn(2, config.in_channels, *config.image_size, device="meta")
    with FlopCounterMode(display=False) as counter:
        loss = F.cross_entropy(model(images), torch.zeros(2, dtype=torch.long, device="meta"))
        if backward:
            loss.backward()
    return counter.get_total_flops() / 2


@pytest.mark.parametrize("config", [
    VARIANTS["vit_b_16"], VARIANTS["vit_ti_16"], replace(VARIANTS["vit_s_32"], image_size=(384, 256)),
    ViTConfig(image_size=(48, 32), patch_size=4, in_channels=1, num_classes=5, num_layers=3, embedding_dim=24,
              num_heads=3, mlp_size=40)], ids=["b/16", "ti/16", "s/32", "odd"])
def test_the_formula_is_what_torch_counts(config):
    """To 2 %: some attention kernels compute their scores twice on the way back, which torch counts and we do not."""
    with torch.device("meta"):
        model = ViT(config)
    skipped = skipped_flops(config)
    forward, training = forward_flops(config) - skipped, training_flops(config) - 3 * skipped
    assert forward == pytest.approx(counted(model, config, backward=False), rel=0.001)
    assert training == pytest.approx(counted(model, config, backward=True), rel=0.02)


def test_vit_b_16_costs_what_is_published():
    """35.1 GFLOP an image (17.58 GMAC by torchvision's count), three times that in training."""
    assert forward_flops(VARIANTS["vit_b_16"]) == pytest.approx(35.1e9, rel=0.003)
    assert training_flops(VARIANTS["vit_b_16"]) == pytest.approx(105.5e9, rel=0.005)
    assert skipped_flops(VARIANTS["vit_b_16"]) / forward_flops(VARIANTS["vit_b_16"]) == pytest.approx(0.069, abs=5e-4)


def test_every_peer_is_the_same_network():
    """As many parameters and products as the formula's, so a faster one is faster code and not a smaller model."""
    config = replace(VARIANTS["vit_ti_16"], image_size=64, num_classes=5, num_layers=2)
    for name, build in PEERS.items():
        with torch.device("meta"):
            model = build(config).train()
        assert sum(p.numel() for p in model.parameters()) == sum(p.numel() for p in ViT(config).parameters()), name
        expected = forward_flops(config) - (skipped_flops(config) if name == "ours" else 0)
        assert counted(model, config, backward=False) == pytest.approx(expected, rel=0.02), name


def test_training_prints_the_same():
    config = replace(VARIANTS["vit_ti_16"], image_size=64)
    expected = training_flops(config) - 3 * skipped_flops(config)
    assert training_flop(ViT(config)) == pytest.approx(expected, rel=0.02)
