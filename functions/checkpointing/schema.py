"""The schema of a checkpoint, checked key by key: types, finite numbers, consistent lengths.

Every check raises a UserError that names the key; the caller adds the file.
"""

import math
import random
from dataclasses import dataclass, field, fields
from types import NoneType

import numpy as np
import torch
from torch import Tensor, nn

from functions.runtime.errors import UserError

FORMAT = 1
MT19937 = 624        # numbers in the state of Python's and NumPy's generators


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

    def __post_init__(self):
        for entry in fields(self):
            value = getattr(self, entry.name)
            if not isinstance(value, entry.type) or isinstance(value, bool):
                raise _wrong(entry.name, value, entry.type.__name__)
        for name in ("class_names", "stamps"):
            _texts(name, getattr(self, name))
        if not self.class_names or len(set(self.class_names)) < len(self.class_names):
            raise UserError("class_names are empty, or hold one name twice")
        for where in ("config", "preprocessing"):
            for name, value in getattr(self, where).items():
                _plain(f"{where}.{_key(name)}", value)
        if self.config.get("num_classes") != len(self.class_names):
            raise UserError(f"config.num_classes is {_shown(self.config.get('num_classes'))}, there are "
                            f"{len(self.class_names)} class_names")
        if self.precision not in ("fp32", "bf16", "fp16"):
            raise UserError(f"precision is {_shown(self.precision)}, none of fp32, bf16, fp16")
        if self.epoch < 0:
            raise UserError(f"epoch is {self.epoch}")
        for name in ("subjects", "digests"):
            _texts(f"seen.{name}", self.seen.get(name))
        _texts("seen.folders", self.seen.get("folders", []))           # older checkpoints have none
        _whole_number("schedule.step", self.schedule.get("step"))
        self._check_preprocessing()
        self._check_results()
        _check_generators(self.rng)
        _check_optimizer(self.optimizer)
        for name, value in self.scaler.items():
            _finite(f"scaler.{_key(name)}", value)

    def _check_preprocessing(self) -> None:
        for name in ("mean", "std"):
            values = self.preprocessing.get(name)
            if not isinstance(values, (list, tuple)) or len(values) not in (1, 3):
                raise _wrong(f"preprocessing.{name}", values, "a list of one or three numbers")
            for value in values:
                _finite(f"preprocessing.{name}", value)
        if min(self.preprocessing["std"]) <= 0:
            raise UserError(f"preprocessing.std is {self.preprocessing['std']}: a standard deviation is above 0")
        channels = self.preprocessing.get("channels", self.config.get("in_channels"))
        if channels not in (1, 3) or channels != self.config.get("in_channels", channels):
            raise UserError(f"preprocessing.channels is {_shown(channels)}, config.in_channels "
                            f"{_shown(self.config.get('in_channels'))}")
        if len({channels} | {len(self.preprocessing[name]) for name in ("mean", "std")}) > 1:
            raise UserError(f"preprocessing.mean and std are not one number for each of {channels} channels")
        size = self.config.get("image_size")
        if list(self.preprocessing.get("image_size", size)) != list(size):
            raise UserError(f"preprocessing.image_size is not config.image_size, {size}")

    def _check_results(self) -> None:
        """Checks the losses and accuracies of every epoch, and the record of the best epoch."""
        for name, values in self.history.items():
            if type(name) is not str or type(values) is not list or len(values) != self.epoch:
                raise UserError(f"history.{_key(name)} is not a list of one number for each of {self.epoch} epochs")
            for value in values:
                _finite(f"history.{name}", value)
        if self.extra and len(self.extra) != self.epoch:
            raise UserError(f"extra has {len(self.extra)} entries for {self.epoch} epochs")
        for row in self.extra:
            if type(row) is not dict:
                raise _wrong("extra", row, "a list of dictionaries")
            for name, value in row.items():
                _finite(f"extra.{_key(name)}", value)
        if self.best:
            _whole_number("best.epoch", self.best.get("epoch"))
            lowest = self.best.get("lowest", [])
            if type(lowest) is not list:
                raise _wrong("best.lowest", lowest, "a list of numbers")
            for value in lowest:
                _finite("best.lowest", value)


