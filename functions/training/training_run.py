"""One run on disk, from its first file to its last: its epochs are saved, it is resumed, and concluded."""

import pickle
import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
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
from functions.evaluation.results import prediction_table, score_predictions
from functions.reports.plots import make_title, plot_confusion_matrix, plot_loss_curves
from functions.reports.run_report import write_report
from functions.runtime.atomic_files import write_atomically, write_json
from functions.runtime.distributed import barrier, broadcast, is_main, split_step, world_size
from functions.runtime.errors import UserError
from functions.training.model_selection import clearly_worse, patient_losses


def choose_settings(flags: dict, is_demo: Callable[[dict], bool],
                    script: Script) -> tuple[Namespace, dict[str, str], dict | None]:
    """(settings, where each came from, run.json of the run to go on with or None); `is_demo` judges a new run's flags.

    A resumed run keeps its settings and the split that it wrote down.
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
                split: pd.DataFrame, **notes) -> Path:
    """The folder of the run that goes on, or of a new one. ValueError if the images are not those it was trained on.

    Process 0 makes it and tells the others.
    """
    if record is None:
        folder = broadcast(is_main() and create_run(settings.name or script.run_name, provenance() | facts | notes | {
            "settings": to_plain(settings), "device": device, "processes": world_size(), "state": "created",
            "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        }, split))
        if is_main():
            claim(folder)
        return folder
    if record["fingerprint"] != facts["fingerprint"]:
        raise UserError(f"the images are not those that {settings.resume} was trained on: start a new run")
    barrier()                                       # until all have read run.json: their shares follow from `processes`
    if is_main():
        claim(settings.resume)
        moved = write_moved_split(settings.resume, record["settings"], to_plain(settings), split)
        update_record(settings.resume, settings=to_plain(settings), processes=world_size(), device=device,
                      precision=facts["precision"], commands=[*record.get("commands", []), this_command()], **moved)
    return settings.resume


@dataclass
class TrainingRun:
    """What changes from epoch to epoch, and the folder it is kept in.

    `facts` are the checkpoint's constant parts: class_names, preprocessing, split_hash, fingerprint, stamps, frozen,
    seen; `val_subjects` says whose slice each validation image is.
    """

    folder: Path
    model: torch.nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler
    scaler: torch.amp.GradScaler
    facts: dict
    val_subjects: np.ndarray
    available_memory: Callable[[], int]           # what copies for saving may take, in bytes
    history: dict[str, list[float]] = field(default_factory=dict)
    extra: list[dict] = field(default_factory=list)                       # an epoch's balanced accuracies and rate
    best: dict = field(default_factory=dict)      # the epoch kept, and the lowest epoch's loss of each val patient
    saving_seconds: float = 0.0                   # in which training waited for a checkpoint to be copied or written

    def __post_init__(self):
        self.writer = CheckpointWriter(self.folder, self.available_memory)     # a context: on leaving, all is written
        self.run_id = read_record(self.folder).get("run_id", "")
        self._epoch_began = time.perf_counter()

    def epoch_seconds(self) -> float:
        """Wall-clock seconds since the last call, or since the run began: an epoch, with scoring and saving."""
        began, self._epoch_began = self._epoch_began, time.perf_counter()
        return self._epoch_began - began

    def resume(self) -> int:
        """Goes back to the last finished epoch, if there is one; returns its number."""
        save_frozen(self.folder, self.model, self.facts.get("frozen", ""))
        for unfinished in self.folder.glob(".*.part") if is_main() else ():
            unfinished.unlink()
        checkpoint, notes = recover(self.folder, self.run_id) if is_main() else (None, [])  # the others read what it mended
        if broadcast(is_main() and checkpoint is None):
            return 0
        checkpoint = checkpoint or load_checkpoint(self.folder / LAST)
        try:
            restore(checkpoint, self.model, self.optimizer, self.scheduler, self.scaler)
        except UserError as error:
            raise UserError(f"checkpoint {self.folder / LAST}: {error}; put this run's own checkpoint back, or start a "
                            "new run") from None
        self.history, self.best, self.extra = checkpoint["history"], checkpoint["best"], checkpoint["extra"]
        for line in notes:
            print(line)
        self._write_curves()                 # a kill may have come between them and last.pt, or they are damaged
        return checkpoint["epoch"]

    def save_epoch(self, epoch: int, scores: dict[str, EpochScores], history: dict[str, list[float]],
                   lr: float) -> None:
        """Writes the curves; gives the state to the writer. The epoch counts as finished once last.pt is written."""
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
        began = time.perf_counter()
        self.writer.submit(checkpoint, is_best)
        self.saving_seconds += time.perf_counter() - began
        self._write_curves()

    def _write_curves(self) -> None:
        """Loss and accuracy of every epoch, as a pickle and as a table."""
        path = losses_file(self.folder, read_record(self.folder))
        write_atomically(path, lambda file: pickle.dump(self.history, file))
        table = pd.DataFrame(self.history).join(pd.DataFrame(self.extra))
        table.insert(0, "epoch", range(1, self.epochs_done + 1))
        write_table(self.folder / "results.csv", table)

    @property
    def epochs_done(self) -> int:
        return len(self.history.get("train_loss", []))

    def pause(self) -> None:
        """Marks the run as stopped where --stop_after asked for it."""
        self.writer.wait()
        update_record(self.folder, state="paused")
        print(f"paused after epoch {self.epochs_done}, as --stop_after asks; go on with --resume {self.folder}")

    def conclude(self, score_test: Callable[[str], EpochScores], paths: Sequence[str], subjects: Sequence[str | None],
                 largest: str, probe: np.ndarray | None = None) -> dict:
        """Scores the best epoch on test once, writes predictions, metrics and figures; returns what was scored.

        `score_test(precision)` is given the precision of the best epoch. `probe` are the closed-form probe's
        probabilities (n, K) on test, scored beside the network's.
        """
        waited = time.perf_counter()
        self.writer.wait()
        started = time.perf_counter()
        self.saving_seconds += started - waited
        best = find_best(self.folder, self.best["epoch"], self.run_id)[0] if is_main() else None
        barrier()                                       # for process 0 to have written the best epoch
        best = best or load_checkpoint(self.folder / "best.pt")
        load_weights(self.model, best["weights"])
        result, class_names = score_test(best["precision"]), self.facts["class_names"]
        labels, probabilities = result.labels.numpy(), result.probabilities.numpy()
        predictions = prediction_table(paths, subjects, labels, probabilities, class_names)
        scored = {"test": score_predictions(predictions, class_names, largest)}
        if probe is not None:
            table = prediction_table(paths, subjects, labels, probe, class_names)
            scored["probe"] = score_predictions(table, class_names, largest)
        if is_main():
            self._write_results(predictions, scored, result.confusion, largest, started)
        return scored

    def _write_results(self, predictions: pd.DataFrame, scored: dict, confusion: torch.Tensor, largest: str,
                       started: float) -> None:
        write_table(self.folder / "predictions.csv", predictions)
        write_json(self.folder / "metrics.json", scored | {"best_epoch": self.best["epoch"], "largest": largest,
                                                           "stamps": self.facts["stamps"]})
        title, class_names = make_title(self.folder.name, self.facts["stamps"]), self.facts["class_names"]
        for file, figure in (("loss_curves.png", plot_loss_curves(self.history, title, self.best["epoch"])),
                             ("confusion_matrix.png", plot_confusion_matrix(confusion, class_names, title))):
            write_atomically(self.folder / file, lambda out, figure=figure: figure.savefig(out, format="png", dpi=120))
        seconds = {"train": sum(row["train_seconds"] for row in self.extra), "saving": self.saving_seconds,
                   "final": time.perf_counter() - started}
        update_record(self.folder, best_epoch=self.best["epoch"], seconds=seconds, state="finished")
        write_report(self.folder)
