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
from data_setup.subjects.path_tables import is_missing
from data_setup.volumes.formats.dicom_headers import Series, Watch, is_dicom, read_series
from data_setup.volumes.formats.nifti import ENDINGS, HEADERS, header_texts, missing_partner
from functions.runtime.errors import UserError, is_decoded, not_a_file, printable

SHOWN = 20          # volumes to choose from
LINKED = "a link to a folder, which is not followed: name the folder itself, or copy it"
NO_ID = re.compile(r"((anon(ym|ymous|ymi[sz]ed)?|patient|removed|0+)[\^ ]*)+", re.IGNORECASE)   # an ID of many patients
DERIVED = re.compile(r"(_fseg|_dseg|_probseg|_label|[_-]mask|[_-]seg|brainmask)(?=[._]|$)", re.IGNORECASE)
T1 = re.compile(r"((?<![A-Za-z])[A-Za-z]?|ax|sag|cor|tra)t1(?!\d)|mp2?[ -]?rage|spgr|bravo|tfl3d|t88_gfc",
                re.IGNORECASE)      # not patient1
OTHER = re.compile(r"(?<![A-Za-z0-9])(T2\*?w?|FLAIR|PDw?|DWI|DTI|ADC|SWI|BOLD|ASL|TOF)(?![A-Za-z0-9])", re.IGNORECASE)
CONTRAST = re.compile(r"(?<![A-Za-z0-9])(gad|gado\w*|(T1 ?)?(gd|\+ ?ce?|ce|c\+)|T1 ?c|(post|with)[ -]?contrast"
                      r"|(?<= )(?-i:KM))(?![A-Za-z0-9])", re.IGNORECASE)        # where `_` is a space; KM: in German


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
        other = f"of modality {self.series.modality}, not MR" if self.series and self.series.modality != "MR" else other
        return tuple(note for note in (other, "with contrast agent" if contrast else "", burned) if note)


@dataclass(frozen=True)
class Found:
    """Volumes; paths and reasons of what is left out: of NIfTI and Analyze, of DICOM, of what cannot be read.

    Paths of the latter two may contain names of patients. `fields` are the identifying header fields, `dicom` all DICOM
    files, `others` files that are neither these nor images nor documents.
    """

    sources: list[Source]
    left_out: list[tuple[str, str]]
    dicom_left_out: list[tuple[str, str]]
    unread: list[tuple[str, str]]
    fields: Counter
    dicom: list[Path]
    others: list[str]

    @property
    def field_names(self) -> str:
        """The identifying header fields with the number of their files, never their values; "" without any."""
        return ", ".join(f"{name} ({count:,})" for name, count in sorted(self.fields.items()))


def find_volumes(folder: Path, watch: Watch = iter) -> Found:
    """All volumes below a folder; no pixels are read. `watch` shows the progress over DICOM files (`read_series`)."""
    return list_volumes(files_below(folder), folder, watch)


def list_volumes(files: Sequence[Path], folder: Path | None = None, watch: Watch = iter) -> Found:
    """The volumes among `files`, named relative to `folder`, or as they are given."""
    left_out, unread, links, dicom, volumes, others = [], [], [], [], [], []
    fields: Counter = Counter()
    for path in sorted(files, key=Path.as_posix):
        name, shown = path.name.lower(), _shown(path, folder)
        if is_document(name) or is_image(name):
            continue
        if why := not_a_file(path):
            if path.is_dir():
                links.append((shown, LINKED))
            else:
                (left_out if name.endswith((*ENDINGS, *HEADERS)) else unread).append((shown, why))
        elif name.endswith(ENDINGS):
            if DERIVED.search(path.name):
                left_out.append((shown, "a segmentation or a mask by its name"))
            else:
                volumes.append(path)
                fields.update(f"NIfTI header: {text}" for text in header_texts(path))
        elif name.endswith(HEADERS):
            if partner := missing_partner(path):
                left_out.append((shown, f"{partner} is missing"))
        elif (found := _is_dicom(path)) is None:
            unread.append((shown, "cannot be read (no permission?)"))
        elif found:
            dicom.append(path)
        elif path.suffix:
            others.append(shown)
    (unread if dicom else left_out).extend(links)       # names of folders beside DICOM files may be those of patients
    series, damaged, names = read_series(dicom, watch)
    subjects = find_subjects(volumes) if volumes else []
    sources = [Source((path,), _shown(path, folder), path.name, subject, session_of(_shown(path, folder)))
               for path, subject in zip(volumes, subjects, strict=True)]
    below = [] if folder is None else [folder / "_"]            # so that folders of patients are not common to all
    named = find_subjects([*(one.files[0] for one in series), *below]) if series else []
    sources += [_dicom_source(one, folder, name) for one, name in zip(series, named[:len(series)], strict=True)]
    return Found(sources, left_out, [(_shown(path, folder), reason) for path, reason in damaged], unread,
                 fields + names, dicom, others)


def _place(path: Path, folder: Path | None) -> Path:
    return path if folder is None else path.relative_to(folder)


def _shown(path: Path, folder: Path | None) -> str:
    """The place as text; bytes of a name that are not UTF-8, which no table can hold, are escaped."""
    text = _place(path, folder).as_posix()
    return text if is_decoded(text) else printable(text)


