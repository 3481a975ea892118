"""Runs that differ in their seed alone: only of these is a mean and a standard deviation of anything."""

from collections.abc import Sequence
from pathlib import Path

from functions.runtime.errors import UserError

# What a result does not depend on, beside the seed: names, places, and what only its speed depends on.
NOT_THE_RECIPE = {"seed", "name", "resume", "cwd", "stop_after", "num_workers", "device", "profile", "summary"}
FAMILIES = (("vit", "ViT"), ("resnet", "ResNet"))


def group_runs(records: Sequence[dict]) -> list[list[int]]:
    """The numbers of the runs (records of run.json) in groups, in the order in which they were given.

    In a group all have the same settings but NOT_THE_RECIPE, the same images (their fingerprint) and the same classes.
    """
    groups = {}
    for number, record in enumerate(records):
        settings = sorted((k, str(v)) for k, v in record["settings"].items() if k not in NOT_THE_RECIPE)
        groups.setdefault(str([settings, record["fingerprint"], record["class_names"]]), []).append(number)
    return list(groups.values())


def network_name(records: Sequence[dict]) -> str:
    """What the networks of these runs are called together: ViT, ResNet, or "network" where they differ."""
    names = {model_name(record) for record in records}
    families = {next((family for prefix, family in FAMILIES if name.startswith(prefix)), name) for name in names}
    return families.pop() if len(families) == 1 else "network"


def model_name(record: dict) -> str:
    """The model's name in a run's settings."""
    return str(record["settings"].get("model", "network"))


def recipe_name(record: dict) -> str:
    """The name of a run's recipe; without a recipe the model's."""
    recipe = record["settings"].get("recipe")
    return Path(str(recipe)).stem if recipe else model_name(record)


def refuse_repeats(runs: Sequence[Path]) -> None:
    """UserError if one run is named twice: it would count as two in a mean."""
    seen = {}
    for run in runs:
        if run.resolve() in seen:
            raise UserError(f"{run} is named twice (also as {seen[run.resolve()]}): name each run once")
        seen[run.resolve()] = run


def seeds_in_words(records: Sequence[dict]) -> str:
    """"5 seeds", or "5 runs" where two of them have the same seed."""
    different = len({str(record["settings"].get("seed")) for record in records}) == len(records)
    return f"{len(records)} {'seeds' if different else 'runs, not all of another seed'}"
