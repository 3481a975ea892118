"""The common start of both training scripts: device, processes, settings, seed, precision."""

from argparse import Namespace
from collections.abc import Callable
from typing import NamedTuple

import torch

from functions.checkpointing.run_folder import requested_device
from functions.config.recipes import check_effects
from functions.config.settings import Script
from functions.runtime.device import describe_device, make_deterministic, pick_device, resolve_precision, set_seeds
from functions.runtime.distributed import join
from functions.training.tracking.trackers import check_installed
from functions.training.training_run import choose_settings


class Start(NamedTuple):
    """Settings of a run and their sources, its device and precision; `record` is run.json of a resumed run."""

    script: Script
    settings: Namespace
    sources: dict[str, str]
    record: dict | None
    device: torch.device
    precision: str

    @property
    def class_weight_power(self) -> float:
        """The exponent of 1/n in the loss weight of a class with n training slices (--class_weights)."""
        return {"none": 0.0, "sqrt": 0.5, "balanced": 1.0}[self.settings.class_weights]

    @property
    def hardware(self) -> str:
        """Device and precision, for the console and run.json."""
        return f"{describe_device(self.device)}, {self.precision}"


def start(script: Script, flags: dict, is_demo: Callable[[dict], bool], cores: int) -> Start:
    """Selects the device, joins the process group, resolves the settings and seeds all generators.

    `is_demo(flags)` is whether the phantom is used; `cores` is the number of CPU cores that torch may use. Raises
    UserError for invalid flags, recipes or run folders.
    """
    device = pick_device(requested_device(flags), cores)
    join(device)
    settings, sources, record = choose_settings(flags, is_demo, script)
    check_effects(settings, sources)
    check_installed(settings)
    if settings.deterministic:
        make_deterministic()
    set_seeds(settings.seed)
    return Start(script, settings, sources, record, device, resolve_precision(settings.precision, device))
