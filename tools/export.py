"""Exports a checkpoint for other programs: ONNX, torch.export and Hugging Face's layout, each compared with PyTorch:
tools/export.py CHECKPOINT"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))    # run as a file, from anywhere

from functions.config.parser import OneLineParser
from functions.runtime.errors import UserError, printable
from functions.runtime.exits import one_line_errors


def main() -> None:
    """Parses the command line and exports; user errors print one line instead of a traceback."""
    with one_line_errors():
        parser = OneLineParser(description=__doc__)
        parser.add_argument("checkpoint", type=Path, metavar="RUN_OR_CHECKPOINT",
                            help="a run's folder, or a checkpoint")
        parser.add_argument("--out", type=Path, metavar="DIR",
                            help="a new folder for the files [export, beside the checkpoint]")
        parser.add_argument("--format", choices=("onnx", "torch", "huggingface", "all"), default="all",
                            help="onnx: model.onnx; torch: model.pt2; huggingface: model.safetensors with its "
                            "configuration; all: those that the network has [all]")
        parser.add_argument("--license", default="other", metavar="ID",
                            help="licence of the weights in the model card, as the Hub writes it, e.g. cc-by-nc-4.0 "
                            "[other]")
        parser.add_argument("--push", metavar="NAME", help="upload the folder to the Hugging Face Hub as NAME or "
                            "USER/NAME; a new repository is private [nothing is uploaded]")
        export(parser.parse_args())


def export(arguments) -> None:
    """Checkpoint, slices to check with, files, model card; every file is loaded again and compared with PyTorch."""
    from data_setup.resources import available_cores
    from functions.checkpointing.run_names import check_writable
    from functions.checkpointing.trained_model import load_trained
    from functions.exporting import card, hub
    from functions.exporting.files import FORMATS, write_files
    from functions.exporting.packages import check_packages
    from functions.runtime.atomic_files import new_folder, write_text
    from functions.runtime.device import pick_device

    # What can be refused before anything is computed
    card.check_license(arguments.license)
    given = arguments.checkpoint
    out = arguments.out or (given if given.is_dir() else given.parent) / "export"
    if out.exists() or out.is_symlink():
        raise UserError(f"{out} exists: name another folder with --out, or remove it")
    check_writable(out.parent, "name another folder with --out")
    trained = load_trained(given, pick_device("cpu", available_cores()))
    scores, items = card.run_facts(trained.run)
    formats = FORMATS if arguments.format == "all" else (arguments.format,)
    check_packages([*formats, *(["push"] if arguments.push else [])])
    api = hub.hub_api() if arguments.push else None
    target = hub.check_target(api, arguments.push) if api else None

    # What can be written, and slices to check the files with
    source, reasons, slices = make_source(trained)
    for name in [name for name in formats if name in reasons]:
        if arguments.format != "all":
            raise UserError(f"{trained.file} cannot be written as {name}: {reasons[name]}")
        print(printable(f"not written as {name}: {reasons[name]}"))

    with new_folder(out) as draft:
        written = write_files(draft, [name for name in formats if name not in reasons], source)
        title = trained.run.resolve().name if trained.run else trained.file.stem
        write_text(draft / "README.md", card.render_card(card.Card(
            title, source.description, source.preparation, written.files, arguments.license, written.deviations,
            scores, items)))
    for name, remark in written.files.items():
        print(printable(f"{name}: {remark}"))
    print(printable(f"{out}: compared on {slices}; README.md is the model card"))
    if target:
        print(printable(f"pushed to {hub.push(api, out, target)}, private if it is new: read the model card first"))


def make_source(trained):
    """(what is exported, why a format is not possible by format, which slices it is checked with)."""
    from data_setup.images.resize import from_description
    from functions.checkpointing.run_folder import provenance
    from functions.exporting.description import describe
    from functions.exporting.files import Source
    from functions.exporting.onnx_file import too_large
    from functions.exporting.preparation import Preparation
    from models.pretrained import to_huggingface
    from models.pretrained.config_files import huggingface_config
    from models.vit import ViT

    model, said = trained.model, trained.checkpoint["preprocessing"]
    frame = from_description(said, trained.file)
    preparation = Preparation(**vars(frame), mean=tuple(said["mean"]), std=tuple(said["std"]))
    reasons, layout = {"onnx": too_large(model)}, {}
    try:
        vit = model if isinstance(model, ViT) else model.as_vit()
        layout = {"tensors": to_huggingface(vit), "architecture": huggingface_config(vit.config)}
    except UserError as error:
        reasons["huggingface"] = str(error)
    images, pixels, slices = slices_to_check(trained.run, said)
    description = describe(trained.checkpoint, preparation, provenance()["commit"])
    return (Source(model, description, preparation, images, pixels, **layout),
            {name: why for name, why in reasons.items() if why}, slices)


def slices_to_check(run: Path | None, preprocessing: dict):
    """(images (n, C, H, W), their pixels before resizing, a description): a run's test slices, else phantom slices."""
    import tempfile

    import torch

    from data_setup.images.read import read_image
    from data_setup.loading.transforms import image_reader
    from data_setup.phantom.generate import make_phantom
    from functions.exporting.comparison import BATCHES

    read, paths = image_reader(preprocessing), test_slices(run)
    with tempfile.TemporaryDirectory() as temporary:
        if not (own := bool(paths)):
            make_phantom(Path(temporary, "phantom"), people=10, slices=4)
            paths = sorted(map(str, Path(temporary, "phantom").rglob("*.png")))
        paths = paths[::max(1, len(paths) // max(BATCHES))][:max(BATCHES)]
        images = torch.stack([read(path) for path in paths])
        pixels = [read_image(path, preprocessing["channels"]) for path in paths]
    return images, pixels, f"{len(paths)} {'test slices of the run' if own else 'phantom slices'}"


def test_slices(run: Path | None) -> list[str]:
    """The files of a run's test slices; none without a run, or if any of them is missing."""
    from data_setup.listing.moved_data import written_split
    from functions.checkpointing.run_folder import read_record
    from functions.checkpointing.run_tables import read_split

    if run is None or not (run / "run.json").exists():
        return []
    split = read_split(run / "split.csv")
    paths = written_split(run, read_record(run)["settings"], {}).resolve(
        split["path"][split["split"] == "test"].tolist())
    return paths if all(Path(path).is_file() for path in paths) else []


if __name__ == "__main__":
    main()
