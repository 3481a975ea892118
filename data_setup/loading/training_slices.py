"""The slices that a run was trained on, where they are still available."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from data_setup.images.resize import Frame
from data_setup.listing.moved_data import WrittenSplit
from data_setup.loading.image_stream import ImageBatch, stream_images
from data_setup.loading.predict_data import own_split
from functions.runtime.errors import UserError

BATCH = 64


def training_slices(run: Path | None, split: WrittenSplit | None) -> tuple[pd.DataFrame, list[str]]:
    """(rows (path, class, subject, split) of train and val, notes); no rows if the files are not there."""
    table = own_split(run, split)
    table = table[table["split"].isin(["train", "val"])].reset_index(drop=True)
    if run is None:
        return table, ["a checkpoint without its run folder: the training slices are unknown"]
    missing = [path for path in table["path"] if not Path(path).is_file()]
    if missing:
        return table.iloc[:0], [f"{len(missing):,} of {len(table):,} training slices are not at the paths in "
                                f"{run / 'split.csv'}, the first {missing[0]}: all are left out"]
    return table, []


def stream_known(paths: list[str], frame: Frame, channels: int) -> Iterator[ImageBatch]:
    """Batches of slices that could be read when the run began; raises UserError for one that cannot be read now."""
    for batch in stream_images(paths, frame, channels, BATCH):
        for row, reason in batch.errors.items():
            raise UserError(f"{batch.paths[row]}, a training slice of the run, cannot be read: {reason}")
        yield batch
