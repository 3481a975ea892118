"""Draws the paper's Figures 6 and 7 of a checkpoint, with tests of each map's faithfulness: tools/attention.py RUN …"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))    # run as a file, from anywhere

from functions.config.parser import OneLineParser
from functions.config.settings import device_name
from functions.runtime.errors import UserError, printable
from functions.runtime.exits import one_line_errors

METHODS = ("attention", "rollout", "relevance")
DISTANCES = 128      # test slices over which attention distances are averaged, as in the paper
MAX_DPI = 1200
MAX_SHOWN = 32       # slices in Figure 6: 35 with MAX_DPI have 65,535 pixels, the most that Matplotlib draws


def main() -> None:
    """Parses the command line and draws; user errors print one line instead of a traceback."""
    with one_line_errors():
        parser = OneLineParser(description=__doc__)
        parser.add_argument("run", type=Path, metavar="RUN_OR_CHECKPOINT", help="a run's folder, or a checkpoint")
        parser.add_argument("images", type=Path, nargs="*", metavar="IMAGE",
                            help=f"slices to explain, at most {MAX_SHOWN} [test slices of the run, "
                            "each of another patient]")
        parser.add_argument("--out", type=Path, metavar="DIR", help="folder for the figures [RUN/attention]")
        parser.add_argument("--method", nargs="+", choices=METHODS, default=["rollout"], help="[rollout]")
        parser.add_argument("--count", type=int, default=6, metavar="N",
                            help=f"test slices in Figure 6, at most {MAX_SHOWN} [6]")
        parser.add_argument("--orders", type=int, default=39, metavar="N",
                            help="random orders of patches to compare with, at least 19 [39]")
        parser.add_argument("--dpi", type=int, default=300, metavar="N", help=f"dots per inch, at most {MAX_DPI} [300]")
        parser.add_argument("--device", type=device_name, default="auto", metavar="X",
                            help="auto (a GPU if available), cpu, cuda, cuda:N, mps [auto]")
        draw(parser.parse_args())


def draw(arguments) -> None:
    """Model, slices, maps and their tests, both figures, the table of tests."""
    import pandas as pd
    import torch

    from data_setup.images.resize import from_description
    from data_setup.loading.transforms import image_reader
    from data_setup.resources import available_cores
    from functions.checkpointing.run_names import make_folder
    from functions.checkpointing.trained_model import load_trained
    from functions.explain.faithfulness import check_counts, faithfulness
    from functions.explain.figures import figure_6, figure_7
    from functions.explain.maps import check_choice, describe
    from functions.runtime.atomic_files import write_text
    from functions.runtime.csv_files import to_csv
    from functions.runtime.device import pick_device
    from functions.runtime.progress import Progress

    for flag, value, most in (("--count", arguments.count, MAX_SHOWN), ("--dpi", arguments.dpi, MAX_DPI)):
        if not 1 <= value <= most:
            raise UserError(f"{flag} {value}: from 1 to {most}")
    if len(arguments.images) > MAX_SHOWN:
        raise UserError(f"{len(arguments.images)} slices: at most {MAX_SHOWN} are drawn in one figure")
    check_counts(arguments.orders)
    device = pick_device(arguments.device, available_cores())
    trained = load_trained(arguments.run, device)
    model, checkpoint, folder = trained.model, trained.checkpoint, trained.folder
    check_choice(model, arguments.method[0])                        # a ResNet has no attention
    from_description(checkpoint["preprocessing"], trained.file)     # one line about this file if it is damaged
    read, names = image_reader(checkpoint["preprocessing"]), checkpoint["class_names"]
    if arguments.images:
        paths, classes = arguments.images, [""] * len(arguments.images)
        shown = len(paths)
    else:
        paths, classes = run_test_slices(folder)
        shown = min(arguments.count, len(paths))
    out = arguments.out or folder / "attention"
    images = torch.stack([read(path) for path in paths[:max(DISTANCES, shown)]]).to(device)
    make_folder(out)                                                # check that it is writable before starting

    # Figure 7, then the maps of Figure 6 and their tests
    title = printable(", ".join(dict.fromkeys([folder.resolve().name, *checkpoint["stamps"]])))
    save(figure_7(model, images, title), out / "figure7.png", arguments.dpi)
    with torch.no_grad():
        probabilities = model(images[:shown]).softmax(dim=1)
    captions = [caption(names[int(p.argmax())], float(p.max()), true)
                for p, true in zip(probabilities, classes, strict=False)]
    maps, caveats, rows = {}, {}, []
    progress = Progress("faithfulness", shown * len(arguments.method))
    for method in arguments.method:
        shares, tests = faithfulness(model, images[:shown], method, orders=arguments.orders, update=progress.update)
        name = describe(model, method)
        maps[method], caveats[method] = shares, [test.caveat for test in tests]
        rows += [row(path, name, test) for path, test in zip(paths, tests, strict=False)]
        print(f"{name}: {sum(test.passes for test in tests)} of {shown} maps pass all tests", flush=True)
    progress.close()
    save(figure_6(images[:shown], captions, maps, caveats), out / "figure6.png", arguments.dpi)
    table = pd.DataFrame(rows)
    write_text(out / "faithfulness.csv", to_csv(table))
    print(table.drop(columns="path").to_string(index=False, float_format="{:.3f}".format))
    print(printable(f"{out} holds figure6.png, figure7.png and faithfulness.csv"))


def run_test_slices(run: Path) -> tuple[list[Path], list[str]]:
    """(paths, classes) of a run's test slices in random order, one of each patient first, then the others."""
    from data_setup.listing.data_folders import find_folders
    from data_setup.listing.moved_data import written_split
    from functions.checkpointing.run_folder import check_split, read_record
    from functions.checkpointing.run_tables import read_split

    if not (run / "run.json").is_file():
        raise UserError(f"{run} is not a run's folder: name slices after the checkpoint")
    record = read_record(run)
    check_split(run, record)
    split = read_split(run / "split.csv")
    test = split[split["split"] == "test"].sample(frac=1, random_state=0).reset_index(drop=True)
    written = written_split(run, record["settings"], {})
    if record["settings"].get("demo") and not all(Path(path).is_file() for path in written.resolve(test["path"][:1])):
        find_folders(None, None, None, demo=True)              # generates the phantom in data/
    test["path"] = written.resolve(test["path"].tolist())
    if test.empty:
        raise UserError(f"{run / 'split.csv'} has no test slices: name slices after the checkpoint")
    if missing := [path for path in test["path"] if not Path(path).is_file()]:
        raise UserError(f"{len(missing)} of {len(test)} test slices of {run} do not exist, the first: {missing[0]}: "
                        "restore them, or name slices after the checkpoint")
    who = test["subject"].where(test["subject"] != "", test["path"])
    turn = test.groupby(who).cumcount()                        # 0: the first slice of its patient
    place = test.groupby([turn, "class"]).cumcount()           # classes take turns
    test = test.assign(turn=turn, place=place).sort_values(["turn", "place", "class"])
    return [Path(path) for path in test["path"]], test["class"].tolist()


def caption(predicted: str, probability: float, true: str) -> str:
    from functions.reports.figure_text import short

    return f"{short(predicted, 20)} {probability:.0%}" + (f"\ntrue: {short(true, 20)}" if true else "")


def row(path: Path, method: str, test) -> dict:
    import numpy as np

    return {"path": printable(path), "slice": printable(path.name), "map": method,
            "insertion": test.insertion, "deletion": test.deletion, "random orders": np.mean(test.random),
            "p insertion": test.p_insertion, "p deletion": test.p_deletion,
            "rank correlation": np.mean(test.similarity), "its limit": test.similarity_limit,
            "result": test.caveat or "passes"}


def save(figure, path: Path, dpi: int) -> None:
    from functions.runtime.atomic_files import write_atomically

    write_atomically(path, lambda file: figure.savefig(file, format="png", dpi=dpi, pil_kwargs={"optimize": True}))


if __name__ == "__main__":
    main()
