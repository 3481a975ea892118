"""Retention and recovery of checkpoints: the last epoch, the one before it, and the best.

Every file is complete or absent (`write_atomically`), but a disk error or an interrupted copy can still damage one.
Therefore the epoch before the last is retained (previous.pt) and, if the last epoch is the best, the previous best
epoch too (previous_best.pt, if it is a different one). An epoch is written once; its other names are hard links.
"""

from pathlib import Path

from functions.checkpointing.checkpoint import load_checkpoint, save_checkpoint
from functions.checkpointing.run_folder import check_same_run
from functions.runtime.atomic_files import link
from functions.runtime.distributed import is_main
from functions.runtime.errors import UserError

LAST, PREVIOUS, BEST, PREVIOUS_BEST = "last.pt", "previous.pt", "best.pt", "previous_best.pt"
ALL = (LAST, PREVIOUS, BEST, PREVIOUS_BEST)


def retain(folder: Path, checkpoint: dict, is_best: bool) -> None:
    """Saves `checkpoint` as last.pt and, if `is_best`, as best.pt; the files they replace become the previous ones.

    After a kill between any two steps, last.pt is complete, and the best epoch named in last.pt is in one of the four
    files: best.pt is replaced after last.pt, when its previous content already has another name.
    """
    if not is_main():
        return
    last, best = folder / LAST, folder / BEST
    older_best = is_best and best.exists() and not best.samefile(last)      # older than previous.pt

    def link_previous() -> None:
        if last.exists():
            link(last, folder / PREVIOUS)
        if older_best:
            link(best, folder / PREVIOUS_BEST)

    save_checkpoint(last, checkpoint, link_previous)
    if is_best:
        link(last, best)
    if not older_best:
        (folder / PREVIOUS_BEST).unlink(missing_ok=True)


def _load(path: Path, run_id: str) -> dict:
    """The checkpoint at `path`; raises UserError unless the run with id `run_id` wrote it."""
    checkpoint = load_checkpoint(path)
    check_same_run(checkpoint, path, run_id)
    return checkpoint


def find_last(folder: Path, run_id: str = "") -> tuple[dict | None, str]:
    """(checkpoint to resume from, note or ""): last.pt, or the latest usable one, which then becomes last.pt.

    The checkpoint is None if the run has not saved one yet. Raises UserError if no saved checkpoint is usable.
    """
    if not any((folder / name).exists() for name in (*ALL, "predictions.csv")):
        return None, ""
    reasons = []
    for name in ALL:                                # from the latest epoch to the earliest
        try:
            checkpoint = _load(folder / name, run_id)
        except UserError as error:
            reasons.append(str(error))
            continue
        if name == LAST:
            return checkpoint, ""
        link(folder / name, folder / LAST)
        return checkpoint, f"{reasons[0]}: resuming from {folder / name} (epoch {checkpoint['epoch']}) instead"
    raise UserError(f"no usable checkpoint: {reasons[0]}; {reasons[1]}: restore a copy of either, or start a new run")


def find_best(folder: Path, epoch: int, run_id: str = "") -> tuple[dict, str]:
    """(checkpoint of the best epoch, note or ""): best.pt, or another file with this epoch, which becomes best.pt.

    Raises UserError if there is none.
    """
    reason = ""
    for name in (BEST, LAST, PREVIOUS, PREVIOUS_BEST):
        try:
            checkpoint = _load(folder / name, run_id)
        except UserError as error:
            reason = reason or str(error)
            continue
        if checkpoint["epoch"] != epoch:       # also best.pt, after a kill between writing last.pt and best.pt
            continue
        if name != BEST:
            link(folder / name, folder / BEST)
        return checkpoint, reason and f"{reason}: using {folder / name}, which holds the same epoch {epoch}"
    reason = reason or f"{folder / BEST} is of another epoch"
    raise UserError(f"no usable checkpoint of the best epoch, {epoch}: {reason}: restore a copy "
                    f"of {BEST}, or start a new run")


def recover(folder: Path, run_id: str = "") -> tuple[dict | None, list[str]]:
    """(checkpoint to resume from or None, notes); afterwards last.pt and best.pt are usable."""
    checkpoint, note = find_last(folder, run_id)
    if checkpoint is None:
        return None, []
    best_note = find_best(folder, checkpoint["best"]["epoch"], run_id)[1]
    return checkpoint, [line for line in (note, best_note) if line]
