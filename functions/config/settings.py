"""The settings of the training scripts. Does not import torch, so that --help is fast."""

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

# Upper bounds, well above any trained model: a typing error gives a message instead of exhausting the memory. They do
# not exceed those of ViTConfig, which also apply to checkpoints.
MAX_PIXELS = 4096          # per side of the image
MAX_LAYERS = 1000          # ViT-22B (Dehghani et al. 2023) has 48
MAX_WIDTH = 2**16          # of embedding and MLP: ViT-22B's are 6,144 and 24,576
MAX_HEADS = 1024
MAX_WORKERS = 256          # each is a process
MAX_VIEWS = 1000
MAX_COUNT = 10**9         # of epochs, steps, slices per batch, classes
MIN_ALPHA, MAX_ALPHA = 0.01, 100     # of mixup and CutMix


def image_size(text: str | int) -> tuple[int, int]:
    """"224" → (224, 224); "208x176" → (208, 176), height first."""
    if isinstance(text, (list, tuple)):
        text = "x".join(map(str, text))
    try:
        sides = [] if "_" in str(text) else [int(side) for side in str(text).lower().split("x")]
    except ValueError:
        sides = []
    if len(sides) == 1:
        sides *= 2
    if len(sides) != 2 or min(sides) < 1 or max(sides) > MAX_PIXELS:
        raise argparse.ArgumentTypeError(f'"{short(text)}" is not an image size: write 224 or HEIGHTxWIDTH such as '
                                         f"208x176, each at most {MAX_PIXELS:,} pixels")
    return sides[0], sides[1]


def _number(kind: type, low: float, high: float = float("inf")):
    def convert(text):
        try:
            value = None if "_" in str(text) else kind(str(text))       # 1_000 is Python syntax only
        except ValueError:
            value = None
        if value is None or not low <= value <= high or value == float("inf"):
            noun = "an integer" if kind is int else "a number"
            limit = f"of at least {low:g}" if high == float("inf") else f"between {low:,g} and {high:,.10g}"
            raise argparse.ArgumentTypeError(f'"{short(text)}" is not {noun} {limit}')
        return value

    return convert


def count(text: str) -> int:
    """An integer of at least 1."""
    return _number(int, 1)(text)


def seed(text: str) -> int:
    """An integer from 0 to 2^31."""
    return _number(int, 0, 2**31)(text)


def share(text: str) -> float:
    """A share between 0 and 1, both excluded."""
    value = _number(float, 0, 1)(text)
    if value in (0, 1):
        raise argparse.ArgumentTypeError(f'"{short(text)}" is not between 0 and 1, both excluded')
    return value


def mixing_alpha(text) -> float:
    """0 (off), or the parameter of a Beta distribution, which cannot be sampled in fp32 far below 0.01."""
    value = _number(float, 0, MAX_ALPHA)(text)
    if 0 < value < MIN_ALPHA:
        raise argparse.ArgumentTypeError(f'"{short(text)}" is not 0 (off), or a number between {MIN_ALPHA:g} and '
                                         f"{MAX_ALPHA:g}")
    return value


def short(text) -> str:
    """A value as text for a message, truncated if it is long."""
    text = str(text)
    return text if len(text) <= 60 else f"{text[:57]}..."


def channels(text: str | int) -> int:
    """1 (gray) or 3 (RGB)."""
    if str(text) not in ("1", "3"):
        raise argparse.ArgumentTypeError(f'"{short(text)}" channels: images have 1 (gray) or 3 (RGB)')
    return int(text)


def _one_of(*choices: str):
    def convert(text):
        if text not in choices:
            raise argparse.ArgumentTypeError(f'"{short(text)}" is none of {", ".join(choices)}')
        return text

    return convert


def trained_part(text: str) -> str:
    """"head", "last:K" (the last K blocks and the head) or "all"."""
    if not re.fullmatch(r"head|all|last:[1-9]\d{0,3}", str(text)):
        raise argparse.ArgumentTypeError(f'"{short(text)}" is none of head, last:K (K blocks, such as last:2), all')
    return text


