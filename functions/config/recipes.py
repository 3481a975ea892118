"""Resolves every setting from flags, a recipe and defaults, in this order of precedence."""

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
MOVABLE = {"train_dir", "test_dir", "val_dir"}      # may move: the fingerprint checks that the images are the same
NOT_IN_RECIPES = {"name", "device", "demo", "summary", "stop_after", "profile", "subjects", "table", *MOVABLE}
CHANGED_ON_RESUME = {"resume", "epochs", "stop_after", "summary", "num_workers", "profile", "checkpoint_activations",
                     "shard", "precision", "device", "compile", "tensorboard", "wandb", "table", *MOVABLE}
# settings that run.json of older runs does not have
ADDED_LATER = {"profile", "checkpoint_activations", "shard", "device", "deterministic", "mean", "std", "mixup",
               "cutmix", "drop_path", "ema", "tensorboard", "wandb", "pool", "table", "hide_test"}
SIZES = {"patch_size": "patch_size", "num_transformer_layer": "num_layers", "embedding_dim": "embedding_dim",
         "mlp_size": "mlp_size", "num_heads": "num_heads"}      # setting → field of ViTConfig and HybridConfig


def read_recipe(path: Path, script: Script) -> dict:
    """The settings in a YAML file; raises UserError, naming file and key, for an unknown setting or invalid value."""
    if why := not_a_file(path):
        known = ", ".join(sorted(recipe.name for recipe in RECIPES.glob("*.yaml")))
        raise UserError(f"recipe {path}: {why}; recipes/ holds {known}")
    found = read_yaml(path)
    if not isinstance(found, dict):
        raise UserError(f"recipe {path} does not hold settings, one 'name: value' per line")
    values = {}
    for name, value in found.items():
        if name not in script.settings or name in NOT_IN_RECIPES:
            known = ", ".join(known for known in script.settings if known not in NOT_IN_RECIPES)
            raise UserError(f'recipe {path}: "{short(name)}" is not a setting of a recipe'
                            f"{suggestion([f'--{name}'], known.split(', '))}; the settings are {known}")
        values[name] = _checked(script.settings[name], value, f"recipe {path}")
    return values


def _checked(setting: Setting, value, where: str):
    if setting.convert is bool:
        if not isinstance(value, bool):
            raise UserError(f"{where}: {setting.name} is {short(repr(value))}, not true or false")
        return value
    if value is None:
        if setting.default is not None:
            raise UserError(f"{where}: {setting.name} has no value: give one, or remove the line")
        return None
    if not isinstance(value, (str, int, float, list, tuple)):
        raise UserError(f"{where}: {setting.name} is {short(repr(value))}, not a valid value of --{setting.name}")
    if not isinstance(value, str) and setting.convert in (str, Path, subjects_source, weights_source):
        raise UserError(f"{where}: {setting.name} is {short(repr(value))}, not text")
    try:
        return setting.convert(value)
    except argparse.ArgumentTypeError as error:
        raise UserError(f"{where}: {setting.name}: {error}") from None


def resolve(flags: dict, demo: bool, script: Script) -> tuple[argparse.Namespace, dict[str, str]]:
    """The value of every setting (flag > recipe > default) and its source ("flag", the recipe's name, "default")."""
    recipe = flags.get("recipe") or RECIPES / (script.demo_recipe if demo else script.recipe)
    from_recipe = read_recipe(recipe, script)
    if "model" in flags:                   # the recipe's sizes belong to the recipe's model
        from_recipe = {name: value for name, value in from_recipe.items() if name not in SIZES}
    values = {name: setting.default for name, setting in script.settings.items()} | from_recipe | flags
    values["recipe"], values["demo"] = recipe, demo
    sources = {name: recipe.name if name in from_recipe else "default" for name in script.settings}
    sources |= dict.fromkeys(flags, "flag")
    return argparse.Namespace(**values), sources


@contextlib.contextmanager
def settings_in_errors(settings: argparse.Namespace, sources: dict[str, str]) -> Iterator[None]:
    """Appends to a UserError the source of each setting it mentions: the flag, or the file and key."""
    try:
        yield
    except UserError as error:
        places = [place for name in vars(settings) if (place := _place(name, str(error), settings, sources))]
        raise UserError(f"{error} ({', '.join(places)})" if places else str(error)) from None


def _place(name: str, message: str, settings: argparse.Namespace, sources: dict[str, str]) -> str:
    """The flag or key of a setting that `message` mentions; "" if it does not, or if it names the flag itself."""
    pattern = SIZES.get(name, name).replace("_", "[_ ]") if "_" in name else f"unknown (pretrained )?{name}"
    flag = re.search(rf"--{name}\b", message)
    if name in MOVABLE or not (flag or re.search(rf"\b{pattern}\b", message)):
        return ""
    source = sources.get(name, "default")
    if source != "flag" and "resume" in settings:
        return f"{name} in {settings.resume / 'run.json'}"
    if source not in ("flag", "default"):
        return f"{name} in recipe {settings.recipe}"
    return "" if flag else f"--{name}"


