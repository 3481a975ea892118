"""The settings that slices were made with: from prepare_data's output into a checkpoint, from there to new volumes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_setup.volumes.slices import PERCENTILES, WINDOWS, Settings
from functions.runtime.errors import UserError

NAME = "preparation.json"       # in the output folder of tools/prepare_data.py, beside train, val and test
KEYS = ("volume_slices", "volume_size", "volume_spacing_mm", "volume_bits", "volume_window")
MAX_SIDE = 4096                 # pixels


def describe_preparation(settings: Settings) -> dict[str, Any]:
    """Plain types under KEYS: slices of a volume, their (height, width), mm per pixel, bits, window.

    Inverse: `settings_of`.
    """
    return dict(zip(KEYS, (settings.slices, list(settings.size), settings.spacing, settings.bits, settings.window),
                    strict=True))


def recorded_preparation(train_dir: Path) -> dict[str, Any]:
    """What NAME in a train folder, or beside it, records; {} without this file. UserError if it is damaged."""
    for file in (train_dir / NAME, train_dir.parent / NAME):
        if file.is_file():
            try:
                described = json.loads(file.read_text(encoding="utf-8"))
            except ValueError as error:
                raise UserError(f"{file} is damaged ({error}): run tools/prepare_data.py again") from None
            return describe_preparation(_settings(described if isinstance(described, dict) else {}, file))
    return {}


def settings_of(preprocessing: Mapping[str, Any], file: Path) -> Settings | None:
    """The settings in a checkpoint's preprocessing; None if prepare_data did not make its slices.

    UserError, with the checkpoint's `file`, if they are incomplete or impossible.
    """
    return _settings(preprocessing, file) if any(key in preprocessing for key in KEYS) else None


def _settings(described: Mapping[str, Any], file: Path) -> Settings:
    slices, size, spacing, bits, window = (described.get(key) for key in KEYS)
    window = PERCENTILES if window is None else window          # older files do not name it
    sides = list(size) if isinstance(size, (list, tuple)) else []
    if (type(slices) is not int or type(spacing) not in (int, float) or bits not in (8, 16) or len(sides) != 2
            or window not in WINDOWS
            or any(type(side) is not int or not 1 <= side <= MAX_SIDE for side in sides)):
        shown = ", ".join(f"{key} {str(described.get(key))[:20]}" for key in KEYS)
        raise UserError(f"{file}: no settings of slices of a volume: {shown}")
    try:
        return Settings(slices, (sides[0], sides[1]), float(spacing), int(bits), str(window))
    except UserError as error:
        raise UserError(f"{file}: {error}") from None
