from dataclasses import replace

import pytest
import torch

from benchmarks.flops import training_flops
from benchmarks.peers import PEERS
from functions.training.throughput import training_flop
from models import VARIANTS, ViT, ViTConfig


def by_formula(config, last_block_whole):
    """FLOP of a training step per image, T = N + 1 tokens; six per multiply-add, four in the patch projection:

    N·P²C·D + L·(4T·D² [qkv, out] + 2T²·D [attention] + 2T·D·M [MLP]) + D·K multiply-adds, less those of the last
    block's N other tokens if Eq. 4 is all that reads it: N·(2D² + 2T·D + 2D·M).
    """
    d, mlp, n = config.embedding_dim, config.mlp_size, config.num_patches
    patches = n * config.patch_size**2 * config.in_channels * d
    blocks = config.num_layers * (4 * (n + 1) * d**2 + 2 * (n + 1) ** 2 * d + 2 * (n + 1) * d * mlp)
    skipped = 0 if last_block_whole else n * (2 * d**2 + 2 * (n + 1) * d + 2 * d * mlp)
    return 4 * patches + 6 * (blocks - skipped + d * config.num_classes)


@pytest.mark.parametrize("config", [
    VARIANTS["vit_b_16"], VARIANTS["vit_ti_16"], replace(VARIANTS["vit_s_32"], image_size=384, num_classes=4)],
    ids=["b/16", "ti/16", "s/32"])
def test_what_torch_counts_is_the_formula(config):
    """To 2 %: some attention kernels compute their scores twice on the way back, which torch counts and we do not."""
    assert training_flops(config) == pytest.approx(by_formula(config, last_block_whole=True), rel=0.02)


def test_vit_b_16_costs_what_is_published():
    """35.1 GFLOP an image (17.58 GMAC by torchvision's count), three times that in training."""
    assert training_flops(VARIANTS["vit_b_16"]) == pytest.approx(105.5e9, rel=0.005)


def test_every_peer_is_the_same_network():
    """As many parameters and products, so a faster one is faster code and not a smaller model."""
    config = replace(VARIANTS["vit_ti_16"], image_size=64, num_classes=5, num_layers=2)
    for name, build in PEERS.items():
        with torch.device("meta"):
            model = build(config).train()
        assert sum(p.numel() for p in model.parameters()) == sum(p.numel() for p in ViT(config).parameters()), name
        model.config = config
        expected = by_formula(config, last_block_whole=name != "ours")
        assert training_flop(model) == pytest.approx(expected, rel=0.02), name


def test_training_prints_what_the_last_block_computes():
    config = ViTConfig(image_size=(48, 32), patch_size=4, in_channels=1, num_classes=5, num_layers=3, embedding_dim=24,
                       num_heads=3, mlp_size=40)
    assert training_flop(ViT(config)) == pytest.approx(by_formula(config, last_block_whole=False), rel=0.02)
