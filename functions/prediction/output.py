"""Writes predictions row by row, as a table for a terminal, as CSV or as JSON; nothing is kept in memory."""

import csv
import io
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TextIO

from tqdm import tqdm

from functions.checkpointing.run_names import check_file_writable
from functions.prediction.rows import NO, UNKNOWN, GroupMeans, ImageRow, class_columns
from functions.runtime.atomic_files import write_atomically, write_text
from functions.runtime.csv_files import escape
from functions.runtime.errors import UserError, not_a_file, printable

Row = Mapping[str, Any]
IMAGES, PATIENTS, JSON = "path,subject,prediction,", "subject,slices,prediction,", '{"images": ['     # first in a file
VOLUMES = "volume,slices,prediction,"


class Output(Protocol):
    """Receives every image's row, then all patients' rows, then those of volumes."""

    def image(self, row: Row) -> None: ...

    def patients(self, rows: Sequence[Row], volumes: Sequence[Row]) -> None: ...


class CsvOutput:
    """CSV with a header, safe for spreadsheets (csv_files.py); patients and volumes go to the streams `beside`, if any.
    """

    def __init__(self, stream: TextIO, beside: tuple[TextIO, TextIO] | None = None):
        self.stream, self.beside = stream, beside
        self.begun = False

    def image(self, row: Row) -> None:
        _write_csv(self.stream, row, header=not self.begun)
        self.begun = True

    def patients(self, rows: Sequence[Row], volumes: Sequence[Row]) -> None:
        for stream, table in zip(self.beside or (), (rows, volumes), strict=False):
            for number, row in enumerate(table):
                _write_csv(stream, row, header=number == 0)


def _write_csv(stream: TextIO, row: Row, header: bool) -> None:
    writer = csv.writer(stream, lineterminator="\n")
    if header:
        writer.writerow([escape(name) for name in row])
    writer.writerow(["" if value is None else escape(value) for value in row.values()])


class JsonOutput:
    """One JSON object, {"images": [...], "patients": [...]}, with "volumes" if there are any, one row per line."""

    def __init__(self, stream: TextIO):
        self.stream = stream
        self.begun = False

    def image(self, row: Row) -> None:
        self.stream.write(",\n" if self.begun else f"{JSON}\n")
        self.stream.write(json.dumps(row, ensure_ascii=False, allow_nan=False))
        self.begun = True

    def patients(self, rows: Sequence[Row], volumes: Sequence[Row]) -> None:
        for name, table in (("patients", rows), *([("volumes", volumes)] if volumes else [])):
            lines = ",\n".join(json.dumps(row, ensure_ascii=False, allow_nan=False) for row in table)
            self.stream.write(f'\n], "{name}": [\n' + lines)
        self.stream.write("\n]}\n")


class TableOutput:
    """A table for readers: class, its probability, remarks, path; then one row per patient and per volume."""

    def __init__(self, stream: TextIO, class_names: Sequence[str]):
        self.stream, self.columns = stream, class_columns(class_names)
        self.width = max(len("prediction"), *(len(printable(name)) for name in class_names))
        self.begun = False

    def image(self, row: Row) -> None:
        if not self.begun:
            self.stream.write(f"{'prediction':{self.width}}  probability  image\n")
        self.begun = True
        if row["error"]:
            self.stream.write(f"{'unreadable':{self.width}}            -  {printable(row['path'])}: "
                              f"{printable(row['error'])}\n")
            return
        self.stream.write(self._prediction(row) + f"  {printable(row['path'])}{remarks(row)}\n")

    def patients(self, rows: Sequence[Row], volumes: Sequence[Row]) -> None:
        for name, group, table in (("subject", "patient", rows), ("volume", "volume", volumes)):
            if table:
                self.stream.write(f"\n{'prediction':{self.width}}  probability  {group} (mean over slices)\n")
            for row in table:
                slices = "1 slice" if row["slices"] == 1 else f"{row['slices']} slices"
                self.stream.write(self._prediction(row) + f"  {printable(row[name])}, {slices}{remarks(row)}\n")

    def _prediction(self, row: Row) -> str:
        largest = max(row[name] for name in self.columns)
        return f"{printable(row['prediction']):{self.width}}  {largest:11.3f}"


def remarks(row: Row) -> str:
    """For instance "  [seen in training: patient; out of distribution: colour]"; "" without any."""
    found = [f"{name.replace('_', ' ')}{'' if row[name] == 'yes' else f': {row[name]}'}"
             for name in ("seen_in_training", "out_of_distribution") if row[name] not in (NO, UNKNOWN)]
    return f"  [{'; '.join(found)}]" if found else ""