def check_effects(settings: argparse.Namespace, sources: dict[str, str]) -> None:
    """Raises UserError for a setting that has no effect beside the others, rather than training without it."""
    frozen = getattr(settings, "train", "all") == "head"            # of train_transferlearning.py
    cached = frozen and settings.cache
    mixed = next((name for name in ("mixup", "cutmix") if getattr(settings, name)), "")
    with settings_in_errors(settings, sources):
        if settings.shard and cached:
            raise UserError("--shard has no effect on the cached features of a frozen backbone: remove it, or give "
                            "--no_cache, --train last:2 or --train all")
        if mixed and cached:
            raise UserError(f"--{mixed} mixes images, and the cached features of a frozen backbone have none: remove "
                            "it, or give --no_cache, --train last:2 or --train all")
        if mixed and settings.batch_size < 2:
            raise UserError(f"--{mixed} mixes the slices of a batch, and --batch_size is {settings.batch_size}: remove "
                            "it, or give --batch_size 2 or more")
        if settings.drop_path and frozen:
            raise UserError("--drop_path has no effect on a frozen backbone: remove it, or give --train last:2 or "
                            "--train all")


def steps_or_epochs(settings: argparse.Namespace, sources: dict[str, str]) -> None:
    """Clears a recipe's `steps` if --epochs is given; raises UserError if --epochs and --steps are both flags."""
    if settings.steps and sources.get("epochs") == "flag":
        if sources.get("steps") == "flag":
            raise UserError("--epochs and --steps are mutually exclusive: give one")
        settings.steps = None


def to_plain(settings: argparse.Namespace) -> dict:
    """Settings as JSON types; paths as given, with the working folder that they are relative to."""
    plain: dict[str, object] = {"cwd": str(Path.cwd())}
    for name, value in vars(settings).items():
        if name != "resume":
            value = format_value(value) if isinstance(value, Path) else value
            plain[name] = list(value) if isinstance(value, tuple) else value
    return plain


def from_plain(values: dict, changes: dict, script: Script, file: str | Path = "run.json") -> argparse.Namespace:
    """Settings read from run.json, with `changes`; raises UserError for a setting that cannot be changed on resume."""
    if fixed := sorted(set(changes) - CHANGED_ON_RESUME):
        allowed = ", ".join(f"--{name}" for name in sorted(CHANGED_ON_RESUME - {"resume"}))
        off = "no_" if changes[fixed[0]] is False else ""
        raise UserError(f"--{off}{fixed[0]} cannot be changed on resume; allowed: {allowed}; otherwise start a new run")
    restored = {name: _checked(script.settings[name], value, f"{file}: settings")
                for name, value in values.items() if name in script.settings}
    restored |= {name: script.settings[name].default for name in ADDED_LATER & set(script.settings) - set(restored)}
    if missing := set(script.settings) - set(restored):
        raise UserError(f"{file} lacks the setting {sorted(missing)[0]}: it belongs to another script, or is damaged")
    restored["recipe"] = Path(str(values.get("recipe")))
    start = Path(values.get("cwd", Path.cwd()))
    if start != Path.cwd():                # resumed from another folder: relative paths keep their meaning
        restored |= {name: _from(start, value) for name, value in restored.items() if isinstance(value, Path)}
    restored["stop_after"] = restored["profile"] = None
    return argparse.Namespace(**restored | changes)


def keep_default_folders(settings: argparse.Namespace, before: dict) -> None:
    """Keeps data/test and data/val of a run on the default folders when only its train folder has moved."""
    for name in ("test", "val"):
        folder = _from(Path(before.get("cwd", Path.cwd())), Path("data", name))
        if getattr(settings, f"{name}_dir") is None and folder.is_dir():
            setattr(settings, f"{name}_dir", folder)


def _from(start: Path, path: Path) -> Path:
    """`path` relative to `start`, or `path` itself if only that exists (the whole working folder was moved)."""
    return path if path.exists() and not (start / path).exists() else start / path


def describe(settings: argparse.Namespace, sources: dict[str, str], script: Script) -> list[str]:
    """The resolved settings, one line per group; values given by a flag are marked with *."""
    lines = []
    for title, group in script.groups.items():
        shown = [f"{s.name}={format_value(getattr(settings, s.name))}{'*' if sources.get(s.name) == 'flag' else ''}"
                 for s in group if getattr(settings, s.name) is not None]
        lines.append(f"  {title:13}{' '.join(shown)}")
    return lines
