"""The schema of a checkpoint, checked key by key: types, finite numbers, consistent lengths.

Every check raises a UserError that names the key; the caller adds the file.
"""

import math
import random
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

import torch
from torch import Tensor

from functions.checkpointing.optimizer_state import check_optimizer
from functions.checkpointing.plain_values import (
    dense,
    dtype_name,
    finite,
    key,
    known_names,
    not_below_zero,
    plain,
    shown,
    text,
    texts,
    whole_number,
    wrong,
)
from functions.checkpointing.run_tables import CURVES, TEST_CURVES
from functions.runtime.errors import UserError
from functions.runtime.json_files import MAX_NAME

FORMAT = 1
MT19937 = 624        # numbers in the state of Python's and NumPy's generators
MAX_STAMPS = 100
EPOCH_FACTS = (*(f"{split}_balanced_acc" for split in ("train", "val", "test")), "learning_rate", "train_waited")
SCALER = ("scale", "growth_factor", "backoff_factor", "growth_interval", "_growth_tracker")


@dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint under its stored keys; raises UserError for invalid values."""

    format: int
    weights: dict
    config: dict
    class_names: list
    preprocessing: dict
    epoch: int
    optimizer: dict
    schedule: dict
    scaler: dict
    rng: dict
    history: dict
    best: dict
    frozen: str = ""
    run_id: str = ""          # as in run.json; older checkpoints have none
    split_hash: str = ""
    fingerprint: str = ""
    stamps: list = field(default_factory=list)
    precision: str = "fp32"
    seen: dict = field(default_factory=lambda: {"subjects": [], "digests": []})
    extra: list = field(default_factory=list)
    unaveraged: dict = field(default_factory=dict)        # the run's own weights where `weights` are averages (--ema)

    def __post_init__(self):
        for entry in fields(self):
            value = getattr(self, entry.name)
            kind: Any = entry.type
            if not isinstance(value, kind) or isinstance(value, bool):
                raise wrong(entry.name, value, kind.__name__)
            if entry.type is str:
                text(entry.name, value)
        for name in ("class_names", "stamps"):
            texts(name, getattr(self, name), MAX_NAME)
        if not self.class_names or len(set(self.class_names)) < len(self.class_names):
            raise UserError("class_names are empty, or hold one name twice")
        if len(self.stamps) > MAX_STAMPS:
            raise UserError(f"stamps are {len(self.stamps)}, more than {MAX_STAMPS}")
        for where in ("config", "preprocessing"):
            for name, value in getattr(self, where).items():
                text(f"{where}: a key", name)
                plain(f"{where}.{key(name)}", value)
        if self.config.get("num_classes") != len(self.class_names):
            raise UserError(f"config.num_classes is {shown(self.config.get('num_classes'))}, there are "
                            f"{len(self.class_names)} class_names")
        if self.precision not in ("fp32", "bf16", "fp16"):
            raise UserError(f"precision is {shown(self.precision)}, none of fp32, bf16, fp16")
        whole_number("epoch", self.epoch, least=1)
        for name in ("subjects", "digests"):
            texts(f"seen.{name}", self.seen.get(name))
        texts("seen.folders", self.seen.get("folders", []))           # older checkpoints have none
        whole_number("schedule.step", self.schedule.get("step"))
        self._check_preprocessing()
        self._check_results()
        if self.unaveraged:
            known_names("unaveraged", self.unaveraged, ("weights", "updates"))
            whole_number("unaveraged.updates", self.unaveraged["updates"])
        _check_generators(self.rng)
        check_optimizer(self.optimizer)
        _check_scaler(self.scaler)

    def _check_preprocessing(self) -> None:
        for name in ("mean", "std"):
            values = self.preprocessing.get(name)
            if not isinstance(values, (list, tuple)) or len(values) not in (1, 3):
                raise wrong(f"preprocessing.{name}", values, "a list of one or three numbers")
            for value in values:
                finite(f"preprocessing.{name}", value)
        if min(self.preprocessing["std"]) <= 0:
            raise UserError(f"preprocessing.std is {self.preprocessing['std']}: a standard deviation is above 0")
        channels = self.preprocessing.get("channels")
        if type(channels) is not int or channels not in (1, 3) or channels != self.config.get("in_channels"):
            raise UserError(f"preprocessing.channels is {shown(channels)}, config.in_channels "
                            f"{shown(self.config.get('in_channels'))}: one integer, 1 or 3, in both")
        if len({channels} | {len(self.preprocessing[name]) for name in ("mean", "std")}) > 1:
            raise UserError(f"preprocessing.mean and std are not one number for each of {channels} channels")
        of_model, of_images = (part.get("image_size") for part in (self.config, self.preprocessing))
        kinds = {type(of_model), type(of_images)}
        if not (isinstance(of_model, (list, tuple)) and isinstance(of_images, (list, tuple))
                and kinds <= {list, tuple} and list(of_model) == list(of_images)):
            raise UserError(f"preprocessing.image_size is not config.image_size, {str(of_model)[:60]}")

    def _check_results(self) -> None:
        """Losses and accuracies of every epoch, and what the selection knows of the best one."""
        tested = not self.history.keys().isdisjoint(TEST_CURVES)
        known_names("history", self.history, (*CURVES, *TEST_CURVES) if tested else CURVES)
        for name, values in self.history.items():
            if type(values) is not list or len(values) != self.epoch:
                raise UserError(f"history.{name} is not a list of one number for each of {self.epoch} epochs")
            for value in values:
                finite(f"history.{name}", value)
        if self.extra and len(self.extra) != self.epoch:
            raise UserError(f"extra has {len(self.extra)} entries for {self.epoch} epochs")
        for row in self.extra:
            if type(row) is not dict:
                raise wrong("extra", row, "a list of dictionaries")
            known_names("extra", row, ("train_seconds",), EPOCH_FACTS)
            for name, value in row.items():
                finite(f"extra.{name}", value)
        whole_number("best.epoch", self.best.get("epoch"), 1, self.epoch)
        if "lowest" in self.best:                                     # the oldest checkpoints have none
            lowest = self.best["lowest"]
            if type(lowest) is not list or not lowest:
                raise wrong("best.lowest", lowest, "a list of one number for each validation patient")
            for value in lowest:
                finite("best.lowest", value)


def check_checkpoint(content: object) -> dict:
    """A checkpoint as it was read, its weights in fp32; UserError, naming the key, for anything that does not fit."""
    if not isinstance(content, dict) or type(content.get("format")) is not int or content["format"] != FORMAT:
        raise UserError(f"not written by this project's training scripts (no format {FORMAT})")
    for entry in fields(Checkpoint):
        if entry.name not in content and entry.default is MISSING and entry.default_factory is MISSING:
            raise UserError(f"not written by this project's training scripts ({entry.name} is missing)")
    known = {entry.name for entry in fields(Checkpoint)}
    checked = Checkpoint(**{name: value for name, value in content.items() if name in known})
    weights, own = check_weights(checked.weights), dict(checked.unaveraged)
    if own:
        own["weights"] = check_weights(own["weights"], "unaveraged.weights")
        try:
            check_shapes(weights | own["weights"], weights)
        except UserError as error:
            raise UserError(f"unaveraged.{error}") from None
    return vars(checked) | content | {"weights": weights, "unaveraged": own}


def check_weights(weights: object, entry: str = "weights") -> dict[str, Tensor]:
    """Tensors by name: finite floats, converted to fp32, and integer counters; raises UserError otherwise."""
    if not isinstance(weights, dict):
        raise wrong(entry, weights, "tensors by name")
    checked = {}
    for name, value in weights.items():
        text(f"{entry}: a name", name)
        where = f"{entry}.{key(name)}"
        dense(where, value)
        checked[name] = value
        if value.is_floating_point():
            checked[name] = value.float()
            if not checked[name].isfinite().all():
                raise UserError(f"{where} holds numbers that are not finite (NaN or infinite)")
            if name.endswith("running_var"):
                not_below_zero(where, checked[name])
        elif value.dtype != torch.int64 or value.ndim:
            raise UserError(f"{where} holds {dtype_name(value)}, expected floating-point numbers")
    return checked


def check_shapes(weights: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Raises UserError, naming the tensor, unless `weights` match the names, shapes and kinds of `expected`."""
    for name in sorted(expected.keys() ^ weights.keys()):
        raise UserError(f"weights.{name} is {'missing' if name in expected else 'not part of the model in config'}")
    for name, value in weights.items():
        if value.shape != expected[name].shape:
            raise UserError(f"weights.{name} is {tuple(value.shape)}, the model in config has "
                            f"{tuple(expected[name].shape)}")
        if value.is_floating_point() != expected[name].is_floating_point():
            raise UserError(f"weights.{name} holds {dtype_name(value)}, the model in config has "
                            f"{dtype_name(expected[name])}")


