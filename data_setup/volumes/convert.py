"""One volume to a folder of slices in the store, in a worker process; a volume that is there already is not read again.

The store has one folder per volume, named by a hash of its content and the settings: `z00.png` …, `sheet.png` and
`record.json`. A folder gets its name when it is complete. No name and no header field of a patient is in it.
"""

import hashlib
import json
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path

from PIL import Image

from data_setup.volumes.contact_sheet import contact_sheet
from data_setup.volumes.discover import Source
from data_setup.volumes.formats.dicom_volume import read_dicom
from data_setup.volumes.formats.nifti import read_nifti
from data_setup.volumes.slices import Settings, Slices, make_slices
from data_setup.volumes.volume import Volume, VolumeError
from functions.runtime.errors import UserError

RULES = 3           # of how slices are made; increased when they change, so that older ones are not used
PART = ".part"


def convert(source: Source, settings: Settings, store: Path) -> dict:
    """The record of a volume: `folder` in the store, sha256, orientation, window, z, notes; or `reason` if left out.

    UserError if the slices cannot be written.
    """
    try:
        digest = file_hash(source.files)
    except OSError as error:
        return {"reason": f"cannot be read ({error.strerror})"}
    text = json.dumps([RULES, digest, asdict(settings), source.name if not source.series else ""])
    folder = store / hashlib.sha256(text.encode()).hexdigest()[:32]
    if folder.is_dir():
        return json.loads((folder / "record.json").read_text(encoding="utf-8")) | {"folder": str(folder), "new": False}
    try:
        volume = read_dicom(list(source.files)) if source.series else read_nifti(source.files[0], settings.orientation)
        slices = make_slices(volume, settings)
    except VolumeError as error:
        return {"reason": str(error), "sha256": digest}
    record = describe(volume, slices, digest)
    try:
        _write(folder, slices, record)
    except OSError as error:            # of a full disk, which names no file, as a rule
        raise UserError(f"{store}: slices cannot be written ({error.strerror or error}): make space there and run the "
                        "command again") from error
    return record | {"folder": str(folder), "new": True}


def convert_all(sources: list[Source], settings: Settings, store: Path, workers: int,
                done: Callable[[int], object]) -> list[dict]:
    """The records of all volumes in order, computed by `workers` processes; done(1) is called after each.

    Each process holds one volume at a time. UserError if the system kills a process, for lack of memory as a rule.
    """
    store.mkdir(parents=True, exist_ok=True)
    for rest in store.glob(f"*{PART}"):         # of a run that was killed
        shutil.rmtree(rest)
    records: list[dict] = [{} for _ in sources]
    for number, record in _results(sources, settings, store, min(workers, len(sources))):
        records[number] = record
        done(1)
    used = {record["folder"] for record in records if "folder" in record}
    for folder in store.iterdir():
        if str(folder) not in used:             # of other settings, or of volumes that are not there any more
            shutil.rmtree(folder)
    return records


def _results(sources: list[Source], settings: Settings, store: Path, workers: int) -> Iterator[tuple[int, dict]]:
    if workers <= 1:
        for number, source in enumerate(sources):
            yield number, convert(source, settings, store)
        return
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_ignore_interrupts)
    try:
        with _ignored_interrupts():     # which the workers inherit: Ctrl-C while they import prints no traceback
            futures = {pool.submit(convert, source, settings, store): number for number, source in enumerate(sources)}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool:
        raise UserError("a worker process was killed, usually because the machine is out of memory: try --workers 1; "
                        "finished volumes are kept") from None
    finally:
        pool.shutdown(cancel_futures=True)


def file_hash(files: tuple[Path, ...]) -> str:
    """SHA-256 of a file; of several, of their sorted hashes. The header of an .img file belongs to it."""
    files = tuple(sorted({*files, *(other for file in files for other in _headers(file))}))
    digests = []
    for file in files:
        with open(file, "rb") as stream:
            digests.append(hashlib.file_digest(stream, "sha256").hexdigest())
    return digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(sorted(digests)).encode()).hexdigest()


def describe(volume: Volume, slices: Slices, digest: str) -> dict:
    """What the manifest says of a volume."""
    return {"sha256": digest, "axes": volume.axes, "tilt": round(volume.tilt, 1), "shape": list(volume.data.shape),
            "affine": [round(float(value), 4) for value in volume.affine[:3].ravel()],
            "spacing": [round(float(size), 4) for size in volume.spacing], "window": list(slices.window),
            "z": [round(z, 2) for z in slices.z], "notes": list(slices.notes)}


def _write(folder: Path, slices: Slices, record: dict) -> None:
    part = folder.with_name(f"{folder.name}.{os.getpid()}{PART}")
    part.mkdir()
    for number, pixels in enumerate(slices.pixels):
        Image.fromarray(pixels).save(part / f"z{number:02d}.png")
    spacing = " x ".join(f"{size:.2f}" for size in record["spacing"])
    low, high = slices.window
    title = f"file axes {record['axes']}, now RAS; {spacing} mm; window {low:.4g} to {high:.4g}"
    contact_sheet(slices.pixels, slices.z, title).save(part / "sheet.png")
    (part / "record.json").write_text(json.dumps(record), encoding="utf-8")
    try:
        part.rename(folder)
    except OSError:                             # a second copy of the volume was faster
        shutil.rmtree(part)
        if not folder.is_dir():
            raise


def _headers(file: Path) -> list[Path]:
    name = file.name[:-3] if file.name.lower().endswith(".gz") else file.name
    if not name.lower().endswith(".img"):
        return []
    return [path for ending in (".hdr", ".HDR", ".hdr.gz") if (path := file.with_name(name[:-4] + ending)).is_file()]


@contextmanager
def _ignored_interrupts() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)        # Ctrl-C reaches the main process, which ends the workers
