"""Trains a run: epochs, checkpoints, and the test scores of the selected epoch."""

from collections.abc import Callable
from contextlib import nullcontext

import numpy as np
from torch import nn

from functions import engine
from functions.checkpointing.run_folder import read_record, recorded
from functions.config.settings import SCRATCH
from functions.epoch_metrics import EpochScores
from functions.evaluation.predictions import patient_ids
from functions.runtime.device import scoring_precision, set_seeds
from functions.runtime.exits import raise_if_interrupted
from functions.training import console
from functions.training.optimisation import Optimisation
from functions.training.start import Start
from functions.training.throughput import Speed
from functions.training.tracking.profiling import step_profiler
from functions.training.tracking.trackers import tracking
from functions.training.training_run import TrainingRun, open_folder


def in_turn(*actions: Callable[[], None] | None) -> Callable[[], None]:
    """A function that calls those of the actions that are not None."""
    def call() -> None:
        for action in actions:
            if action:
                action()

    return call


def fit(
    begun: Start,
    model: nn.Module,
    data,
    optimisation: Optimisation,
    available_memory: Callable[[], int],
    *,
    caveats: list[str],
    notes: list[str],
    network: nn.Module | None = None,
    loaders=None,
    loaded: str = "",
    frozen: str = "",
    provenance: dict | None = None,
    probe: Callable[[], np.ndarray] | None = None,
    speed: Speed | None = None,
) -> bool:
    """Trains, saves each epoch and scores the selected one on test; returns False if the run was paused.

    `data` holds the dataloaders and the facts recorded about them. With cached features of a frozen backbone, `network`
    is the head and `loaders` the batches of features; by default they are the model and the data. `loaded` names the
    weights if they were loaded from a file, `frozen` is the hash of the frozen weights, and `provenance` is added to
    run.json. `probe()` returns probabilities (n, K) on test, which are scored in addition to the network's.
    """
    settings, device = begun.settings, begun.device
    network, loaders = network or model, loaders or data
    loss_fn, optimizer, scheduler, scaler, average = optimisation
    facts = {"class_names": data.class_names, "preprocessing": data.preprocessing, "stamps": caveats,
             "split_hash": data.split_hash, "fingerprint": data.fingerprint, "precision": begun.precision,
             "frozen": frozen}

    # The run folder: a new one, or that of the resumed run
    folder = open_folder(begun.script, settings, begun.record, facts, begun.hardware, data.table, notes=notes,
                         left_out=data.left_out, **provenance or {})
    val, test = data.val.dataset, data.test.dataset
    run = TrainingRun(folder, model, optimizer, scheduler, scaler, facts | {"seen": data.seen},
                      patient_ids(val.subjects, val.paths), available_memory=available_memory, average=average)
    set_seeds(settings.seed)    # epoch 1 does not depend on random numbers drawn before
    done = run.resume()
    print(f"run      {folder}" + (f", resuming after epoch {done}" if done else ""))

    def after_epoch(epoch: int, scores: dict[str, EpochScores], history: dict[str, list[float]]) -> bool:
        console.print_epoch(epoch, settings, scores, optimisation.last_lr, data.class_names,
                            from_scratch=begun.script is SCRATCH, speed=speed, seconds=run.epoch_seconds())
        run.save_epoch(epoch, scores, history, optimisation.last_lr)
        track(run.table())
        raise_if_interrupted()
        return epoch == settings.stop_after

    def score_test(trained: str) -> EpochScores:
        return engine.test_step(network, loaders.test, loss_fn, device, precision=scoring_precision(trained, device)[0])

    with (recorded(folder), tracking(settings, folder, read_record(folder), run.table()) as track, run.writer,
          step_profiler(settings.profile, folder, device) as profiler):
        print(console.epoch_head(settings.hide_test))
        engine.train(network, loaders.train, None if settings.hide_test else loaders.test, optimizer, loss_fn,
                     settings.epochs, device,
                     val_dataloader=loaders.val, history=run.history, after_epoch=after_epoch,
                     precision=begun.precision, scheduler=scheduler, scaler=scaler, clip_norm=settings.clip_norm,
                     accumulation=settings.accumulation, last_step=getattr(settings, "steps", None),
                     after_step=in_turn(average.update if average else None, profiler),
                     scoring=average.applied if average else nullcontext,
                     loaded=str(folder / "last.pt") if done else loaded)
        if run.epochs_done < settings.epochs:
            run.pause()
            return False
        metrics = run.conclude(score_test, test.paths, test.subjects, data.largest_class, probe and probe())
        console.print_end(folder, metrics, caveats, data.left_out)
    return True
