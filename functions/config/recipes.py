"""Flags over a recipe over defaults: every setting's value, checked, with where it came from."""

import argparse
import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from functions.config.parser import suggestion
from functions.config.recipe_files import read_yaml
from functions.config.settings import Script, Setting, format_value, short, subjects_source, weights_source
from functions.runtime.errors import UserError, not_a_file

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
MOVED = {"train_dir", "test_dir", "val_dir"}        # the same images in another place: the fingerprint guards them
NOT_IN_RECIPES = {"name", "device", "demo", "summary", "stop_after", "profile", "subjects", *MOVED}
CHANGED_ON_RESUME = {"resume", "epochs", "stop_after", "summary", "num_workers", "profile", "checkpoint_activations",
                     "shard", "precision", "device", "compile", *MOVED}
# settings that older runs lack
NEWER = {"profile", "checkpoint_activations", "shard", "device", "deterministic", "mean", "std"}
SIZES = {"patch_size": "patch_size", "num_transformer_layer": "num_layers", "embedding_dim": "embedding_dim",
         "mlp_size": "mlp_size", "num_heads": "num_heads"}      # setting → field of ViTConfig


def read_recipe(path: Path, script: Script) -> dict:
    """The settings a YAML file gives a script; ValueError, naming file and key, for what is no setting or no value."""
    if why := not_a_file(path):
        known = ", ".join(sorted(recipe.name for recipe in RECIPES.glob("*.yaml")))
        raise UserError(f"recipe {path}: {why}; recipes/ holds {known}")
    found = read_yaml(path)
    if not isinstance(found, dict):
        raise UserError(f"recipe {path} is not settings, one 'name: value' a line")
    values = {}
    for name, value in found.items():
        if name not in script.settings or name in NOT_IN_RECIPES:
            known = ", ".join(known for known in script.settings if known not in NOT_IN_RECIPES)
            raise UserError(f'recipe {path}: "{short(name)}" is not a setting that a recipe can give'
                            f"{suggestion([f'--{name}'], known.split(', '))}; those are {known}")
        values[name] = _checked(script.settings[name], value, f"recipe {path}")
    return values


def _checked(setting: Setting, value, where: str):
    if setting.convert is bool:
        if not isinstance(value, bool):
            raise UserError(f"{where}: {setting.name} is {short(repr(value))}, not true or false")
        return value
    if value is None:
        if setting.default is not None:
            raise UserError(f"{where}: {setting.name} has no value: give one, or leave the line out")
        return None
    if not isinstance(value, (str, int, float, list, tuple)):
        raise UserError(f"{where}: {setting.name} is {short(repr(value))}, not a value that --{setting.name} takes")
    if not isinstance(value, str) and setting.convert in (str, Path, subjects_source, weights_source):
        raise UserError(f"{where}: {setting.name} is {short(repr(value))}, not a text")
    try:
        return setting.convert(value)
    except argparse.ArgumentTypeError as error:
        raise UserError(f"{where}: {setting.name}: {error}") from None


def resolve(flags: dict, demo: bool, script: Script) -> tuple[argparse.Namespace, dict[str, str]]:
    """Every setting's value, flag > recipe > default, and where each came from ("flag", the recipe, "default")."""
    recipe = flags.get("recipe") or RECIPES / (script.demo_recipe if demo else script.recipe)
    from_recipe = read_recipe(recipe, script)
    if "model" in flags:                   # another model than the recipe's: its sizes are not this one's
        from_recipe = {name: value for name, value in from_recipe.items() if name not in SIZES}
    values = {name: setting.default for name, setting in script.settings.items()} | from_recipe | flags
    values["recipe"], values["demo"] = recipe, demo
    sources = {name: recipe.name if name in from_recipe else "default" for name in script.settings}
    sources |= dict.fromkeys(flags, "flag")
    return argparse.Namespace(**values), sources


@contextlib.contextmanager
def settings_in_errors(settings: argparse.Namespace, sources: dict[str, str]) -> Iterator[None]:
    """Adds to a UserError about settings where each comes from: its flag, or the file and the key there."""
    try:
        yield
    except UserError as error:
        places = [place for name in vars(settings) if (place := _place(name, str(error), settings, sources))]
        raise UserError(f"{error} ({', '.join(places)})" if places else str(error)) from None


def _place(name: str, message: str, settings: argparse.Namespace, sources: dict[str, str]) -> str:
    """The flag or the key of a setting that a message is about; "" if it is about others, or names the flag itself."""
    words = SIZES.get(name, name).replace("_", "[_ ]") if "_" in name else f"unknown (pretrained )?{name}"
    flag = re.search(rf"--{name}\b", message)
    if name in MOVED or not (flag or re.search(rf"\b{words}\b", message)):
        return ""
    source = sources.get(name, "default")
    if source != "flag" and "resume" in settings:
        return f"{name} in {settings.resume / 'run.json'}"
    if source not in ("flag", "default"):
        return f"{name} in recipe {settings.recipe}"
    return "" if flag else f"--{name}"


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
            value = format_value(value) if isinstance(value, Path) else value
            plain[name] = list(value) if isinstance(value, tuple) else value
    return plain


def from_plain(values: dict, changes: dict, script: Script, file: str | Path = "run.json") -> argparse.Namespace:
    """Settings read back from run.json, with those a resumed run may change; UserError for any other change."""
    if fixed := sorted(set(changes) - CHANGED_ON_RESUME):
        allowed = ", ".join(f"--{name}" for name in sorted(CHANGED_ON_RESUME - {"resume"}))
        off = "no_" if changes[fixed[0]] is False else ""
        raise UserError(f"--{off}{fixed[0]} cannot change when a run is resumed (only {allowed} can): start a new run")
    restored = {name: _checked(script.settings[name], value, f"{file}: settings")
                for name, value in values.items() if name in script.settings}
    restored |= {name: script.settings[name].default for name in NEWER & set(script.settings) - set(restored)}
    if missing := set(script.settings) - set(restored):
        raise UserError(f"{file} lacks the setting {sorted(missing)[0]}: it is of another script, or damaged")
    restored["recipe"] = Path(str(values.get("recipe")))
    start = Path(values.get("cwd", Path.cwd()))
    if start != Path.cwd():                # resumed from elsewhere: paths still mean what they meant
        restored |= {name: _from(start, value) for name, value in restored.items() if isinstance(value, Path)}
    restored["stop_after"] = restored["profile"] = None
    return argparse.Namespace(**restored | changes)


def keep_default_folders(settings: argparse.Namespace, before: dict) -> None:
    """Of a run of data/train, data/test and data/val whose train folder was moved, the others stay where they were."""
    for name in ("test", "val"):
        folder = _from(Path(before.get("cwd", Path.cwd())), Path("data", name))
        if getattr(settings, f"{name}_dir") is None and folder.is_dir():
            setattr(settings, f"{name}_dir", folder)


def _from(start: Path, path: Path) -> Path:
    """A path as seen from `start`; from here, where only that exists: the whole working folder was moved."""
    return path if path.exists() and not (start / path).exists() else start / path


def describe(settings: argparse.Namespace, sources: dict[str, str], script: Script) -> list[str]:
    """What every setting resolved to, a group a line; values given by a flag carry a star."""
    lines = []
    for title, group in script.groups.items():
        shown = [f"{s.name}={format_value(getattr(settings, s.name))}{'*' if sources.get(s.name) == 'flag' else ''}"
                 for s in group if getattr(settings, s.name) is not None]
        lines.append(f"  {title:13}{' '.join(shown)}")
    return lines
