"""Makes slices in class folders, split by patient, from volumes (NIfTI, Analyze, DICOM) and a table of labels:
tools/prepare_data.py VOLUMES --labels FILE --out DATA"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))    # run as a file, from anywhere

from functions.config.parser import OneLineParser
from functions.config.settings import count, image_size, seed
from functions.runtime.errors import UserError, printable
from functions.runtime.exits import one_line_errors

SHOWN = 10          # reasons that are printed, each with one volume; left_out.csv has all


def main() -> None:
    """Parses the command line and prepares the data; user errors print one line instead of a traceback."""
    with one_line_errors():
        parser = OneLineParser(description=__doc__)
        parser.add_argument("volumes", type=Path, metavar="VOLUMES", help="a folder with volumes at any depth")
        parser.add_argument("--labels", type=Path, metavar="FILE", help="a CSV with columns class and "
                            "subject or path, optionally session [no classes, no split: slices for predict.py]")
        parser.add_argument("--out", type=Path, required=True, metavar="DATA",
                            help="a new folder, or one that this tool made: only new volumes are then read")
        parser.add_argument("--series", metavar="TEXT", help="use the volumes with TEXT in their path or series "
                            "description, one for each session [the only T1 of the session]")
        parser.add_argument("--slices", type=int, default=16, help="axial slices of each volume [16]")
        parser.add_argument("--size", type=image_size, default=(224, 192), help="height x width in pixels [224x192]")
        parser.add_argument("--spacing", type=float, default=1.0, help="mm per pixel [1]")
        parser.add_argument("--bits", type=int, choices=(8, 16), default=8, help="bits of the PNG files [8]")
        parser.add_argument("--window", choices=("percentiles", "header"), default="percentiles", help="black and "
                            "white: percentiles of the volume, or the window of DICOM headers, as of CT [percentiles]")
        parser.add_argument("--orientation", type=str.upper, metavar="AXES", help="the axes of volumes that record no "
                            "orientation, for instance LAS [they are left out]")
        parser.add_argument("--key", type=Path, metavar="FILE", help="file with the original IDs of DICOM patients "
                            "[DATA_key.csv, beside DATA]")
        parser.add_argument("--seed", type=seed, default=0, help="of the split [0]")
        parser.add_argument("--workers", type=count, default=sys.maxsize, help="processes, one volume each at a time, "
                            "at most one per core [all cores]")
        prepare(parser.parse_args())


def prepare(arguments) -> None:
    """Volumes, their classes, one of each session, their slices, the split, the folders and tables."""
    from data_setup.resources import available_cores
    from data_setup.splits.split import count_table
    from data_setup.volumes import new_ids
    from data_setup.volumes.convert import convert_all
    from data_setup.volumes.discover import choose_one_each, find_volumes
    from data_setup.volumes.labels import Labels, unlabelled
    from data_setup.volumes.output import STORE, assign, copied, make_items, manifest, write_folders
    from data_setup.volumes.preparation import NAME, describe_preparation
    from functions.runtime.atomic_files import write_json
    from functions.runtime.csv_files import write_csv
    from functions.runtime.progress import Progress

    settings, key_file = checked(arguments)
    labels = Labels(arguments.labels) if arguments.labels else None
    found = find_volumes(arguments.volumes, headers_bar)
    print(printable(f"{len(found.sources):,} volumes below {arguments.volumes}"))
    if not (found.sources or found.left_out or found.dicom or found.unread):
        raise UserError(f"{arguments.volumes}: no volume can be used: there is no NIfTI, Analyze or DICOM file in it")
    if found.fields:
        print(printable(f"identifying header fields (files): {found.field_names}"))
        print(printable(f"none of them is copied; patients of DICOM files get new IDs, the key is {key_file}"))
    classes = labels.find(found.sources) if labels else unlabelled(found.sources)
    out, left_out = [(one.source, one.reason) for one in classes if one.klass is None], list(found.left_out)
    others = [(path, "neither NIfTI, Analyze nor DICOM") for path in found.others]
    unread = [*found.dicom_left_out, *found.unread, *(others if found.dicom else [])]     # beside DICOM files
    left_out += [(new_ids.code(path), reason) for path, reason in unread] + ([] if found.dicom else others)
    used, not_chosen = choose_one_each([one.source for one in classes if one.klass], arguments.series)
    used, second = new_ids.without_second_ids(used)
    ids = new_ids.NewIds(key_file, [one.source for one in classes])
    for note in new_ids.doubtful(used, ids):
        print(note)

    progress = Progress("volumes to slices", len(used) * settings.slices)
    records = convert_all(used, settings, arguments.out / STORE, min(arguments.workers, available_cores()),
                          lambda count: progress.update(count * settings.slices))
    progress.close()
    items, unusable = make_items(used, records, {id(one.source): one for one in classes}, ids)
    left_out += unusable
    left_out += [(new_ids.place(source), reason) for source, reason in [*out, *not_chosen, *second]]
    report_left_out(left_out, arguments.out)
    if unread or any(source.series for source in found.sources):
        write_csv(key_file, ids.table([one.source for one in classes], [path for path, _ in unread]))
        key_file.chmod(0o600)
    if not items:
        raise UserError(f"{arguments.volumes}: no volume can be used; the reasons: {arguments.out / 'left_out.csv'}")
    new_ids.check_labels([item.subject for item in items])
    for note in copied(items):
        print(printable(note))
    splits, notes = assign(items, arguments.seed)
    write_folders(arguments.out, items, splits)
    table = manifest(items, splits, settings)
    write_csv(arguments.out / "manifest.csv", table)
    write_json(arguments.out / NAME, describe_preparation(settings))
    if labels:
        print(count_table(table).to_string())
        print(*map(printable, [*labels.notes, *notes]), sep="\n")
    print(printable(f"{arguments.out}: {len(table):,} slices of {len(items):,} volumes "
                    f"({sum(item.record['new'] for item in items):,} new); look at {arguments.out / 'contact_sheets'}"))


def checked(arguments):
    """(settings, key file); UserError for what can be refused before anything is read."""
    from data_setup.volumes.formats.packages import import_nibabel, import_pydicom
    from data_setup.volumes.output import REPLACED, STORE
    from data_setup.volumes.slices import Settings
    from functions.checkpointing.run_names import check_file_writable, check_writable

    import_nibabel()
    import_pydicom()
    out = arguments.out
    if arguments.volumes.is_file():
        raise UserError(f"{arguments.volumes} is a file: name its folder, {arguments.volumes.parent}")
    if not arguments.volumes.is_dir():
        raise UserError(f"{arguments.volumes}: no such folder")
    if arguments.volumes.resolve().is_relative_to(out.resolve()):
        raise UserError(f"--out {out} contains the volumes: name another folder")
    if out.exists() and not (out / STORE).is_dir() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} exists and was not made by this tool: name another folder with --out")
    settings = Settings(arguments.slices, arguments.size, arguments.spacing, arguments.bits, arguments.window,
                        arguments.orientation)
    key_file = arguments.key or out.with_name(f"{out.resolve().name}_key.csv")
    if any(key_file.resolve().is_relative_to((out / name).resolve()) for name in REPLACED):
        raise UserError(f"--key {key_file} is among the slices: keep it elsewhere")
    if arguments.key:
        check_file_writable(arguments.key, "--key")
    check_writable(out.parent, "name another folder with --out")
    return settings, key_file


def headers_bar(files):
    """The files, with a progress bar on a terminal."""
    from tqdm import tqdm

    return tqdm(files, desc="DICOM headers", leave=False, disable=None)


def report_left_out(left_out, out) -> None:
    """Writes all reasons to left_out.csv and prints each kind, the text before a colon, once."""
    from pandas import DataFrame

    from functions.runtime.csv_files import write_csv

    write_csv(out / "left_out.csv", DataFrame(left_out, columns=["source", "reason"], dtype=object))
    kinds: dict[str, list[tuple[str, str]]] = {}
    for place, reason in left_out:
        kinds.setdefault(reason.partition(": ")[0], []).append((place, reason))
    for (place, reason), *more in list(kinds.values())[:SHOWN]:
        print(printable(f"left out: {place}: {reason}" + f"; {len(more):,} more for the same reason" * bool(more)))
    if len(kinds) > SHOWN:
        print(printable(f"left out: for {len(kinds) - SHOWN:,} more reasons: {out / 'left_out.csv'}"))


if __name__ == "__main__":
    main()
