"""The checkpoints of a run, and which of them to go on from: last.pt, the one before it, the best.

Files are whole or not there, whatever happens (`write_atomically`). What can still go wrong is the disk: bits flip, a
copy to another machine is cut short. So the epoch before the last is kept (previous.pt), and, where the last is the
best, the best one as previous.pt knew it (previous_best.pt, if it is another). An epoch is written once; its other
names are hard links.
"""

from pathlib import Path

from functions.checkpointing.checkpoint import load_checkpoint, save_checkpoint
from functions.checkpointing.run_folder import check_same_run
from functions.runtime.atomic_files import link
from functions.runtime.distributed import is_main
from functions.runtime.errors import UserError

LAST, PREVIOUS, BEST, PREVIOUS_BEST = "last.pt", "previous.pt", "best.pt", "previous_best.pt"
ALL = (LAST, PREVIOUS, BEST, PREVIOUS_BEST)


def keep(folder: Path, checkpoint: dict, is_best: bool) -> None:
    """Makes `checkpoint` the last, the last the previous and, if it `is_best`, the best the previous best.

    A kill between any two steps leaves last.pt whole, and the best epoch that last.pt names in one of the four files:
    best.pt changes after last.pt, and what it held before is then still there under another name.
    """
    if not is_main():
        return
    last, best = folder / LAST, folder / BEST
    older_best = is_best and best.exists() and not best.samefile(last)      # than previous.pt, and nowhere else

    def keep_the_old() -> None:
        if last.exists():
            link(last, folder / PREVIOUS)
        if older_best:
            link(best, folder / PREVIOUS_BEST)

    save_checkpoint(last, checkpoint, keep_the_old)
    if is_best:
        link(last, best)
    if not older_best:
        (folder / PREVIOUS_BEST).unlink(missing_ok=True)


def _load(path: Path, run_id: str) -> dict:
    """The checkpoint, if this run, whose id is `run_id`, wrote it; UserError, one line, otherwise."""
    checkpoint = load_checkpoint(path)
    check_same_run(checkpoint, path, run_id)
    return checkpoint


def find_last(folder: Path, run_id: str = "") -> tuple[dict | None, str]:
    """(the checkpoint to go on from, what to tell about it): last.pt, or the latest that can be used if that cannot.

    That one then becomes last.pt. None if the run has saved nothing yet; ValueError, one line, if nothing it saved can
    be used.
    """
    if not any((folder / name).exists() for name in (*ALL, "predictions.csv")):
        return None, ""
    reasons = []
    for name in ALL:                                # in order of their epochs
        try:
            checkpoint = _load(folder / name, run_id)
        except UserError as error:
            reasons.append(str(error))
            continue
        if name == LAST:
            return checkpoint, ""
        link(folder / name, folder / LAST)
        return checkpoint, f"{reasons[0]}: going on from {folder / name}, of epoch {checkpoint['epoch']}, instead"
    raise UserError(f"{reasons[0]}, and {reasons[1]}: put a copy of either back, or start a new run")


def find_best(folder: Path, epoch: int, run_id: str = "") -> tuple[dict, str]:
    """(the checkpoint of the best epoch, what to tell about it): best.pt, or another file that holds this epoch.

    That one then becomes best.pt. ValueError, one line saying what to do, if there is none.
    """
    why_not = ""
    for name in (BEST, LAST, PREVIOUS, PREVIOUS_BEST):
        try:
            checkpoint = _load(folder / name, run_id)
        except UserError as error:
            why_not = why_not or str(error)
            continue
        if checkpoint["epoch"] != epoch:       # best.pt too, if a kill came after last.pt was written, or before it was
            continue
        if name != BEST:
            link(folder / name, folder / BEST)
        told = why_not and f"{why_not}: using {folder / name}, which is of the same epoch {epoch}"
        return checkpoint, told
    raise UserError(f"{why_not or f'{folder / BEST} is of another epoch'}, and no other checkpoint there holds the "
                    f"best epoch, {epoch}: put a copy of {BEST} back, or start a new run")


def mend(folder: Path, run_id: str = "") -> tuple[dict | None, list[str]]:
    """(the checkpoint to go on from, or None; what to tell), last.pt and best.pt being usable from here on."""
    checkpoint, told = find_last(folder, run_id)
    if checkpoint is None:
        return None, []
    best_told = find_best(folder, checkpoint["best"]["epoch"], run_id)[1]
    return checkpoint, [line for line in (told, best_told) if line]
