"""A run from its folder to its results: epochs, checkpoints, the test scores of the selected epoch."""

from collections.abc import Callable

import numpy as np
from torch import nn

from functions import engine
from functions.checkpointing.run_folder import recorded
from functions.config.settings import SCRATCH
from functions.epoch_metrics import EpochScores
from functions.evaluation.results import patient_ids
from functions.runtime.device import scoring_precision, set_seeds
from functions.runtime.exits import raise_if_interrupted
from functions.training import console
from functions.training.optimisation import Optimisation
from functions.training.profiling import step_profiler
from functions.training.start import Start
from functions.training.throughput import Speed
from functions.training.training_run import TrainingRun, open_folder


def fit(
    begun: Start,
    model: nn.Module,
    data,
    optimisation: Optimisation,
    available_memory: Callable[[], int],
    *,
    stamps: list[str],
    notes: list[str],
    learner: nn.Module | None = None,
    streams=None,
    loaded: str = "",
    frozen: str = "",
    provenance: dict | None = None,
    probe: Callable[[], np.ndarray] | None = None,
    speed: Speed | None = None,
) -> bool:
    """Trains, saves each epoch, and scores the selected one on test; whether the run is finished, or paused.

    `data` has the batches and all that is recorded of them. Where a frozen backbone was run once, `learner` is the head
    and `streams` the batches of its features; otherwise they are the model and the data. `loaded` names weights that
    were read, `frozen` is the hash of those that stay as they are, `provenance` what run.json says of them. `probe()`
    gives probabilities (n, K) on test that are scored beside the network's.
    """
    settings, device = begun.settings, begun.device
    learner, streams = learner or model, streams or data
    loss_fn, optimizer, scheduler, scaler = optimisation
    facts = {"class_names": data.class_names, "preprocessing": data.preprocessing, "stamps": stamps,
             "split_hash": data.split_hash, "fingerprint": data.fingerprint, "precision": begun.precision,
             "frozen": frozen}

    # The run's folder: a new one, or the one to go on in
    folder = open_folder(begun.script, settings, begun.record, facts, begun.hardware, data.table, notes=notes,
                         left_out=data.left_out, **provenance or {})
    val, test = data.val.dataset, data.test.dataset
    run = TrainingRun(folder, model, optimizer, scheduler, scaler, facts | {"seen": data.seen},
                      patient_ids(val.subjects, val.paths), available_memory=available_memory)
    set_seeds(settings.seed)    # whatever was drawn so far, epoch 1 begins the same
    done = run.resume()
    print(f"run      {folder}" + (f", going on after epoch {done}" if done else ""))

    def after_epoch(epoch: int, scores: dict[str, EpochScores], history: dict[str, list[float]]) -> bool:
        console.print_epoch(epoch, settings, scores, optimisation.last_lr, data.class_names,
                            from_scratch=begun.script is SCRATCH, speed=speed, seconds=run.epoch_seconds())
        run.save_epoch(epoch, scores, history, optimisation.last_lr)
        raise_if_interrupted()
        return epoch == settings.stop_after

    def score_test(trained: str) -> EpochScores:
        return engine.test_step(learner, streams.test, loss_fn, device, precision=scoring_precision(trained, device)[0])

    with recorded(folder), run.writer, step_profiler(settings.profile, folder, device) as profiler:
        print(console.EPOCH_HEAD)
        engine.train(learner, streams.train, streams.test, optimizer, loss_fn, settings.epochs, device,
                     val_dataloader=streams.val, history=run.history, after_epoch=after_epoch,
                     precision=begun.precision, scheduler=scheduler, scaler=scaler, clip_norm=settings.clip_norm,
                     accumulation=settings.accumulation, last_step=getattr(settings, "steps", None),
                     after_step=profiler, loaded=str(folder / "last.pt") if done else loaded)
        if run.epochs_done < settings.epochs:
            run.pause()
            return False
        scored = run.conclude(score_test, test.paths, test.subjects, data.largest_class, probe and probe())
        console.print_end(folder, run.best["epoch"], scored, data.largest_class, data.subjects_known, stamps,
                          data.left_out)
    return True
