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
from functions.prediction.rows import NO, UNKNOWN, ImageRow, PatientMeans, class_columns
from functions.runtime.atomic_files import write_atomically, write_text
from functions.runtime.csv_files import escape
from functions.runtime.errors import UserError, not_a_file, printable

Row = Mapping[str, Any]
IMAGES, PATIENTS, JSON = "path,subject,prediction,", "subject,slices,prediction,", '{"images": ['     # first in a file


class Output(Protocol):
    """Receives every image's row, then all patients' rows."""

    def image(self, row: Row) -> None: ...

    def patients(self, rows: Sequence[Row]) -> None: ...


class CsvOutput:
    """CSV with a header, safe for spreadsheets (csv_files.py); patients go to `patients_stream`, if there is one."""

    def __init__(self, stream: TextIO, patients_stream: TextIO | None = None):
        self.stream, self.patients_stream = stream, patients_stream
        self.begun = False

    def image(self, row: Row) -> None:
        _write_csv(self.stream, row, header=not self.begun)
        self.begun = True

    def patients(self, rows: Sequence[Row]) -> None:
        if self.patients_stream:
            for number, row in enumerate(rows):
                _write_csv(self.patients_stream, row, header=number == 0)


def _write_csv(stream: TextIO, row: Row, header: bool) -> None:
    writer = csv.writer(stream, lineterminator="\n")
    if header:
        writer.writerow([escape(name) for name in row])
    writer.writerow(["" if value is None else escape(value) for value in row.values()])


class JsonOutput:
    """One JSON object, {"images": [...], "patients": [...]}, one row per line."""

    def __init__(self, stream: TextIO):
        self.stream = stream
        self.begun = False

    def image(self, row: Row) -> None:
        self.stream.write(",\n" if self.begun else f"{JSON}\n")
        self.stream.write(json.dumps(row, ensure_ascii=False, allow_nan=False))
        self.begun = True

    def patients(self, rows: Sequence[Row]) -> None:
        lines = ",\n".join(json.dumps(row, ensure_ascii=False, allow_nan=False) for row in rows)
        self.stream.write('\n], "patients": [\n' + lines + "\n]}\n")


class TableOutput:
    """A table for readers: class, its probability, remarks, path; then one row per patient."""

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

    def patients(self, rows: Sequence[Row]) -> None:
        if rows:
            self.stream.write(f"\n{'prediction':{self.width}}  probability  patient (mean over slices)\n")
        for row in rows:
            slices = "1 slice" if row["slices"] == 1 else f"{row['slices']} slices"
            self.stream.write(self._prediction(row) + f"  {printable(row['subject'])}, {slices}{remarks(row)}\n")

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
    return {out: JSON} if kind == ".json" else {out: IMAGES, out.with_name(f"{out.stem}_patients.csv"): PATIENTS}


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
           late_notes: Callable[[], list[str]], tell: Callable[[str], object]) -> int:
    """Writes `total` rows to `out`, or to standard output, and a summary by `tell`; the number of rows with an error.

    Standard output gets a table if it is a terminal, else CSV. A .csv file is accompanied by NAME_patients.csv if any
    patient is known; one of earlier predictions is removed otherwise. Files are written atomically. `late_notes()` are
    printed after the rows.
    """
    means, counts = PatientMeans(), Counter[str]()

    def write(output: Output) -> None:
        shown = sys.stderr.isatty() and (out is not None or not sys.stdout.isatty())
        for row in tqdm(rows, total=total, desc="predicting", leave=False, disable=not shown):
            output.image(row.entries(class_names))
            means.add(row)
            counts["unreadable"] += row.error != ""
            counts["seen in training"] += row.seen not in (NO, UNKNOWN)
            counts["out of distribution"] += row.outside not in (NO, UNKNOWN)
        output.patients(means.entries(class_names))

    if out is None:
        terminal = sys.stdout.isatty()
        write(TableOutput(sys.stdout, class_names) if terminal else CsvOutput(sys.stdout))
        if means.sums and not terminal:
            tell(f"{len(means.sums)} patients: their means are written with --out")
    elif out.suffix.lower() == ".json":
        write_atomically(out, lambda file: _as_text(file, lambda stream: write(JsonOutput(stream))))
    else:
        patients, (_, beside) = io.StringIO(), files_of(out)
        write_atomically(out, lambda file: _as_text(file, lambda stream: write(CsvOutput(stream, patients))))
        if means.sums:
            write_text(beside, patients.getvalue())
        else:
            beside.unlink(missing_ok=True)
    for note in (*late_notes(), summary(total, counts, means)):
        tell(note)
    return counts["unreadable"]


def _as_text(file: BinaryIO, write: Callable[[TextIO], object]) -> None:
    stream = io.TextIOWrapper(file, encoding="utf-8", newline="")
    write(stream)
    stream.flush()
    stream.detach()                    # closing the wrapper would close the file


def summary(total: int, counts: Mapping[str, int], means: PatientMeans) -> str:
    """For instance "40 images of 10 patients: 2 unreadable, 0 seen in training, 1 out of distribution"."""
    of = f" of {len(means.sums):,} patients" if means.sums else ""
    return f"{total:,} images{of}: " + ", ".join(f"{counts[what]:,} {what}" for what in (
        "unreadable", "seen in training", "out of distribution"))
