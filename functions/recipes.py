"""Flags over a recipe over defaults: every setting's value, checked, with where it came from."""

import argparse
from pathlib import Path

import yaml

from functions.errors import UserError
from functions.settings import Script, Setting, in_words

RECIPES = Path(__file__).resolve().parent.parent / "recipes"
NOT_IN_RECIPES = {"name", "demo", "summary", "stop_after", "profile", "train_dir", "test_dir", "val_dir", "subjects"}
CHANGED_ON_RESUME = {"resume", "epochs", "stop_after", "summary", "num_workers", "profile", "checkpoint_activations",
                     "shard"}


def read_recipe(path: Path, script: Script) -> dict:
    """The settings a YAML file gives a script; ValueError, naming file and key, for what is no setting or no value."""
    if not path.is_file():
        known = ", ".join(sorted(recipe.name for recipe in RECIPES.glob("*.yaml")))
        raise UserError(f"recipe {path}: no such file; recipes/ holds {known}")
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"recipe {path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(found, dict):
        raise UserError(f"recipe {path} is not settings, one 'name: value' a line")
    values = {}
    for name, value in found.items():
        if name not in script.settings or name in NOT_IN_RECIPES:
            known = ", ".join(known for known in script.settings if known not in NOT_IN_RECIPES)
            raise UserError(f'recipe {path}: "{name}" is not a setting that a recipe can give; those are {known}')
        values[name] = _checked(script.settings[name], value, f"recipe {path}")
    return values


def _checked(setting: Setting, value, where: str):
    if setting.convert is bool:
        if not isinstance(value, bool):
            raise UserError(f"{where}: {setting.name} is {value!r}, not true or false")
        return value
    if value is None:
        return setting.default
    try:
        return setting.convert(value)
    except (argparse.ArgumentTypeError, TypeError) as error:
        raise UserError(f"{where}: {setting.name}: {error}") from None


def resolve(flags: dict, demo: bool, script: Script) -> tuple[argparse.Namespace, dict[str, str]]:
    """Every setting's value, flag > recipe > default, and where each came from ("flag", the recipe, "default")."""
    recipe = flags.get("recipe") or RECIPES / (script.demo_recipe if demo else script.recipe)
    from_recipe = read_recipe(recipe, script)
    values = {name: setting.default for name, setting in script.settings.items()} | from_recipe | flags
    values["recipe"], values["demo"] = recipe, demo
    sources = {name: recipe.name if name in from_recipe else "default" for name in script.settings}
    sources |= dict.fromkeys(flags, "flag")
    return argparse.Namespace(**values), sources


def steps_or_epochs(settings: argparse.Namespace, sources: dict[str, str]) -> None:
    """--epochs beats a recipe's steps; ValueError if both are flags."""
    if settings.steps and sources.get("epochs") == "flag":
        if sources.get("steps") == "flag":
            raise UserError("--epochs and --steps exclude each other: give one")
        settings.steps = None


def to_plain(settings: argparse.Namespace) -> dict:
    """Settings as JSON can hold them; paths as they were given, and the folder they start from."""
    plain = {"cwd": str(Path.cwd())}
    for name, value in vars(settings).items():
        if name != "resume":
            value = str(value) if isinstance(value, Path) else value
            plain[name] = list(value) if isinstance(value, tuple) else value
    return plain


def from_plain(values: dict, changes: dict, script: Script) -> argparse.Namespace:
    """Settings read back from run.json, with those a resumed run may change; ValueError for any other change."""
    if fixed := sorted(set(changes) - CHANGED_ON_RESUME):
        allowed = ", ".join(f"--{name}" for name in sorted(CHANGED_ON_RESUME - {"resume"}))
        raise UserError(f"--{fixed[0]} cannot change when a run is resumed (only {allowed} can): start a new run")
    restored = {name: _checked(script.settings[name], value, "run.json")
                for name, value in values.items() if name in script.settings}
    newer = {"profile", "checkpoint_activations", "shard", "mean", "std"} & set(script.settings)
    restored |= {name: script.settings[name].default for name in newer - set(restored)}      # an older run: off
    if missing := set(script.settings) - set(restored):
        raise UserError(f"run.json lacks the setting {sorted(missing)[0]}: it is of another script, or damaged")
    restored["recipe"] = Path(str(values.get("recipe")))
    start = Path(values.get("cwd", Path.cwd()))
    if start != Path.cwd():                # resumed from elsewhere: paths still mean what they meant
        restored |= {name: start / value for name, value in restored.items() if isinstance(value, Path)}
    restored["stop_after"] = restored["profile"] = None
    return argparse.Namespace(**restored | changes)


def describe(settings: argparse.Namespace, sources: dict[str, str], script: Script) -> list[str]:
    """What every setting resolved to, a group a line; values given by a flag carry a star."""
    lines = []
    for title, group in script.groups.items():
        shown = [f"{s.name}={in_words(getattr(settings, s.name))}{'*' if sources.get(s.name) == 'flag' else ''}"
                 for s in group if getattr(settings, s.name) is not None]
        lines.append(f"  {title:13}{' '.join(shown)}")
    return lines
