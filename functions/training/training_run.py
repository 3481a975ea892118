"""One run on disk: creating its folder, saving epochs, resuming, and writing the results."""

import pickle
import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from functions.checkpointing.checkpoint import load_checkpoint, load_weights, make_checkpoint, restore, save_frozen
from functions.checkpointing.retention import LAST, find_best, recover
from functions.checkpointing.run_folder import (
    check_split,
    claim,
    create_run,
    losses_file,
    provenance,
    read_record,
    this_command,
    update_record,
    write_moved_split,
    write_table,
)
from functions.checkpointing.run_names import check_name, check_writable
from functions.checkpointing.writer import CheckpointWriter
from functions.config.recipes import from_plain, keep_default_folders, resolve, to_plain
from functions.config.settings import Script
from functions.epoch_metrics import EpochScores
from functions.evaluation.evaluate import evaluate
from functions.evaluation.evaluation import Metrics
from functions.evaluation.predictions import Predictions
from functions.evaluation.stages import stage_order
from functions.reports.evaluation_plots import confusion_figure
from functions.reports.html_page import write_png
from functions.reports.plots import make_title, plot_loss_curves
from functions.reports.run_report import write_report
from functions.runtime.atomic_files import write_atomically, write_json
from functions.runtime.distributed import barrier, broadcast, is_main, split_step, world_size
from functions.runtime.errors import UserError
from functions.runtime.exits import raise_if_interrupted
from functions.training.averaging import WeightAverage
from functions.training.model_selection import clearly_worse, patient_losses


def choose_settings(flags: dict, is_demo: Callable[[dict], bool],
                    script: Script) -> tuple[Namespace, dict[str, str], dict | None]:
    """(settings, their sources, run.json of the resumed run or None); `is_demo(flags)` is used for a new run.

    A resumed run keeps its settings and its recorded split.
    """
    if "resume" not in flags:
        check_name(flags.get("name", script.run_name))
        check_writable(Path("runs"))
        return *resolve(flags, is_demo(flags), script), None
    flags["resume"] = flags["resume"].resolve()
    record = read_record(flags["resume"])
    check_split(flags["resume"], record)
    check_writable(flags["resume"])
    settings = from_plain(record["settings"], flags, script, flags["resume"] / "run.json")
    if "train_dir" in flags and record["settings"].get("train_dir") is None:
        keep_default_folders(settings, record["settings"])
    settings.batch_size, settings.accumulation = split_step(
        settings.batch_size, settings.accumulation, record.get("processes", 1), world_size())
    return settings, dict.fromkeys(flags, "flag"), record


