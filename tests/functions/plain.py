"""A checkpoint of a tiny network in plain types, for tests that read, damage or keep files."""

import torch

from functions.checkpointing.checkpoint import config_to_plain
from functions.runtime.device import rng_states
from models import ViT, ViTConfig

CONFIG = ViTConfig(image_size=(8, 12), patch_size=4, in_channels=1, num_layers=2, embedding_dim=12, num_heads=3,
                   mlp_size=20, num_classes=2)


def plain_checkpoint(epoch=2, **changes):
    """What a run of `epoch` epochs saves, with some entries changed."""
    torch.manual_seed(0)
    return {
        "format": 1, "weights": ViT(CONFIG).state_dict(), "frozen": "", "config": config_to_plain(CONFIG),
        "class_names": ["AD", "CN"], "epoch": epoch, "stamps": [], "split_hash": "abc", "fingerprint": "def",
        "preprocessing": {"image_size": [8, 12], "fit": "scaled to fit, proportions kept, centred on black",
                          "crop_share": 1.0, "interpolation": "bilinear, antialiased", "channels": 1, "mean": [0.3],
                          "std": [0.2]},
        "optimizer": {"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.ones(2)}},
                      "param_groups": [{"lr": 0.1, "params": [0]}]},
        "schedule": {"step": 3}, "scaler": {}, "rng": rng_states(), "history": {"train_loss": [0.5] * epoch},
        "best": {"epoch": 1, "lowest": [0.1, 0.2]}, "seen": {"subjects": ["1"], "digests": ["ab"]},
        "extra": [{"learning_rate": 0.1}] * epoch,
    } | changes