def _check_scaler(scaler: dict) -> None:
    """The state of fp16's GradScaler; empty at other precisions."""
    if scaler:
        known_names("scaler", scaler, SCALER)
        for name in SCALER[:3]:
            finite(f"scaler.{name}", scaler[name])
            if scaler[name] <= 0:
                raise wrong(f"scaler.{name}", scaler[name], "above 0")
        whole_number("scaler.growth_interval", scaler["growth_interval"], 1, 2**31 - 1)
        whole_number("scaler._growth_tracker", scaler["_growth_tracker"], 0, 2**31 - 1)


def _check_generators(rng: dict) -> None:
    """The states of Python's, NumPy's and torch's generators, as `functions.runtime.device.rng_states` writes them."""
    if not _is_python_state(rng.get("python")):
        raise UserError("rng.python is not the state of Python's generator")
    if not _is_numpy_state(rng.get("numpy")):
        raise UserError("rng.numpy is not the state of NumPy's generator")
    here: Any = rng.get("torch")
    cuda = rng.get("cuda")
    if type(cuda) is not list:
        raise UserError("rng.cuda is not a list of generators' states")
    apple = [("mps", rng["mps"])] if rng.get("mps") is not None else []
    for name, state in (("torch", here), *apple, *(("cuda", state) for state in cuda)):
        dense(f"rng.{name}", state)
        if state.dtype != torch.uint8 or state.ndim != 1:
            raise UserError(f"rng.{name} is not the state of a generator: bytes")
    try:
        torch.Generator().set_state(here)
    except (RuntimeError, TypeError):
        raise UserError("rng.torch is not the state of torch's generator") from None


def _is_python_state(state: Any) -> bool:
    if type(state) not in (list, tuple) or [type(part) for part in state[:2]] != [int, list] or len(state) != 3:
        return False
    version, internal, gauss = state
    if not _are_words(internal) or not (gauss is None or _is_normal(gauss)):
        return False
    try:
        random.Random().setstate((version, tuple(internal), gauss))
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def _is_numpy_state(state: Any) -> bool:
    if type(state) not in (list, tuple) or [type(part) for part in state[:4]] != [str, list, int, int]:
        return False
    name, keys, position, has_gauss = state[:4]
    return (name == "MT19937" and _are_words(keys) and len(keys) == MT19937 and 0 <= position <= MT19937
            and has_gauss in (0, 1) and len(state) == 5 and _is_normal(state[4]))


def _are_words(numbers: list) -> bool:
    """Whether all are integers of 32 bits."""
    return all(type(number) is int and 0 <= number < 2**32 for number in numbers)


def _is_normal(value: object) -> bool:
    return type(value) is float and math.isfinite(value)
