"""Predicts new images or volumes (NIfTI, Analyze, DICOM) with a trained model: python predict.py RUN FILE_OR_FOLDER…"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from functions.config.parser import OneLineParser
from functions.config.settings import device_name
from functions.runtime.errors import UserError, printable
from functions.runtime.exits import one_line_errors

BATCH = 64


def main() -> None:
    """Parses the command line and predicts; exit code 1 if an image could not be predicted."""
    with one_line_errors():
        parser = OneLineParser(description=__doc__)
        parser.add_argument("run", type=Path, metavar="RUN_OR_CHECKPOINT", help="a run's folder, or a checkpoint")
        parser.add_argument("images", nargs="+", metavar="IMAGE",
                            help="image files, volumes, folders, or quoted glob patterns")
        parser.add_argument("--out", type=Path, metavar="FILE", help="a .csv or .json file instead of standard output")
        parser.add_argument("--subjects", type=Path, metavar="FILE", help="CSV with columns path, subject")
        parser.add_argument("--subject_pattern", metavar="X", help='regex on the path with a group "subject"')
        parser.add_argument("--tta", action="store_true", help="average the probabilities of each image and its mirror")
        parser.add_argument("--attention", type=Path, metavar="DIR",
                            help="write overlays of the relevance map, each with its tests of faithfulness")
        parser.add_argument("--series", metavar="TEXT", help="of a folder, use the volumes with TEXT in their path or "
                            "series description [the only T1 of each session]")
        parser.add_argument("--orientation", type=str.upper, metavar="AXES", help="the axes of volumes that record no "
                            "orientation, for instance LAS [they are not predicted]")
        parser.add_argument("--key", type=Path, metavar="FILE", help="file with the original IDs of DICOM patients "
                            "[NAME_key.csv, beside --out NAME.csv]")
        parser.add_argument("--device", type=device_name, default="auto", metavar="X",
                            help="auto (a GPU if available), cpu, cuda, cuda:N, mps [auto]")
        with TemporaryDirectory(prefix="volumes-") as store:
            failed = predict(parser.parse_args(), Path(store))
    sys.exit(1 if failed else 0)


def predict(arguments, store: Path) -> int:
    """Checkpoint, images, training slices, then one row per image, patient and volume; returns the number of failures.
    """
    from data_setup.images.resize import from_description
    from data_setup.listing.image_inputs import list_inputs
    from data_setup.listing.moved_data import written_split
    from data_setup.loading.image_stream import stream_images
    from data_setup.loading.training_slices import stream_known, training_slices
    from data_setup.loading.transforms import make_transforms
    from data_setup.resources import available_cores
    from data_setup.splits.seen_slices import SeenSlices
    from data_setup.subjects.find import subjects_and_notes
    from data_setup.volumes.inputs import check_any, find_inputs
    from data_setup.volumes.preparation import settings_of
    from functions.checkpointing.trained_model import load_trained
    from functions.explain.overlay_files import OverlayFiles
    from functions.prediction.features import FeatureExtractor
    from functions.prediction.output import report
    from functions.prediction.reference import find_reference, reference_maker
    from functions.prediction.rows import Found, ImageRow, image_rows
    from functions.runtime import device as runtime

    # The checkpoint, and the images
    device = runtime.pick_device(arguments.device, available_cores())
    trained = load_trained(arguments.run, device)
    checkpoint, preprocessing = trained.checkpoint, trained.checkpoint["preprocessing"]
    class_names = checkpoint["class_names"]
    frame, channels = from_description(preprocessing, trained.file), preprocessing["channels"]
    transform = make_transforms(preprocessing["mean"], preprocessing["std"], augment=False)[1].to(device)
    volumes = find_inputs(arguments.images, arguments.series)
    paths, notes = list_inputs(arguments.images, volumes.files, private=volumes.dicom)
    check_output(arguments, [*paths, *volumes.files])
    subjects, of_subjects = subjects_and_notes(paths, arguments.subjects, arguments.subject_pattern)
    slices = make_slices(arguments, volumes, settings_of(preprocessing, trained.file), store)
    check_any(paths, slices, volumes)
    names, volume_of = [*paths, *slices.names], [""] * len(paths) + slices.volumes
    paths, subjects = [*paths, *slices.files], [*subjects, *slices.subjects]
    overlays = OverlayFiles(arguments.attention, trained.model, class_names) if arguments.attention else None
    precision, of_precision = runtime.scoring_precision(checkpoint["precision"], device)
    extract = FeatureExtractor(trained.model, device, precision, mirrored=arguments.tta)

    # What the model was trained on
    settings = trained.recorded_settings()
    split = written_split(trained.run, settings, {}) if settings else None
    known, of_training = training_slices(trained.run, split)
    seen = SeenSlices(checkpoint["seen"], known)
    plain = FeatureExtractor(trained.model, device, precision)
    make = reference_maker(known, lambda paths: stream_known(paths, frame, channels),
                           lambda pixels: plain(transform(pixels.to(device))), checkpoint)
    reference, of_reference = find_reference(trained.folder, checkpoint, make)
    for note in (*notes, *of_subjects, of_precision, *of_training, *seen.notes, *of_reference):
        tell(note)

    # One row per image, in batches
    def rows():
        yield from (ImageRow(volume, error=reason) for volume, reason in slices.faulty)
        start = 0
        for batch in stream_images(paths, frame, channels, BATCH):
            part = slice(start, start + len(batch.paths))
            own, shown, start = subjects[part], names[part], part.stop
            readable, patients = ([values[row] for row in batch.rows] for values in (batch.paths, own))
            found = None
            if readable:
                slice_names = [shown[row] for row in batch.rows]
                images = transform(batch.pixels.to(device))
                probabilities, features = extract(images)
                found = Found(probabilities, features, batch.coloured,
                              seen.mark(readable, patients, batch.digests, batch.grays),
                              overlays.write(slice_names, images, probabilities) if overlays else None)
            yield from image_rows(shown, own, batch.errors, found, reference, volume_of[part])

    return report(rows(), len(paths) + len(slices.faulty), class_names, arguments.out, lambda: seen.late_notes, tell,
                  slices.facts)


def make_slices(arguments, volumes, settings, store: Path):
    """The slices of all volumes (`prepare`), and the key of DICOM patients; prints what is assumed or left out."""
    from tqdm import tqdm

    from data_setup.resources import available_cores
    from data_setup.volumes.inputs import notes_on, prepare, with_subjects
    from data_setup.volumes.new_ids import NewIds
    from functions.runtime.csv_files import write_csv

    key = arguments.key or (arguments.out and arguments.out.with_name(f"{arguments.out.stem}_key.csv"))
    sources, notes = with_subjects(volumes.sources, arguments.subjects, arguments.subject_pattern)
    ids = NewIds(key if volumes.dicom else None, sources)
    if key and volumes.dicom:
        write_csv(key, ids.table(sources, volumes.unread))
        key.chmod(0o600)
    for note in (*notes, *notes_on(volumes, settings, key)):
        tell(note)
    with tqdm(total=len(sources), desc="volumes to slices", leave=False, disable=None) as bar:      # on standard error
        slices = prepare(sources, ids, settings, arguments.orientation, store / "slices", available_cores(), bar.update)
    return slices._replace(faulty=[*volumes.faulty, *slices.faulty])


def check_output(arguments, paths: list[str]) -> None:
    """Raises UserError for an output that cannot be written, or that would overwrite or join what is read."""
    from functions.checkpointing.run_names import make_folder
    from functions.prediction.output import check_files

    folder = arguments.attention
    if arguments.out is not None:
        check_files(arguments.out, arguments.subjects)
    if folder is not None:
        inside = folder.resolve()
        if any(Path(path).resolve().is_relative_to(inside) for path in paths):
            raise UserError(f"--attention {folder} holds images to predict: name another folder")
        make_folder(folder, "--attention")


def tell(note: str) -> None:
    """Prints a note to standard error; an empty one is none."""
    if note:
        print(f"note: {printable(note)}", file=sys.stderr)


if __name__ == "__main__":
    main()
