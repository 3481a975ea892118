"""The trained model that a command line names: a run's folder, or a checkpoint file."""

import re
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from functions.checkpointing.checkpoint import load_model
from functions.checkpointing.run_folder import check_same_run, check_split, read_record
from functions.runtime.errors import UserError


class TrainedModel(NamedTuple):
    """A model in eval mode, its checkpoint and the file it was read from; `run` is the run folder, if it was given."""

    model: nn.Module
    checkpoint: dict
    file: Path
    run: Path | None

    @property
    def folder(self) -> Path:
        """The folder of the checkpoint file."""
        return self.file.parent

    def recorded_settings(self) -> dict | None:
        """The settings in run.json, after a check of split.csv; None without a run folder, or if it has no run.json.

        Raises UserError if split.csv is missing or was changed.
        """
        if self.run is None or not (self.run / "run.json").is_file():
            return None
        record = read_record(self.run)
        check_split(self.run, record)
        return record["settings"]


def load_trained(path: Path, device: torch.device | str = "cpu") -> TrainedModel:
    """The selected epoch of a run folder (best.pt), or a checkpoint file.

    Raises UserError if it is missing or damaged, or if best.pt was written by another run than run.json describes; for
    the folder of a cross-validation or of one of its folds, with where the results and the weights are.
    """
    run, file = (path, path / "best.pt") if path.is_dir() else (None, path)
    if run and not file.exists():
        if (run / "plan.json").is_file():
            raise UserError(f"{run} is a cross-validation or a comparison, not one network: its results are in "
                            f"{run / 'report.html'}")
        whole = run.resolve().with_name(re.sub(r"-r[0-9]+f[0-9]+(t[0-9]+)?$", "", run.resolve().name))
        if whole.name != run.resolve().name and (whole / "plan.json").is_file():
            raise UserError(f"{run}: no checkpoint: tools/cross_validate.py removes those of finished folds, "
                            "unless it is called with --keep_weights")
    model, checkpoint = load_model(file, device)
    if run and (run / "run.json").is_file():
        check_same_run(checkpoint, file, read_record(run).get("run_id", ""))
    return TrainedModel(model, checkpoint, file, run)