def check_checkpoint(content: object) -> dict:
    """A checkpoint as it was read, its weights in fp32; UserError, naming the key, for anything that does not fit."""
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"not written by this project's training scripts (no format {FORMAT})")
    known = {entry.name for entry in fields(Checkpoint)}
    try:
        checked = Checkpoint(**{name: value for name, value in content.items() if name in known})
    except TypeError as error:
        raise UserError(f"not written by this project's training scripts ({str(error).split('__init__() ')[-1]})"
                        ) from None
    return vars(checked) | content | {"weights": check_weights(content["weights"])}


def check_weights(weights: object) -> dict[str, Tensor]:
    """Tensors by name: finite floats, converted to fp32, and integer counters; raises UserError otherwise."""
    if not isinstance(weights, dict):
        raise _wrong("weights", weights, "tensors by name")
    checked = {}
    for name, value in weights.items():
        if type(name) is not str or not isinstance(value, Tensor):
            raise UserError(f"weights.{_key(name)} is {type(value).__name__}, not a tensor")
        checked[name] = value
        _dense(f"weights.{name}", value)
        if value.is_floating_point():
            checked[name] = value.float()
            if not checked[name].isfinite().all():
                raise UserError(f"weights.{name} holds numbers that are not finite (NaN or infinite)")
            if name.endswith("running_var"):
                _not_below_zero(f"weights.{name}", checked[name])
        elif value.dtype != torch.int64 or value.ndim:
            raise UserError(f"weights.{name} holds {_type(value)}, expected floating-point numbers")
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
            raise UserError(f"weights.{name} holds {_type(value)}, the model in config has {_type(expected[name])}")


def check_optimizer_fits(state: dict, optimizer: torch.optim.Optimizer) -> None:
    """Raises UserError unless the state fits this kind of optimiser and the shapes of its parameters."""
    groups = optimizer.param_groups
    if [len(group["params"]) for group in state["param_groups"]] != [len(group["params"]) for group in groups]:
        raise UserError("optimizer.param_groups are of another model or another optimiser")
    for ours, theirs in zip(groups, state["param_groups"], strict=True):
        if missing := set(ours) - set(theirs):
            raise UserError(f"optimizer.param_groups lack {min(missing)}: they are of another optimiser")
    order = [number for group in state["param_groups"] for number in group["params"]]
    params = dict(zip(order, [p for group in groups for p in group["params"]], strict=True))
    for number, entries in state["state"].items():
        if number not in params:
            raise UserError(f"optimizer.state has an entry {number} without a parameter")
        for name, value in entries.items():
            if isinstance(value, Tensor) and value.ndim and value.shape != params[number].shape:
                raise UserError(f"optimizer.state.{number}.{name} is {tuple(value.shape)}, the parameter "
                                f"{tuple(params[number].shape)}")


def _check_optimizer(optimizer: dict) -> None:
    state, groups = optimizer.get("state"), optimizer.get("param_groups")
    if type(state) is not dict or type(groups) is not list or any(type(group) is not dict for group in groups):
        raise UserError("optimizer is not the state of an optimiser: state by number, param_groups as a list")
    numbers = [group.get("params") for group in groups]
    if any(type(group) is not list or any(type(number) is not int for number in group) for group in numbers):
        raise UserError("optimizer.param_groups.params are not lists of whole numbers")
    if len(set(flat := [number for group in numbers for number in group])) < len(flat):
        raise UserError("optimizer.param_groups.params name one parameter twice")
    for group in groups:
        for name, value in group.items():
            if type(value) in (int, float, complex):
                _finite(f"optimizer.param_groups.{_key(name)}", value)
    for number, entries in state.items():
        if type(number) is not int or type(entries) is not dict:
            raise UserError(f"optimizer.state.{_key(number)} is not a dictionary under a parameter's number")
        for name, value in entries.items():
            where = f"optimizer.state.{number}.{_key(name)}"
            if isinstance(value, Tensor):
                _dense(where, value)
                if not value.is_floating_point() or not value.isfinite().all():
                    raise UserError(f"{where} holds numbers that are not finite floating-point numbers")
            elif value is not None:
                _finite(where, value)
            if value is not None and name in ("step", "exp_avg_sq", "max_exp_avg_sq"):     # their roots are taken
                _not_below_zero(where, torch.as_tensor(value))


