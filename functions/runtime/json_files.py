"""Strict reading of JSON files, checked against a dataclass; errors name the file and the key."""

import json
import math
import sys
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from functions.runtime.errors import UserError, not_a_file, text_fault

MAX_NAME = 1000        # characters of a class's name or a stamp, which figures and tables show
NAMES = {int: "an integer", float: "a number", str: "text", bool: "true or false", NoneType: "null",
         dict: "an object", list: "a list"}

MAX_WHOLE = 2**53      # integers above it have no exact floating-point value, and none of ours is so large


def read_json(path: Path) -> dict:
    """The object in a JSON file; raises like `parse_json`."""
    if why := not_a_file(path):
        raise UserError(f"{path}: {why}")
    return parse_json(path.read_bytes(), path)


def parse_json(text: bytes, path: Path) -> dict:
    """The object in the UTF-8 text of a JSON file.

    Raises UserError, one line, for a file that is no JSON object, repeats a key, holds NaN, an infinity or a
    integer above 2**53 in magnitude, or a text that UTF-8 cannot hold or that contains a NUL.
    """
    try:
        content = json.loads(text.decode("utf-8"), parse_constant=_refuse_constant, parse_float=_finite,
                             object_pairs_hook=_without_repeated_keys)
        _check_values(content, path)
    except UserError:
        raise
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged ({_one_line(error)})") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} is damaged: it is not a JSON object")
    return content


def check(kind, content, path: Path, key: str = "") -> None:
    """Raises UserError, naming file and key, unless `content` has the type `kind`.

    `kind` is a dataclass (an object with its fields; fields with a default may be missing, additional keys are
    allowed), dict[str, X], list[X], a union, int, float (finite, integers included; null: nan), str, bool, None or
    object (any).
    """
    options = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    chosen = [option for option in options if _fits(option, content)]
    if not chosen:
        wanted = " or ".join(NAMES.get(get_origin(option) or option, "an object") for option in options)
        raise UserError(f"{path} is damaged: {_place(key)} is {_shown(content)}, not {wanted}")
    kind = chosen[0]
    if kind in (int, float) and type(content) is int and abs(content) >= MAX_WHOLE:
        raise UserError(f"{path} is damaged: {_place(key)} is {_shown(content)}, an integer above 2**53 in magnitude")
    if kind is float and content is not None and not abs(content) <= sys.float_info.max:
        raise UserError(f"{path} is damaged: {_place(key)} is {_shown(content)}, not a finite number")
    if is_dataclass(kind):
        _check_fields(kind, content, path, key)
    elif get_origin(kind) is dict:
        for name, value in content.items():
            check(get_args(kind)[1], value, path, _below(key, name))
    elif get_origin(kind) is list:
        for index, value in enumerate(content):
            check(get_args(kind)[0], value, path, f"{key}[{index}]")


def build(kind: Any, content: Any) -> Any:
    """An instance of the dataclass `kind`, and of those in it, from `content` that `check` has passed.

    null is nan for a float; entries that are no field are dropped.
    """
    options = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    kind = next(option for option in options if _fits(option, content))
    if isinstance(kind, type) and is_dataclass(kind):
        kinds = get_type_hints(kind)
        return kind(**{field.name: build(kinds[field.name], content[field.name]) for field in fields(kind)
                       if field.name in content})
    if get_origin(kind) is dict:
        return {name: build(get_args(kind)[1], value) for name, value in content.items()}
    if get_origin(kind) is list:
        return [build(get_args(kind)[0], value) for value in content]
    return math.nan if kind is float and content is None else content


def check_lengths(content: dict, most: dict[str, int], path: Path) -> None:
    """UserError for a text of more characters than `most` allows in the list of texts under its key."""
    for key, longest in most.items():
        for number, text in enumerate(content.get(key, [])):
            if fault := text_fault(text, longest):
                raise UserError(f"{path} is damaged: {_place(f'{key}[{number}]')} {fault}")


def _check_values(content, path: Path, key: str = "") -> None:
    """UserError for a text, or a name, that UTF-8 cannot hold or that contains a NUL, and for too large an integer."""
    if isinstance(content, str) and (fault := text_fault(content)):
        raise UserError(f"{path} is damaged: {_place(key)} {fault}")
    if isinstance(content, int) and abs(content) >= MAX_WHOLE:
        raise UserError(f"{path} is damaged: {_place(key)} is {_shown(content)}, an integer above 2**53 in magnitude")
    for name, value in content.items() if isinstance(content, dict) else ():
        _check_values(name, path, _below(key, name))
        _check_values(value, path, _below(key, name))
    for index, value in enumerate(content) if isinstance(content, list) else ():
        _check_values(value, path, f"{key}[{index}]")


def _fits(kind, content) -> bool:
    if is_dataclass(kind):
        return isinstance(content, dict)
    plain = get_origin(kind) or kind
    if plain is object:
        return True
    if isinstance(content, bool):
        return plain is bool
    return isinstance(content, (int, float, NoneType) if plain is float else plain)


def _check_fields(kind, content: dict, path: Path, key: str) -> None:
    kinds = get_type_hints(kind)
    for field in fields(kind):
        if field.name in content:
            check(kinds[field.name], content[field.name], path, _below(key, field.name))
        elif field.default is MISSING and field.default_factory is MISSING:
            raise UserError(f"{path} is damaged: {_place(_below(key, field.name))} is missing")


def _below(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _place(key: str) -> str:
    return f'"{key[:200]}"' if key else "the top level"


def _shown(content) -> str:
    text = repr(content)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _one_line(error: BaseException) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())[:200]


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number in JSON")


def _finite(digits: str) -> float:
    return float(digits) if math.isfinite(float(digits)) else _refuse_constant(digits[:40])


def _without_repeated_keys(pairs: list[tuple[str, object]]) -> dict:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f'"{next(name for name in names if names.count(name) > 1)}" is repeated')
    return content
