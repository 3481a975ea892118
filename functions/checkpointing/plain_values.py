"""Checks of single values out of a checkpoint: numbers, texts, tensors. Each raises a UserError that names the key."""

import math
from collections.abc import Sequence
from types import NoneType

import torch
from torch import Tensor, nn

from functions.runtime.errors import UserError, text_fault
from functions.runtime.json_files import MAX_WHOLE

MAX_VALUE = 1e30        # of floating-point numbers: what is larger overflows fp32 as soon as it is squared
MAX_TEXT = 4096      # characters: a path


def finite(where: str, value: object) -> None:
    """A number of a size that fp32 and NumPy can compute with."""
    if not isinstance(value, (int, float)) or type(value) not in (int, float):
        raise wrong(where, value, "a finite number")
    if not abs(value) < MAX_WHOLE if type(value) is int else not (math.isfinite(value) and abs(value) <= MAX_VALUE):
        raise wrong(where, value, f"a finite number of at most {MAX_VALUE:g} (integers: below 2**53)")


def whole_number(where: str, value: object, least: int = 0, most: int = MAX_WHOLE - 1) -> None:
    """An integer from `least` to `most`."""
    if type(value) is not int or not least <= value <= most:
        raise wrong(where, value, f"an integer from {least} to {most}")


def text(where: str, value: object, most: int = MAX_TEXT) -> None:
    """Text that UTF-8 can hold, without NUL, of at most `most` characters."""
    if type(value) is not str:
        raise wrong(where, value, "text")
    if fault := text_fault(value, most):
        raise UserError(f"{where} {fault}")


def texts(where: str, values: object, most: int = MAX_TEXT) -> None:
    """A list of texts."""
    if type(values) is not list or any(type(value) is not str for value in values):
        raise wrong(where, values, "a list of texts")
    for value in values:
        text(where, value, most)


def plain(where: str, value: object) -> None:
    """Text, a number, true, false or None, or a list of these: what can be compared and shown."""
    for one in value if isinstance(value, (list, tuple)) and type(value) in (list, tuple) else [value]:
        if type(one) not in (str, int, float, bool, NoneType):
            raise wrong(where, one, "text, a number, or a list of these")
        if type(one) is str:
            text(where, one)
        elif type(one) in (int, float):
            finite(where, one)


def dense(where: str, value: object) -> None:
    """A plain tensor of real numbers that the file holds in full."""
    if not isinstance(value, Tensor):
        raise wrong(where, value, "a tensor")
    strided = type(value) in (Tensor, nn.Parameter) and value.layout == torch.strided
    if not strided or value.is_quantized or value.is_meta:
        raise UserError(f"{where} is not a plain, dense tensor")
    if value.is_complex():
        raise UserError(f"{where} holds complex numbers ({dtype_name(value)})")
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise UserError(f"{where} is {tuple(value.shape)}, more numbers than the file holds for it")


def not_below_zero(where: str, value: Tensor) -> None:
    """A tensor without negative numbers: a variance, or a count."""
    if (value < 0).any():
        raise UserError(f"{where} holds {value.min():.3g}, but must be non-negative")


def known_names(where: str, found: dict, required: Sequence[str], optional: Sequence[str] = ()) -> None:
    """A dictionary whose keys are the `required` ones, and none beside them and the `optional` ones."""
    for name in required:
        if name not in found:
            raise UserError(f"{where}.{name} is missing")
    for name in found:
        if name not in (*required, *optional):
            raise UserError(f"{where}.{key(name)} is unexpected; expected one of {', '.join((*required, *optional))}")


def wrong(where: str, value: object, expected: str) -> UserError:
    """The error for a value that is not the `expected` one."""
    return UserError(f"{where} is {type(value).__name__} {shown(value)}, not {expected}")


def shown(value: object) -> str:
    """A value for a message, never longer than a few words."""
    if type(value) is int and abs(value) >= MAX_WHOLE:          # thousands of digits are not shown, and Python refuses
        return f"of {value.bit_length()} bits"
    return repr(value)[:60] if isinstance(value, (str, int, float, complex, NoneType)) else "…"


def key(name: object) -> str:
    """A key for a message."""
    return name[:60] if isinstance(name, str) else shown(name)


def dtype_name(value: Tensor) -> str:
    """A tensor's kind of number, such as float32."""
    return str(value.dtype).removeprefix("torch.")