def _is_dicom(path: Path) -> bool | None:
    """Whether a file is DICOM; None if it cannot be read."""
    try:
        return is_dicom(path) or path.name.upper() == "DICOMDIR"
    except OSError:
        return None


def ambiguous(sources: Sequence[Source]) -> dict[tuple[str, str], list[Source]]:
    """(subject, session) → its volumes, where it has several."""
    groups: dict[tuple[str, str], list[Source]] = {}
    for source in sources:
        groups.setdefault((source.subject or source.path, source.session or ""), []).append(source)
    return {key: group for key, group in groups.items() if len(group) > 1}


def one_per_session(sources: Sequence[Source], text: str | None) -> tuple[list[Source], list[tuple[Source, str]],
                                                                         list[list[Source]]]:
    """(the volume used of every session, volumes left out with reasons, sessions where the choice is not clear).

    `text` keeps the volumes with it in their path or description; of several, the one of exactly this name, else one
    without notes (`Source.notes`) before others, outside of BIDS `derivatives` before inside, and then the first.
    Without `text`, OASIS-1's `t88_gfc` is used, or else the only volume that is named as T1 without contrast agent.
    """
    kept, left_out, unclear = list(sources), [], []
    if text is not None:
        matches = [text.lower() in f"{one.path} {one.name}".lower() for one in sources]
        left_out = [(one, f"no {text!r} in its path or description") for one, match
                    in zip(sources, matches, strict=True) if not match]
        kept = [one for one, match in zip(sources, matches, strict=True) if match]
    for group in ambiguous(kept).values():
        chosen = _clear_choice(group) if text is None else min(group, key=lambda one: (
            one.name.lower() != text.lower(), bool(one.notes), _is_derived(one)))
        if chosen is None:
            unclear.append(group)
        else:
            name = "a series of DICOM files" if chosen.series else chosen.name      # a description may name a patient
            left_out += [(one, f"another volume of its session is used: {name}") for one in group if one is not chosen]
    dropped = {id(one) for one, _ in left_out}
    return [one for one in kept if id(one) not in dropped], left_out, unclear


def choose_one_each(sources: Sequence[Source], text: str | None) -> tuple[list[Source], list[tuple[Source, str]]]:
    """`one_per_session`; UserError, with the volumes to choose from, if the choice is not clear."""
    used, left_out, unclear = one_per_session(sources, text)
    if unclear:
        names = sorted(set().union(*map(_differing, unclear)))
        raise UserError(f"{len(unclear)} sessions have several volumes, the first {len(unclear[0])}: choose with "
                        "--series TEXT, a part of the description or of the path (of several matches one is used), "
                        "among: "
                        + "; ".join(names[:SHOWN]) + "; …" * (len(names) > SHOWN))
    if text is not None and sources and not used:
        raise UserError(f"--series {text}: no volume has it in its path or description")
    return used, left_out


def _clear_choice(group: list[Source]) -> Source | None:
    corrected = [one for one in group if re.search(r"_t88_gfc\b", one.name)]
    t1 = [one for one in group if T1.search(one.name) and not one.notes]
    raw = [one for one in t1 if not _is_derived(one)]
    return next((found[0] for found in (corrected, t1, raw) if len(found) == 1), None)


def _is_derived(source: Source) -> bool:
    """Whether a volume is in a folder of results that BIDS keeps beside the scans."""
    return "derivatives" in Path(source.path).parts[:-1]


def _differing(group: list[Source]) -> set[str]:
    """The names of a session's volumes; of files without their common beginning, which names the session, and with
    their folders if these alone tell them apart.
    """
    if any(one.series for one in group):        # a folder of DICOM files may name a patient
        return {f"{one.name} ({len(one.files)} files)" if one.series else one.name for one in group}
    names = [one.name for one in group]
    names = names if len(set(names)) == len(names) else [one.path for one in group]
    start = os.path.commonprefix(names)
    cut = max(start.rfind("_"), start.rfind("/")) + 1
    return {name[cut:] for name in names}


def _dicom_source(series: Series, folder: Path | None, name: str | None) -> Source:
    """The source of a series; its subject is the header's PatientID, in canonical form if it is an archive's.

    Without one, or where it only says that it was removed, it is that of the names of file and folders, `name`.
    """
    place = _shown(Path(os.path.commonpath([path.parent for path in series.files])), folder)
    known = archive_ids(series.patient)
    subject: str | None = known.pop() if len(known) == 1 else canonical_id(series.patient)
    if is_missing(subject) or NO_ID.fullmatch(subject):
        subject = name
    return Source(tuple(series.files), place, series.description, subject, "/".join(series.study), series)


def files_below(folder: Path) -> list[Path]:
    """Every file below a folder but hidden ones and those left by operating systems.

    Links to folders are not followed but among the files, so that they are left out with a reason.
    """
    found = []
    for parent, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = [name for name in folders if not is_litter(name)]
        links = [name for name in folders if os.path.islink(os.path.join(parent, name))]
        found += [Path(parent, name) for name in (*names, *links) if not is_litter(name)]
    return found


def _raise(error: OSError) -> None:
    """A folder that cannot be read may hold volumes: it is an error, not left out."""
    raise UserError(f"{error.filename}: a folder that cannot be read ({error.strerror})") from error
