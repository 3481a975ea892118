"""The volumes among the arguments of predict.py, and their slices, made as those that the model was trained on."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from data_setup.listing.image_inputs import matches
from data_setup.subjects.find import subjects_and_notes
from data_setup.volumes.convert import convert_all
from data_setup.volumes.discover import LINKED, Source, choose_one_each, files_below, list_volumes
from data_setup.volumes.formats.dicom_headers import Watch
from data_setup.volumes.formats.nifti import ENDINGS, HEADERS
from data_setup.volumes.formats.packages import import_nibabel
from data_setup.volumes.new_ids import NewIds, code, place, without_second_ids
from data_setup.volumes.output import facts
from data_setup.volumes.slices import Settings
from functions.runtime.errors import UserError

SHOWN = 5           # files that are left out, in a note


class Volumes(NamedTuple):
    """The volumes to predict, and files that are named as volumes but are none, with reasons.

    `faulty` are files of the command line, `left_out` those within folders. `files` are the absolute paths of all that
    are no images, `fields` the identifying header fields, `unread` the DICOM files without a volume, for the key;
    `dicom` is whether there are any DICOM files.
    """

    sources: list[Source]
    faulty: list[tuple[str, str]]
    left_out: list[tuple[str, str]]
    files: frozenset[str]
    fields: str
    unread: list[str]
    dicom: bool


class Prepared(NamedTuple):
    """One entry per slice: `files` (PNG), `names` (volume#z00), `subjects`, `volumes`; `facts` has those of a volume.

    `faulty` are volumes that could not be read, with reasons.
    """

    files: list[str]
    names: list[str]
    subjects: list[str | None]
    volumes: list[str]
    facts: dict[str, dict]
    faulty: list[tuple[str, str]]


def find_inputs(arguments: Sequence[str], text: str | None, watch: Watch = iter) -> Volumes:
    """The volumes that arguments name: files, folders with all sub-folders, and glob patterns.

    Of a folder, one volume of each session is used (`choose_one_each` with `text`); of files, all. A DICOMDIR stands
    for its folder. UserError for an argument that names nothing, or if the package that reads a volume is missing.
    """
    given: dict[str, Path] = {}             # absolute path → path as given
    inside: dict[str, Path] = {}
    for argument in arguments:
        for path in map(Path, matches(argument)):
            folder = path if path.is_dir() else path.parent if path.name.upper() == "DICOMDIR" else None
            if folder is None:
                given.setdefault(os.path.abspath(path), _image_of(path))
            else:
                inside |= {os.path.abspath(file): file for file in files_below(folder)}
    inside = {key: path for key, path in inside.items() if key not in given}
    found = list_volumes([*dict.fromkeys(given.values()), *inside.values()], watch=watch)
    if found.sources:
        import_nibabel()
    named = set(given.values())
    explicit = [one for one in found.sources if named.intersection(one.files)]
    chosen, others = choose_one_each([one for one in found.sources if one not in explicit], text)
    chosen, second = without_second_ids(chosen)
    shown = {path.as_posix() for path in named}
    secret = found.dicom_left_out + [entry for entry in found.unread if entry[1] == LINKED]
    reasons = [*((path, path, reason) for path, reason in found.left_out),
               *((path, code(path), reason) for path, reason in secret)]
    files = {*(file for one in found.sources for file in one.files), *map(Path, found.dicom),
             *(path for path in (*given.values(), *inside.values())
               if path.name.lower().endswith((*ENDINGS, *HEADERS)))}
    return Volumes([*explicit, *chosen], [(name, reason) for path, name, reason in reasons if path in shown],
                   [*((name, reason) for path, name, reason in reasons if path not in shown),
                    *((place(one), reason) for one, reason in (*others, *second))],
                   frozenset(map(os.path.abspath, files)) | {key for key, path in given.items() if path in files},
                   found.field_names, [path for path, _ in secret], bool(found.dicom))


def with_subjects(sources: Sequence[Source], table: Path | None, pattern: str | None) -> tuple[list[Source], list[str]]:
    """(NIfTI and Analyze volumes with the subjects of a table or a pattern, as `find_subjects` reads them; notes)."""
    named = [source for source in sources if not source.series]
    if not named or (table is None and pattern is None):
        return list(sources), []
    subjects, notes = subjects_and_notes([source.path for source in named], table, pattern)
    found = {id(source): subject for source, subject in zip(named, subjects, strict=True)}
    return [replace(one, subject=found[id(one)]) if id(one) in found else one for one in sources], notes


def prepare(sources: Sequence[Source], ids: NewIds, settings: Settings | None, orientation: str | None, store: Path,
            workers: int, done: Callable[[int], object]) -> Prepared:
    """The slices of all volumes, as PNG files in `store`; done(1) is called after each volume.

    `settings` None: the defaults of prepare_data. `orientation`: the axes of files that record none.

    A volume of DICOM files is shown by a code and its patient by a new ID.
    """
    settings = replace(settings or Settings(), orientation=orientation)
    prepared = Prepared([], [], [], [], {}, [])
    records = convert_all(list(sources), settings, store, workers, done) if sources else []
    for source, record in zip(sources, records, strict=True):
        volume = place(source)
        if "reason" in record:
            prepared.faulty.append((volume, record["reason"]))
            continue
        subject = source.subject
        session = source.session
        if source.series:
            subject = ids.subjects.get(source.subject or "")
            session = ids.sessions.get((source.subject or "", source.session or ""))
        prepared.facts[volume] = {"subject": subject or "", "session": session or "",
                                  "z_first_mm": record["z"][0], "z_last_mm": record["z"][-1],
                                  **facts(record, settings, source.notes)}
        for number in range(len(record["z"])):
            prepared.files.append(str(Path(record["folder"], f"z{number:02d}.png")))
            prepared.names.append(f"{volume}#z{number:02d}")
            prepared.subjects.append(subject)
            prepared.volumes.append(volume)
    return prepared


def check_any(images: Sequence[str], slices: Prepared, volumes: Volumes) -> None:
    """UserError, with the reasons, if there is neither an image nor a slice to predict."""
    if not images and not slices.files:
        raise UserError("no volume can be predicted: " + "; ".join(
            ": ".join(entry) for entry in (*slices.faulty, *volumes.left_out)[:SHOWN]))


def notes_on(volumes: Volumes, settings: Settings | None, key: Path | None) -> list[str]:
    """Notes on how volumes are prepared, without `settings` of the run, on DICOM patients, fields, what is left out."""
    notes = []
    if volumes.sources and settings is None:
        notes.append("the run does not record that tools/prepare_data.py made its slices: volumes are prepared with "
                     "the defaults of that tool, and may differ from the slices of training")
    if volumes.dicom and key is None:
        notes.append("DICOM files are shown by codes and their patients by new IDs: with --out NAME.csv, NAME_key.csv "
                     "has the original ones")
    if volumes.fields:
        notes.append(f"identifying header fields (files), none of which is copied: {volumes.fields}")
    if volumes.left_out:
        notes.append(f"{len(volumes.left_out):,} files or volumes are left out, the first "
                     + "; ".join(": ".join(entry) for entry in volumes.left_out[:SHOWN]))
    return notes


def _image_of(path: Path) -> Path:
    """The .img of a header, if it is there; any other path as it is."""
    name = path.name[:-3] if path.name.lower().endswith(".gz") else path.name
    if name.lower().endswith(".hdr"):
        for ending in (".img", ".img.gz", ".IMG"):
            if (image := path.with_name(name[:-4] + ending)).is_file():
                return image
    return path