def device_name(text: str) -> str:
    """"auto", "cpu", "cuda", "cuda:N" or "mps"."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d{1,3})?|mps", str(text)):
        raise argparse.ArgumentTypeError(f'"{short(text)}" is none of auto, cpu, cuda, cuda:N (the GPU of number N), '
                                         "mps")
    return text


def subjects_source(text: str) -> str | Path:
    """"auto" or a file; a file named auto is written "./auto"."""
    return "auto" if str(text) == "auto" else Path(text)


def name_and_values(tune: str) -> tuple[str, list[str]]:
    """The setting and its values of a --tune, such as lr=1e-4,1e-3."""
    name, _, values = tune.partition("=")
    return name.lstrip("-"), values.split(",")


def weights_source(text: str) -> str | Path:
    """"random", a torchvision name such as IMAGENET1K_V1, hf:OWNER/NAME or timm:NAME, or a file or folder."""
    return str(text) if re.fullmatch(r"random|[A-Z0-9_]+|(hf|timm):.*", str(text)) else Path(text)


def channel_values(positive: bool):
    """A converter for one number, or one per channel: "0.5" → (0.5,); "0.485,0.456,0.406" → (0.485, 0.456, 0.406)."""
    def convert(text) -> tuple[float, ...]:
        parts = text if isinstance(text, (list, tuple)) else str(text).replace(",", " ").split()
        try:
            values = tuple(float(str(part)) for part in parts)          # true is not 1
        except (TypeError, ValueError):
            values = ()
        low = 0.0 if positive else float("-inf")
        if len(values) not in (1, 3) or not all(low < value < float("inf") for value in values):
            kind = "above 0" if positive else "that are finite"
            raise argparse.ArgumentTypeError(f'"{short(text)}" is not one number, or three separated by commas, {kind}')
        return values

    return convert


def format_value(value) -> str:
    """A value as its flag accepts it; a bare file name is prefixed with ./, to distinguish it from "auto"."""
    if isinstance(value, Path) and not value.is_absolute() and len(value.parts) == 1:
        return f"./{value}"
    if isinstance(value, tuple) and isinstance(value[0], float):
        return ",".join(f"{number:g}" for number in value)
    return f"{value[0]}x{value[1]}" if isinstance(value, tuple) else str(value)


class Setting(NamedTuple):
    """One setting: flag name, converter from text (bool: an on/off flag), default, help text."""

    name: str
    convert: Callable[[Any], Any]
    default: Any
    help: str


RUN = [
    Setting("epochs", _number(int, 1, MAX_COUNT), 10, "number of passes over the training slices"),
    Setting("name", str, None, "name of the run folder under runs/ (an existing one is never overwritten)"),
    Setting("seed", seed, 0, "random seed of split, weights, data order and augmentation"),
    Setting("precision", _one_of("auto", "fp32", "bf16", "fp16"), "auto",
            "auto (fp32 on CPU, bf16 or fp16 on GPU), fp32, bf16, fp16"),
    Setting("device", device_name, "auto", "auto (a GPU if available), cpu, cuda, cuda:N, mps"),
    Setting("deterministic", bool, False, "bitwise reproducible on a GPU; slower (on a CPU, runs always are)"),
    Setting("compile", bool, False, "torch.compile the model"),
    Setting("summary", bool, False, "print torchinfo's summary of the model"),
    Setting("checkpoint_activations", bool, False, "activation checkpointing: less memory, a third more computation"),
    Setting("shard", bool, False, "with torchrun: shard the weights over the processes (FSDP2)"),
    Setting("profile", _number(int, 1, MAX_COUNT), None, "profile this many steps: a trace and the ten slowest calls"),
    Setting("stop_after", _number(int, 1, MAX_COUNT), None, "pause after this epoch; continue with --resume"),
    Setting("hide_test", bool, False, "score test patients only at the end: no test curves"),
    Setting("tensorboard", bool, False, "write the columns of results.csv for TensorBoard too, into the run folder"),
    Setting("wandb", bool, False, "log the columns of results.csv to Weights & Biases too"),
]
DATA = [
    Setting("train_dir", Path, None, "class folders to train on (default: data/train, else the phantom)"),
    Setting("test_dir", Path, None, "class folders to test on (default: data/test, else split from train by patient)"),
    Setting("val_dir", Path, None, "class folders to select on (default: data/val, else split from train by patient)"),
    Setting("demo", bool, False, "train on the phantom: generated brains with known labels"),
    Setting("split", str, "auto",
            "auto (existing folders, split again by patient if they overlap), folder, patient, slice, a CSV"),
    Setting("subjects", subjects_source, None,
            "CSV with columns path, subject: the patient of each file; auto: inferred from the pixels"),
    Setting("table", Path, None, "clinical table: CSV or TSV with the patients' class, age, sex, site, scanner; "
            "balances new splits, and gives the classes of folders without class folders"),
    Setting("subject_pattern", str, None, r'regex on the path with a group "subject", e.g. "(?P<subject>pat\d+)"'),
    Setting("num_workers", _number(int, 0, MAX_WORKERS), 2,
            "worker processes that read slices when they do not fit in memory"),
]
AUGMENT = "augmentation: small random rotation, shift, scale, flip and intensity changes in training"
MIXING = [
    Setting("mixup", mixing_alpha, 0.0, "blend pairs of training slices, in shares drawn from Beta(X, X) (0: off)"),
    Setting("cutmix", mixing_alpha, 0.0, "paste a box of one training slice into another, its share drawn from "
            "Beta(X, X) (0: off); with --mixup, either at random in each batch"),
]
NUM_CLASSES = Setting("num_classes", _number(int, 1, MAX_COUNT), None, "required number of classes")
DROP_PATH = Setting("drop_path", _number(float, 0, 0.99), 0.0, "stochastic depth: rate at which residual branches are "
                    "left out in training, in the last layer; rising linearly from 0 in the first")
MODEL = [
    Setting("model", str, "vit_b_16", "vit_ti_16, vit_s_8, vit_s_14, vit_s_16, vit_s_32, vit_b_8, vit_b_14, vit_b_16, "
            "vit_b_32, vit_l_14, vit_l_16, vit_l_32, vit_h_14, or a hybrid: r50_vit_b_16, r26_vit_b_32, r_vit_ti_16"),
    Setting("image_size", image_size, (224, 224), "pixels: 224, or HEIGHTxWIDTH such as 208x176"),
    Setting("in_channels", channels, 3, "1: gray, 3: RGB"),
    Setting("patch_size", _number(int, 1, MAX_PIXELS), None, "patch size P (default: the model's; fixed in a hybrid)"),
    Setting("num_transformer_layer", _number(int, 1, MAX_LAYERS), None, "number of layers L (default: the model's)"),
    Setting("embedding_dim", _number(int, 1, MAX_WIDTH), None, "embedding width D (default: the model's)"),
    Setting("mlp_size", _number(int, 1, MAX_WIDTH), None, "width of the MLP (default: the model's)"),
    Setting("num_heads", _number(int, 1, MAX_HEADS), None, "number of attention heads (default: the model's)"),
    NUM_CLASSES,
    Setting("dropout", _number(float, 0, 0.99), 0.0,
            "dropout rate, after every dense layer except qkv, and after the positions"),
    DROP_PATH,
]
PRETRAINED = [
    Setting("model", str, "vit_b_16", "vit_ti_16, vit_s_8, vit_s_14, vit_s_16, vit_s_32, vit_b_8, vit_b_14, vit_b_16, "
            "vit_b_32, vit_l_14, vit_l_16, vit_l_32, vit_h_14, resnet18 or resnet50"),
    Setting("weights", weights_source, "DEFAULT", "a torchvision name, a file (.pth, .safetensors, .npz), a folder of "
            "transformers, timm or open_clip, hf:OWNER/NAME or timm:NAME on the Hugging Face Hub, or random"),
    Setting("pool", _one_of("cls", "mean"), None, "features: the class token or the mean over patches (default: the "
            "weights')"),
    Setting("backbone", _one_of("auto", "torchvision", "ours"), "auto", "ours: the hand-written ViT, same weights "
            "(auto: torchvision's code for the sizes it has weights of)"),
    Setting("train", trained_part, "head", "head (backbone frozen), last:K (last K blocks and the head), all"),
    Setting("image_size", image_size, None, "pixels (default: the weights'); position embeddings are interpolated"),
    Setting("in_channels", channels, 3, "1: gray, the RGB kernel summed; 3: RGB"),
    Setting("mean", channel_values(positive=False), None, "0.5 or 0.485,0.456,0.406 (default: the weights')"),
    Setting("std", channel_values(positive=True), None, "0.5 or 0.229,0.224,0.225 (default: the weights')"),
    NUM_CLASSES,
    Setting("cache", bool, True, "compute the features of a frozen backbone once and store them on disk"),
    Setting("views", _number(int, 1, MAX_VIEWS), 4,
            "with a frozen backbone and --augment: number of augmented views per slice"),
    DROP_PATH,
]
OPTIMISATION = [
    Setting("batch_size", _number(int, 1, MAX_COUNT), 32, "slices per batch and process"),
    Setting("accumulation", _number(int, 1, MAX_COUNT), 1, "gradient accumulation: batches per step"),
    Setting("optimizer", _one_of("adamw", "adam", "sgd"), "adamw",
            "adamw (decay on matrices only), adam (L2), sgd (momentum 0.9)"),
    Setting("lr", _number(float, 0), 3e-4, "peak learning rate"),
    Setting("weight_decay", _number(float, 0), 0.05, "decoupled decay of AdamW; L2 penalty of Adam and SGD"),
    Setting("schedule", _one_of("cosine", "linear", "constant", "linear_lr"), "cosine",
            "cosine, linear, constant, linear_lr (torch's LinearLR with its defaults)"),
    Setting("warmup_share", _number(float, 0, 1), 0.1, "share of all steps used for learning-rate warm-up"),
    Setting("clip_norm", _number(float, 0), 1.0, "largest global gradient norm (0: no clipping)"),
    Setting("label_smoothing", _number(float, 0, 0.99), 0.0, "share of the target distributed over all classes"),
    Setting("class_weights", _one_of("none", "sqrt", "balanced"), "none", "sqrt: 1/sqrt(n), balanced: 1/n"),
    Setting("ema", _number(float, 0, 0.999999), 0.0,
            "score and select an exponential moving average of the weights, with this decay per step (0: off)"),
]


class Script(NamedTuple):
    """The settings of one training script, with its default run name and its default recipes."""

    run_name: str
    groups: dict[str, list[Setting]]
    recipe: str
    demo_recipe: str

    @property
    def settings(self) -> dict[str, Setting]:
        """All settings by name."""
        return {setting.name: setting for group in self.groups.values() for setting in group}


SCRATCH = Script("ViTModel", {
    "run": RUN,
    "data": [*DATA, Setting("augment", bool, True, AUGMENT), *MIXING],
    "model": MODEL,
    "optimisation": OPTIMISATION,
}, "small_data.yaml", "demo.yaml")

TRANSFER = Script("ViTModelTransferLearning", {
    "run": [*RUN, Setting("steps", _number(int, 1, MAX_COUNT), None, "optimiser steps in total, instead of --epochs")],
    "data": [*DATA, Setting("augment", bool, False, AUGMENT), *MIXING],
    "pretrained": PRETRAINED,
    "optimisation": [*OPTIMISATION, Setting("layer_decay", _number(float, 0, 1), 0.75,
                                            "learning-rate factor from each block to the block below it")],
}, "transfer_small_data.yaml", "transfer_small_data.yaml")