def files_of(out: Path) -> dict[Path, str]:
    """The files that `report` writes for `out`, each with the beginning of its content.

    Raises UserError for another ending than .csv and .json.
    """
    if (kind := out.suffix.lower()) not in (".csv", ".json"):
        raise UserError(f"--out {out}: the file's ending must be .csv or .json")
    return {out: JSON} if kind == ".json" else {out: IMAGES, out.with_name(f"{out.stem}_patients.csv"): PATIENTS,
                                               out.with_name(f"{out.stem}_volumes.csv"): VOLUMES}


def check_files(out: Path, subjects: Path | None) -> None:
    """Raises UserError if a file of `files_of` cannot be written, or exists and is not of `report`.

    Predictions are overwritten; the table `subjects`, other files and those of a run's folder are not.
    """
    for file, beginning in files_of(out).items():
        check_file_writable(file, "--out")
        if (file.parent / "run.json").exists():
            raise UserError(f"--out {out} is in a run's folder, among the run's own files: name another folder")
        if file.exists() and subjects is not None and subjects.exists() and file.samefile(subjects):
            raise UserError(f"--out {out} would overwrite --subjects {subjects}: name another file")
        if file.exists() and (why := not_a_file(file)):
            raise UserError(f"{file} is {why}: name another file with --out")
        if file.exists() and not _begins(file, beginning):
            raise UserError(f"{file} exists and holds no predictions: name another file with --out, or remove it")


def _begins(file: Path, beginning: str) -> bool:
    """Whether a file is empty or begins so."""
    with file.open("rb") as opened:
        return opened.read(len(beginning)) in (b"", beginning.encode())


def report(rows: Iterable[ImageRow], total: int, class_names: Sequence[str], out: Path | None,
           late_notes: Callable[[], list[str]], tell: Callable[[str], object],
           volumes: Mapping[str, Row] | None = None) -> int:
    """Writes `total` rows to `out`, or to standard output, and a summary by `tell`; the number of rows with an error.

    Standard output gets a table if it is a terminal, else CSV. A .csv file is accompanied by NAME_patients.csv if any
    patient is known; one of earlier predictions is removed otherwise. Files are written atomically. `late_notes()` are
    printed after the rows. `volumes` describes each volume, in further columns of its row; NAME_volumes.csv has them.
    """
    means, of_volumes, counts = GroupMeans("subject"), GroupMeans("volume"), Counter[str]()

    def write(output: Output) -> None:
        shown = sys.stderr.isatty() and (out is not None or not sys.stdout.isatty())
        for row in tqdm(rows, total=total, desc="predicting", leave=False, disable=not shown):
            output.image(row.entries(class_names))
            means.add(row)
            of_volumes.add(row)
            counts["unreadable"] += row.error != ""
            counts["seen in training"] += row.seen not in (NO, UNKNOWN)
            counts["out of distribution"] += row.outside not in (NO, UNKNOWN)
        output.patients(means.entries(class_names), [{**row, **(volumes or {}).get(str(row["volume"]), {})}
                                                     for row in of_volumes.entries(class_names)])

    if out is None:
        terminal = sys.stdout.isatty()
        write(TableOutput(sys.stdout, class_names) if terminal else CsvOutput(sys.stdout))
        if means.sums and not terminal:
            tell(f"{len(means.sums)} patients: their means are written with --out")
        if of_volumes.sums and not terminal:
            tell(f"{len(of_volumes.sums)} volumes: their means are written with --out")
    elif out.suffix.lower() == ".json":
        write_atomically(out, lambda file: _as_text(file, lambda stream: write(JsonOutput(stream))))
    else:
        beside = io.StringIO(newline=""), io.StringIO(newline="")
        write_atomically(out, lambda file: _as_text(file, lambda stream: write(CsvOutput(stream, beside))))
        for file, stream in zip(list(files_of(out))[1:], beside, strict=True):
            if stream.getvalue():
                write_text(file, stream.getvalue())
            else:
                file.unlink(missing_ok=True)
    for note in (*late_notes(), summary(total, counts, means, of_volumes)):
        tell(note)
    return counts["unreadable"]


def _as_text(file: BinaryIO, write: Callable[[TextIO], object]) -> None:
    stream = io.TextIOWrapper(file, encoding="utf-8", newline="")
    write(stream)
    stream.flush()
    stream.detach()                    # closing the wrapper would close the file


def summary(total: int, counts: Mapping[str, int], means: GroupMeans, of_volumes: GroupMeans) -> str:
    """For instance "40 images of 10 patients: 2 unreadable, 0 seen in training, 1 out of distribution"."""
    groups = [f"{len(group.sums):,} {name}" for group, name in ((of_volumes, "volumes"), (means, "patients"))
              if group.sums]
    of = f" of {' of '.join(groups)}" if groups else ""
    return f"{total:,} images{of}: " + ", ".join(f"{counts[what]:,} {what}" for what in (
        "unreadable", "seen in training", "out of distribution"))
