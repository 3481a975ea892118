"""Finds the volumes below a folder, at any depth, and what their names say: subject, session, sequence."""

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data_setup.clinical.sessions import session_of
from data_setup.listing.file_types import is_document, is_image, is_litter
from data_setup.subjects.archive_ids import archive_ids, canonical_id
from data_setup.subjects.find import find_subjects
from data_setup.volumes.dicom_headers import Series, is_dicom, read_series
from data_setup.volumes.nifti import ENDINGS, header_texts, missing_partner

DERIVED = re.compile(r"(_fseg|_dseg|_probseg|_label|[_-]mask|[_-]seg|brainmask)(?=[._]|$)", re.IGNORECASE)
T1 = re.compile(r"t1|mp2?rage|spgr|bravo|tfl3d|t88_gfc", re.IGNORECASE)
OTHER = re.compile(r"(?<![A-Za-z0-9])(T2\*?w?|FLAIR|PDw?|DWI|DTI|ADC|SWI|BOLD|ASL|TOF)(?![A-Za-z0-9])", re.IGNORECASE)
CONTRAST = re.compile(r"(?<![A-Za-z0-9])(gd|gado\w*|post[_-]?contrast|T1c|T1ce|\+c|ce)(?![A-Za-z0-9])", re.IGNORECASE)


@dataclass(frozen=True)
class Source:
    """One volume to be read: its files, the place shown for it, its names, its subject and session if known."""

    files: tuple[Path, ...]
    path: str                   # relative to the folder searched; of a DICOM series the folder of its first file
    name: str                   # the file's name, or the series's description
    subject: str | None
    session: str | None
    series: Series | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What the name or the header says about sequence and contrast."""
        found = OTHER.search(self.name.replace("_", " "))
        other = f"named as {found[1]}, not T1" if found and not T1.search(self.name) else ""
        contrast = CONTRAST.search(self.name.replace("_", " ")) or (self.series and self.series.contrast)
        burned = "the header says that text is burned into the pixels" if self.series and self.series.burned_in else ""
        return tuple(note for note in (other, "with contrast agent" if contrast else "", burned) if note)


@dataclass(frozen=True)
class Found:
    """Volumes, files left out with reasons, DICOM files left out (paths may contain names), identifying header fields.
    """

    sources: list[Source]
    left_out: list[tuple[str, str]]
    dicom_left_out: list[tuple[str, str]]
    fields: Counter


def find_volumes(folder: Path) -> Found:
    """All volumes below a folder; no pixels are read."""
    files = sorted(_files(folder), key=Path.as_posix)
    left_out, fields, dicom, volumes = [], Counter(), [], []
    for path in files:
        relative = path.relative_to(folder).as_posix()
        name = path.name.lower()
        if name.endswith(ENDINGS):
            if DERIVED.search(path.name):
                left_out.append((relative, "a segmentation or a mask by its name"))
            else:
                volumes.append(path)
                fields.update(f"NIfTI header: {text}" for text in header_texts(path))
        elif name.endswith((".hdr", ".hdr.gz")):
            if partner := missing_partner(path):
                left_out.append((relative, f"{partner} is missing"))
        elif is_dicom(path) or path.name.upper() == "DICOMDIR":
            dicom.append(path)
        elif not (is_document(path.name) or is_image(path.name)) and path.suffix:
            left_out.append((relative, f'ending "{path.suffix}" is not NIfTI, Analyze or DICOM'))
    series, unread, names = read_series(dicom)
    dicom_left_out = [(path.relative_to(folder).as_posix(), reason) for path, reason in unread]
    subjects = find_subjects(volumes) if volumes else []
    places = [path.relative_to(folder) for path in volumes]
    sources = [Source((path,), place.as_posix(), path.name, subject, session_of(place))
               for path, place, subject in zip(volumes, places, subjects, strict=True)]
    sources += [_dicom_source(one, folder) for one in series]
    return Found(sources, left_out, dicom_left_out, fields + names)


def ambiguous(sources: Sequence[Source]) -> dict[tuple[str, str], list[Source]]:
    """(subject, session) → its volumes, where it has several."""
    groups: dict[tuple[str, str], list[Source]] = {}
    for source in sources:
        groups.setdefault((source.subject or source.path, source.session or ""), []).append(source)
    return {key: group for key, group in groups.items() if len(group) > 1}


def one_per_session(sources: Sequence[Source], text: str | None) -> tuple[list[Source], list[tuple[Source, str]],
                                                                         list[list[Source]]]:
    """(the volume used of every session, volumes left out with reasons, sessions where the choice is not clear).

    `text` keeps the volumes with it in their path or description, and of several the first. Without it, OASIS-1's
    `t88_gfc` is used, or else the only volume that is named as T1 without contrast agent.
    """
    kept, left_out, unclear = list(sources), [], []
    if text is not None:
        matches = [text.lower() in f"{one.path} {one.name}".lower() for one in sources]
        left_out = [(one, f"no {text!r} in its path or description") for one, match
                    in zip(sources, matches, strict=True) if not match]
        kept = [one for one, match in zip(sources, matches, strict=True) if match]
    for group in ambiguous(kept).values():
        chosen = group[0] if text is not None else _clear_choice(group)
        if chosen is None:
            unclear.append(group)
        else:
            left_out += [(one, f"another volume of its session is used: {chosen.name}") for one in group
                         if one is not chosen]
    dropped = {id(one) for one, _ in left_out}
    return [one for one in kept if id(one) not in dropped], left_out, unclear


def _clear_choice(group: list[Source]) -> Source | None:
    corrected = [one for one in group if re.search(r"_t88_gfc\b", one.name)]
    t1 = [one for one in group if T1.search(one.name) and not one.notes]
    return next((found[0] for found in (corrected, t1) if len(found) == 1), None)


def _dicom_source(series: Series, folder: Path) -> Source:
    """The source of a series; its subject is the header's PatientID, in canonical form if it is an archive's."""
    place = Path(os.path.commonpath([path.parent for path in series.files])).relative_to(folder).as_posix()
    known = archive_ids(series.patient)
    subject = known.pop() if len(known) == 1 else canonical_id(series.patient) or None
    return Source(tuple(series.files), place, series.description, subject, "/".join(series.study), series)


def _files(folder: Path):
    """Every file below a folder but hidden ones and those left by operating systems; links to folders are not followed.
    """
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not is_litter(name)]
        yield from (Path(parent, name) for name in names if not is_litter(name))
