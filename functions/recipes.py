"""Flags over a recipe over defaults: every setting's value, checked, with where it came from."""

import argparse
from pathlib import Path

import yaml

from functions.settings import GROUPS, SETTINGS, in_words

RECIPES = Path(__file__).resolve().parent.parent / "recipes"
NOT_IN_RECIPES = {"name", "demo", "summary", "stop_after", "train_dir", "test_dir", "val_dir", "subjects"}
CHANGED_ON_RESUME = {"resume", "epochs", "stop_after", "summary", "num_workers"}


def read_recipe(path: Path) -> dict:
    """The settings a YAML file gives; ValueError, naming file and key, for what is no setting or no value of one."""
    if not path.is_file():
        known = ", ".join(sorted(recipe.name for recipe in RECIPES.glob("*.yaml")))
        raise ValueError(f"recipe {path}: no such file; recipes/ holds {known}")
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(f"recipe {path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(found, dict):
        raise ValueError(f"recipe {path} is not settings, one 'name: value' a line")
    values = {}
    for name, value in found.items():
        if name not in SETTINGS or name in NOT_IN_RECIPES:
            known = ", ".join(known for known in SETTINGS if known not in NOT_IN_RECIPES)
            raise ValueError(f'recipe {path}: "{name}" is not a setting that a recipe can give; those are {known}')
        values[name] = _checked(name, value, f"recipe {path}")
    return values


def _checked(name: str, value, where: str):
    setting = SETTINGS[name]
    if setting.convert is bool:
        if not isinstance(value, bool):
            raise ValueError(f"{where}: {name} is {value!r}, not true or false")
        return value
    if value is None:
        return setting.default
    try:
        return setting.convert(value)
    except (argparse.ArgumentTypeError, TypeError) as error:
        raise ValueError(f"{where}: {name}: {error}") from None


def resolve(flags: dict, demo: bool) -> tuple[argparse.Namespace, dict[str, str]]:
    """Every setting's value, flag > recipe > default, and where each came from ("flag", the recipe, "default")."""
    recipe = flags.get("recipe") or RECIPES / ("demo.yaml" if demo else "small_data.yaml")
    from_recipe = read_recipe(recipe)
    values = {name: setting.default for name, setting in SETTINGS.items()} | from_recipe | flags
    values["recipe"], values["demo"] = recipe, demo
    sources = {name: recipe.name if name in from_recipe else "default" for name in SETTINGS}
    sources |= dict.fromkeys(flags, "flag")
    return argparse.Namespace(**values), sources


def to_plain(settings: argparse.Namespace) -> dict:
    """Settings as JSON can hold them."""
    plain = {}
    for name, value in vars(settings).items():
        if name != "resume":
            value = str(value.absolute()) if isinstance(value, Path) else value
            plain[name] = list(value) if isinstance(value, tuple) else value
    return plain


def from_plain(values: dict, changes: dict) -> argparse.Namespace:
    """Settings read back from run.json, with those a resumed run may change; ValueError for any other change."""
    if fixed := sorted(set(changes) - CHANGED_ON_RESUME):
        allowed = ", ".join(f"--{name}" for name in sorted(CHANGED_ON_RESUME - {"resume"}))
        raise ValueError(f"--{fixed[0]} cannot change when a run is resumed (only {allowed} can): start a new run")
    restored = {name: _checked(name, value, "run.json") for name, value in values.items() if name in SETTINGS}
    if missing := set(SETTINGS) - set(restored):
        raise ValueError(f"run.json lacks the setting {sorted(missing)[0]}: start a new run")
    restored["recipe"] = Path(str(values.get("recipe")))
    restored["stop_after"] = None
    return argparse.Namespace(**restored | changes)


def describe(settings: argparse.Namespace, sources: dict[str, str]) -> list[str]:
    """What every setting resolved to, a group a line; values given by a flag carry a star."""
    lines = []
    for title, group in GROUPS.items():
        shown = [f"{s.name}={in_words(getattr(settings, s.name))}{'*' if sources.get(s.name) == 'flag' else ''}"
                 for s in group if getattr(settings, s.name) is not None]
        lines.append(f"  {title:13}{' '.join(shown)}")
    return lines