def open_folder(script: Script, settings: Namespace, record: dict | None, facts: dict, device: str,
                split: pd.DataFrame, **entries) -> Path:
    """The folder of the resumed run, or a new one created by process 0; `entries` are added to its run.json.

    Raises UserError if the images are not those the run was trained on.
    """
    if record is None:
        folder = broadcast(is_main() and create_run(settings.name or script.run_name, provenance() | facts | entries | {
            "settings": to_plain(settings), "device": device, "processes": world_size(), "state": "created",
            "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        }, split))
        if is_main():
            claim(folder)
        return folder
    if record["fingerprint"] != facts["fingerprint"]:
        raise UserError(f"the images are not those that {settings.resume} was trained on: start a new run")
    barrier()                           # all have read `processes` in run.json before it is updated
    if is_main():
        claim(settings.resume)
        moved = write_moved_split(settings.resume, record["settings"], to_plain(settings), split)
        update_record(settings.resume, settings=to_plain(settings), processes=world_size(), device=device,
                      precision=facts["precision"], commands=[*record.get("commands", []), this_command()], **moved)
    return settings.resume


@dataclass
class TrainingRun:
    """The state that changes from epoch to epoch, and the folder where it is saved.

    `facts` are the constant entries of the checkpoints: class_names, preprocessing, split_hash, fingerprint, stamps,
    frozen, seen; `val_subjects` are the patient ids of the validation images.
    """

    folder: Path
    model: torch.nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LambdaLR
    scaler: torch.amp.GradScaler
    facts: dict
    val_subjects: np.ndarray
    available_memory: Callable[[], int]           # bytes that copies for saving may take
    average: WeightAverage | None = None          # of the weights, which is saved with them
    history: dict[str, list[float]] = field(default_factory=dict)
    extra: list[dict] = field(default_factory=list)                       # balanced accuracies and learning rate
    best: dict = field(default_factory=dict)      # the selected epoch; per val patient, the loss of the lowest
    saving_seconds: float = 0.0                   # time that training waited for checkpoints

    def __post_init__(self):
        self.writer = CheckpointWriter(self.folder, self.available_memory)     # its context waits for the last write
        record = read_record(self.folder)
        self.run_id, self.losses_file = record.get("run_id", ""), losses_file(self.folder, record)
        self._epoch_began = time.perf_counter()

    def epoch_seconds(self) -> float:
        """Wall-clock seconds since the last call or the start: one epoch with scoring and saving."""
        began, self._epoch_began = self._epoch_began, time.perf_counter()
        return self._epoch_began - began

    def resume(self) -> int:
        """Restores the last finished epoch and returns its number; 0 if there is none."""
        save_frozen(self.folder, self.model, self.facts.get("frozen", ""))
        for unfinished in self.folder.glob(".*.part") if is_main() else ():
            if not unfinished.is_dir():
                unfinished.unlink()
        checkpoint, notes = recover(self.folder, self.run_id) if is_main() else (None, [])
        if broadcast(is_main() and checkpoint is None):
            return 0
        checkpoint = checkpoint or load_checkpoint(self.folder / LAST)      # the other processes read the same file
        try:
            self._check_patients(checkpoint["best"].get("lowest"))
            restore(checkpoint, self.model, self.optimizer, self.scheduler, self.scaler)
            if self.average:
                self.average.restore(checkpoint)
            elif checkpoint["unaveraged"]:
                raise UserError("its weights are averages (--ema), but the run's setting ema is 0")
        except UserError as error:
            raise UserError(f"checkpoint {self.folder / LAST}: {error}; restore this run's own checkpoint, or start a "
                            "new run") from None
        self.history, self.best, self.extra = checkpoint["history"], checkpoint["best"], checkpoint["extra"]
        for line in notes:
            print(line)
        self._write_curves()                 # they may be damaged, or older than last.pt after a kill
        return checkpoint["epoch"]

    def _check_patients(self, lowest: list[float] | None) -> None:
        """UserError unless there is one loss for each validation patient; the oldest checkpoints have none."""
        if lowest is not None and len(lowest) != len(patients := np.unique(self.val_subjects)):
            raise UserError(f"best.lowest holds {len(lowest)} losses, there are {len(patients)} validation patients")

    def save_epoch(self, epoch: int, scores: dict[str, EpochScores], history: dict[str, list[float]],
                   lr: float) -> None:
        """Writes the curves and submits a checkpoint. The epoch is finished once last.pt is written."""
        self.history = history
        self.extra.append({f"{split}_balanced_acc": result.balanced_acc for split, result in scores.items()}
                          | {"learning_rate": lr, "train_seconds": scores["train"].seconds,
                             "train_waited": scores["train"].data_wait})
        losses = patient_losses(scores["val"].probabilities.numpy(), scores["val"].labels.numpy(), self.val_subjects)
        lowest = self.best.get("lowest", losses)
        is_best = not clearly_worse(losses, lowest)
        self.best = {"epoch": epoch if is_best else self.best["epoch"], "lowest": min(losses, lowest, key=np.mean)}
        checkpoint = make_checkpoint(self.model, self.optimizer, self.scheduler, self.scaler, epoch=epoch,
                                     history=history, best=self.best, **self.facts)
        checkpoint |= {"extra": self.extra, "run_id": self.run_id}
        if self.average:
            checkpoint = self.average.add_to(checkpoint)
        began = time.perf_counter()
        self.writer.submit(checkpoint, is_best)
        self.saving_seconds += time.perf_counter() - began
        self._write_curves()

    def _write_curves(self) -> None:
        """Writes loss and accuracy of every epoch as a pickle and as results.csv."""
        write_atomically(self.losses_file, lambda file: pickle.dump(self.history, file))
        write_table(self.folder / "results.csv", self.table())

    def table(self) -> pd.DataFrame:
        """The content of results.csv: one row per epoch."""
        table = pd.DataFrame(self.history).join(pd.DataFrame(self.extra))
        table.insert(0, "epoch", range(1, self.epochs_done + 1))
        return table

    @property
    def epochs_done(self) -> int:
        return len(self.history.get("train_loss", []))

    def pause(self) -> None:
        """Records that the run was paused by --stop_after."""
        self.writer.wait()
        update_record(self.folder, state="paused")
        print(f"paused after epoch {self.epochs_done} (--stop_after); continue with --resume {self.folder}")

    def conclude(self, score_test: Callable[[str], EpochScores], paths: Sequence[str], subjects: Sequence[str | None],
                 largest: str, probe: np.ndarray | None = None) -> Metrics:
        """Evaluates the selected epoch on test, writes predictions, metrics and figures; returns the metrics.

        `score_test(precision)` is called with the precision of the selected epoch. `probe` holds the probabilities
        (n, K) of the closed-form probe on test, which are evaluated too, without p-value and verdict.
        """
        wait_started = time.perf_counter()
        self.writer.wait()
        started = time.perf_counter()
        self.saving_seconds += started - wait_started
        best = find_best(self.folder, self.best["epoch"], self.run_id)[0] if is_main() else None
        barrier()                                    # process 0 has recovered best.pt
        best = best or load_checkpoint(self.folder / "best.pt")
        load_weights(self.model, best["weights"])
        result, class_names = score_test(best["precision"]), self.facts["class_names"]
        predictions = Predictions(paths, subjects, result.labels.numpy(), result.probabilities.numpy(), class_names)
        order = stage_order(class_names)
        metrics = Metrics(
            evaluate(predictions, largest, order), self.facts["stamps"], best_epoch=self.best["epoch"],
            probe=None if probe is None else evaluate(replace(predictions, probabilities=probe), largest, order,
                                                      permutations=0))
        if is_main():
            self._write_results(predictions, metrics, started)
        return metrics

    def _write_results(self, predictions: Predictions, metrics: Metrics, started: float) -> None:
        write_table(self.folder / "predictions.csv", predictions.table())
        write_json(self.folder / "metrics.json", asdict(metrics))
        title = make_title(self.folder.name, metrics.caveats)
        [(confusion, _)] = confusion_figure(metrics.test, predictions, metrics.caveats, "slice").values()
        for file, figure in (("loss_curves.png", plot_loss_curves(self.history, title, self.best["epoch"])),
                             ("confusion_matrix.png", confusion)):
            write_png(self.folder / file, figure)
        seconds = {"train": sum(row["train_seconds"] for row in self.extra), "saving": self.saving_seconds,
                   "final": time.perf_counter() - started}
        update_record(self.folder, best_epoch=self.best["epoch"], seconds=seconds, state="finished")
        write_report(self.folder)
        raise_if_interrupted()
