"""A page on this computer to try a trained model with slices of one patient: tools/app.py RUN"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))    # run as a file, from anywhere

from functions.config.parser import OneLineParser
from functions.config.settings import device_name
from functions.runtime.errors import printable
from functions.runtime.exits import one_line_errors

PORT = 7860
BATCH = 64


def main() -> None:
    """Parses the command line and serves the page until Ctrl-C."""
    with one_line_errors():
        parser = OneLineParser(description=__doc__)
        parser.add_argument("run", type=Path, metavar="RUN_OR_CHECKPOINT", help="a run's folder, or a checkpoint")
        parser.add_argument("--port", type=int, default=PORT, metavar="N", help=f"on 127.0.0.1 [{PORT}]")
        parser.add_argument("--device", type=device_name, default="auto", metavar="X",
                            help="auto (a GPU if available), cpu, cuda, cuda:N, mps [auto]")
        arguments = parser.parse_args()
        if not 1024 <= arguments.port <= 65535:
            parser.error(f"--port {arguments.port}: from 1024 to 65535")
        serve(arguments.run, arguments.port, arguments.device)


def serve(run: Path, port: int, device: str) -> None:
    """Checks what the page needs, loads the model, and serves the page."""
    from functions.app.environment import check_gradio, check_port, isolated

    check_gradio()
    check_port(port)
    trained, predictor, notes = load_app(run, device)
    for note in notes:
        print(f"note: {printable(note)}", file=sys.stderr)
    with isolated() as folder:
        from data_setup.images.read import read_gray
        from functions.app.page import Actions, build_page
        from functions.app.server import serving

        checkpoint, actions = trained.checkpoint, Actions(predictor, read_gray, folder)
        facts = [f"model: {trained.file}, epoch {checkpoint['epoch']}", *notes]
        page = build_page(actions, "ViT-Dementia: try a model", checkpoint["stamps"], facts)
        with serving(page, folder, port) as address:
            print(f"{address} (Ctrl-C stops it; research only, not a diagnosis)", flush=True)
            wait()
        actions.close()


def load_app(run: Path, device: str):
    """(the trained model, its Predictor, notes) of a run folder or a checkpoint."""
    from data_setup.images.resize import from_description
    from data_setup.listing.moved_data import written_split
    from data_setup.loading.image_stream import stream_images
    from data_setup.loading.training_slices import stream_known, training_slices
    from data_setup.loading.transforms import make_transforms
    from data_setup.resources import available_cores
    from data_setup.splits.seen_slices import SeenSlices
    from data_setup.subjects.find import find_subjects
    from functions.app.answer import Predictor
    from functions.checkpointing.trained_model import load_trained
    from functions.prediction.features import FeatureExtractor
    from functions.prediction.reference import find_reference, reference_maker
    from functions.runtime import device as runtime

    device = runtime.pick_device(device, available_cores())
    trained = load_trained(run, device)
    checkpoint, preprocessing = trained.checkpoint, trained.checkpoint["preprocessing"]
    frame, channels = from_description(preprocessing, trained.file), preprocessing["channels"]
    transform = make_transforms(preprocessing["mean"], preprocessing["std"], augment=False)[1].to(device)
    precision, of_precision = runtime.scoring_precision(checkpoint["precision"], device)
    extract = FeatureExtractor(trained.model, device, precision)

    # What the model was trained on
    settings = trained.recorded_settings()
    known, of_training = training_slices(trained.run, written_split(trained.run, settings, {}) if settings else None)
    seen = SeenSlices(checkpoint["seen"], known)
    make = reference_maker(known, lambda paths: stream_known(paths, frame, channels),
                           lambda pixels: extract(transform(pixels.to(device))), checkpoint)
    reference, of_reference = find_reference(trained.folder, checkpoint, make)

    def mark(paths, subjects, batch):
        seen.same_ids.clear()                      # of the last answer
        return seen.mark(paths, subjects, batch.digests, batch.grays), seen.late_notes

    predictor = Predictor(
        trained.model, checkpoint["class_names"], extract, transform,
        read=lambda paths: stream_images(paths, frame, channels, BATCH),
        subjects_of=lambda paths: find_subjects([Path(path).name for path in paths]),
        mark=mark, reference=reference)
    if reference is not None:
        of_reference = []                          # that it was written is no caveat
    return trained, predictor, [note for note in (of_precision, *of_training, *seen.notes, *of_reference) if note]


def wait() -> None:
    """Returns on Ctrl-C or SIGTERM."""
    from threading import Event

    try:
        Event().wait()
    except KeyboardInterrupt:
        print("stopped")


if __name__ == "__main__":
    main()
