"""Groups of runs that differ only in their seed; means and standard deviations are computed within a group."""

from collections.abc import Sequence
from pathlib import Path

from functions.runtime.errors import UserError

# Settings that may differ within a group: the seed, names, folders, and settings that affect only the speed.
NOT_THE_RECIPE = {"seed", "name", "resume", "cwd", "stop_after", "num_workers", "device", "profile", "summary",
                  "tensorboard", "wandb", "hide_test"}
FAMILIES = (("vit", "ViT"), ("resnet", "ResNet"))


def group_runs(records: Sequence[dict]) -> list[list[int]]:
    """Indices of the runs (records of run.json), grouped, in the given order.

    Runs of a group have the same settings except NOT_THE_RECIPE, the same images (fingerprint) and the same classes.
    """
    groups: dict[str, list[int]] = {}
    for number, record in enumerate(records):
        settings = sorted((k, str(v)) for k, v in record["settings"].items() if k not in NOT_THE_RECIPE)
        groups.setdefault(str([settings, record["fingerprint"], record["class_names"]]), []).append(number)
    return list(groups.values())


def network_name(records: Sequence[dict]) -> str:
    """A common name of the networks of these runs: ViT, ResNet, or "network" if they differ."""
    names = {model_name(record) for record in records}
    families = {next((family for prefix, family in FAMILIES if name.startswith(prefix)), name) for name in names}
    return families.pop() if len(families) == 1 else "network"


def model_name(record: dict) -> str:
    """The model name in a run's settings."""
    return str(record["settings"].get("model", "network"))


def recipe_name(record: dict) -> str:
    """The name of a run's recipe, or of its model without a recipe."""
    recipe = record["settings"].get("recipe")
    return Path(str(recipe)).stem if recipe else model_name(record)


def refuse_repeats(runs: Sequence[Path]) -> None:
    """Raises UserError if a run is given twice, because it would count twice in a mean."""
    seen: dict[Path, Path] = {}
    for run in runs:
        if run.resolve() in seen:
            raise UserError(f"{run} is given twice (also as {seen[run.resolve()]}): give each run once")
        seen[run.resolve()] = run


def describe_seeds(records: Sequence[dict]) -> str:
    """"5 seeds", or "5 runs, …" if two of them have the same seed."""
    different = len({str(record["settings"].get("seed")) for record in records}) == len(records)
    return f"{len(records)} {'seeds' if different else 'runs, some with the same seed'}"