def _check_generators(rng: dict) -> None:
    """Checks the generator states as written by `functions.runtime.device.rng_states`."""
    python, numpy, here, cuda = (rng.get(name) for name in ("python", "numpy", "torch", "cuda"))
    try:
        version, internal, gauss = python
        random.Random().setstate((version, tuple(internal), gauss))
    except (TypeError, ValueError, OverflowError):
        raise UserError("rng.python is not the state of Python's generator") from None
    try:
        name, keys, position, has_gauss, cached = numpy
        if len(keys) != MT19937 or not 0 <= position <= MT19937:
            raise ValueError
        np.random.RandomState().set_state((name, np.array(keys, dtype=np.uint32), position, has_gauss, cached))
    except (TypeError, ValueError, OverflowError):
        raise UserError("rng.numpy is not the state of NumPy's generator") from None
    if type(cuda) is not list:
        raise UserError("rng.cuda is not a list of generators' states")
    apple = [("mps", rng["mps"])] if rng.get("mps") is not None else []
    for name, state in (("torch", here), *apple, *(("cuda", state) for state in cuda)):
        if not isinstance(state, Tensor) or state.dtype != torch.uint8 or state.ndim != 1:
            raise UserError(f"rng.{name} is not the state of a generator: bytes")
    try:
        torch.Generator().set_state(here)
    except (RuntimeError, TypeError):
        raise UserError("rng.torch is not the state of torch's generator") from None


def _dense(where: str, value: Tensor) -> None:
    plain = type(value) in (Tensor, nn.Parameter) and value.layout == torch.strided
    if not plain or value.is_quantized or value.is_meta:
        raise UserError(f"{where} is not a plain, dense tensor")
    if value.is_complex():
        raise UserError(f"{where} holds complex numbers ({_type(value)})")
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise UserError(f"{where} is {tuple(value.shape)}, more numbers than the file holds for it")


def _finite(where: str, value: object) -> None:
    if type(value) not in (int, float, bool) or not math.isfinite(value):
        raise _wrong(where, value, "a finite number")


def _not_below_zero(where: str, value: Tensor) -> None:
    if (value < 0).any():
        raise UserError(f"{where} holds {value.min():.3g}, below 0, which is not a valid variance or count")


def _plain(where: str, value: object) -> None:
    """Checks for text, a number, true, false or None, or a list of these."""
    for one in value if type(value) in (list, tuple) else [value]:
        if type(one) not in (str, int, float, bool, NoneType):
            raise _wrong(where, one, "text, a number, or a list of these")


def _whole_number(where: str, value: object) -> None:
    if type(value) is not int or value < 0:
        raise _wrong(where, value, "a whole number of at least 0")


def _texts(where: str, values: object) -> None:
    if type(values) is not list or any(type(value) is not str for value in values):
        raise _wrong(where, values, "a list of texts")


def _wrong(where: str, value: object, expected: str) -> UserError:
    return UserError(f"{where} is {type(value).__name__} {_shown(value)}, not {expected}")


def _shown(value: object) -> str:
    return repr(value)[:60] if isinstance(value, (str, int, float, complex, bool, type(None))) else "…"


def _key(name: object) -> str:
    return name[:60] if isinstance(name, str) else _shown(name)


def _type(value: Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")
