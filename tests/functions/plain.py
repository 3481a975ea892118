"""A checkpoint of a tiny network in plain types, for tests that read, damage or keep files."""

import contextlib
import functools
import itertools
import json

import torch

from functions.checkpointing.checkpoint import config_to_plain
from functions.runtime.device import rng_states
from functions.runtime.errors import UserError
from models import ViT, ViTConfig

CONFIG = ViTConfig(image_size=(8, 12), patch_size=4, in_channels=1, num_layers=2, embedding_dim=12, num_heads=3,
                   mlp_size=20, num_classes=2)


NAN, INFINITY = float("nan"), float("inf")
HOSTILE = (      # what may stand anywhere in a file that torch.load reads; `...`: nothing
    ..., None, True, False, "", "x", "\ud800", "\0", "y" * 100_000, -1, 0, 1, 10**30, 10**400, -10**400, 10**5000,
    -0.0, 0.5, 1e308, NAN, INFINITY, 1j, b"x", (), [], [None], [[]], [10**400], ["\ud800"], set(), {}, {1: 2},
    {"a": None}, {"\ud800": 1},
    torch.zeros(0), torch.zeros(2), torch.tensor(1.0), torch.tensor(NAN), torch.tensor(1), torch.ones(1, 1, 1, 1),
    torch.ones(2, dtype=torch.complex64), torch.ones(2).to_sparse(), torch.ones(2, device="meta"),
    torch.ones(1).expand(10**9), torch.ones(2, dtype=torch.float16), torch.zeros(5056, dtype=torch.uint8))

EVERY = 3      # of the pairs of an entry and a hostile value every third is tried; 1: all of them


def hostile_pairs(paths):
    """A fixed third of all pairs (path, value): each entry meets a third of the values, each value of the entries.

    Entries are of few kinds, and so are values; the tests of each file have further pairs as cases of their own.
    """
    assert len(HOSTILE) % EVERY or EVERY == 1, "otherwise each entry would meet the same values"
    return list(itertools.product(paths, HOSTILE))[::EVERY]


def refusal(action) -> str:
    """The line that an action ends with, "" if it ends well; any other exception is the test's."""
    try:
        action()
    except UserError as error:
        line = str(error)
    else:
        return ""
    assert "\n" not in line
    assert len(line) < 400
    return line


def json_variants(content):
    """The texts of JSON files, each with one of the `hostile_pairs` that JSON can hold."""
    for place, value in hostile_pairs(places(content)):
        text = None
        with contextlib.suppress(TypeError, ValueError):
            text = json.dumps(with_value(content, place, value))
        if text is not None:
            yield text


def places(content, above=()):
    """Every path into nested dictionaries and lists; of a list its first and its last entry."""
    if isinstance(content, dict):
        inner = content.items()
    elif isinstance(content, (list, tuple)) and content:
        inner = {0: content[0], len(content) - 1: content[-1]}.items()
    else:
        inner = ()
    for name, value in inner:
        yield (*above, name)
        yield from places(value, (*above, name))


def with_value(content, path, value):
    """The content with the entry at this path changed, or gone where `value` is `...`; the original stays."""
    inner = dict(content) if isinstance(content, dict) else list(content)
    if len(path) > 1:
        inner[path[0]] = with_value(inner[path[0]], path[1:], value)
    elif value is ...:
        del inner[path[0]]
    else:
        inner[path[0]] = value
    return inner


def curves(epoch):
    """Loss and accuracy of `epoch` epochs."""
    return {f"{split}_{what}": [0.5] * epoch for split in ("train", "val", "test") for what in ("loss", "acc")}


@functools.cache
def _weights():
    torch.manual_seed(0)
    return ViT(CONFIG).state_dict()


def plain_checkpoint(epoch=2, **changes):
    """What a run of `epoch` epochs saves, with some entries changed."""
    torch.manual_seed(0)
    weights = {name: value.clone() for name, value in _weights().items()}
    return {
        "format": 1, "weights": weights, "frozen": "", "config": config_to_plain(CONFIG),
        "class_names": ["AD", "CN"], "epoch": epoch, "stamps": [], "split_hash": "abc", "fingerprint": "def",
        "preprocessing": {"image_size": [8, 12], "fit": "scaled to fit, proportions kept, centred on black",
                          "crop_share": 1.0, "interpolation": "bilinear, antialiased", "channels": 1, "mean": [0.3],
                          "std": [0.2]},
        "optimizer": {"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.ones(2)}},
                      "param_groups": [{"lr": 0.1, "params": [0]}]},
        "schedule": {"step": 3}, "scaler": {}, "rng": rng_states(), "history": curves(epoch),
        "best": {"epoch": 1, "lowest": [0.1, 0.2]}, "seen": {"subjects": ["1"], "digests": ["ab"]},
        "extra": [{"learning_rate": 0.1, "train_seconds": 2.0}] * epoch,
    } | changes
