"""Generates a phantom: python -m data_setup.phantom OUT [--kind vessels] --people 100 --slices 8 [--fault leak …]"""

from pathlib import Path

from data_setup.phantom import vessels
from data_setup.phantom.ceiling import ceiling
from data_setup.phantom.faults import FAULTS
from data_setup.phantom.generate import contact_sheet, make_phantom
from functions.checkpointing.run_names import check_file_writable, check_writable
from functions.config.parser import OneLineParser
from functions.runtime.errors import UserError, printable
from functions.runtime.exits import one_line_errors


def main() -> None:
    """Writes the set, a contact sheet if asked for, and prints the best possible score."""
    with one_line_errors():
        parser = OneLineParser(prog="phantom", description=__doc__)
        parser.add_argument("out", type=Path, metavar="OUT", help="folder to write; it must not exist")
        parser.add_argument("--kind", choices=("brain", "vessels"), default="brain",
                            help="brain: slices of three stages; vessels: angiogram-like views, normal or abnormal "
                            "[brain]")
        parser.add_argument("--people", type=int, default=100, help="patients [100]")
        parser.add_argument("--slices", type=int, default=8, help="slices, or views, per patient [8]")
        parser.add_argument("--seed", type=int, default=0, help="random seed [0]")
        parser.add_argument("--fault", action="append", default=[],
                            help=f"plant a fault in the brains (repeatable): {', '.join(FAULTS)}")
        parser.add_argument("--contact_sheet", type=Path, metavar="FILE", help="also save a PNG of some patients")
        arguments = parser.parse_args()
        sheet = arguments.contact_sheet
        if sheet:
            check_file_writable(sheet, "--contact_sheet")
            if sheet.suffix.lower() != ".png":
                raise UserError(f"--contact_sheet {sheet} does not end in .png")
        if arguments.fault and arguments.kind == "vessels":
            raise UserError("--fault is of --kind brain: the vessels have none")
        check_writable(arguments.out.parent, "name another OUT")
        (make_vessels if arguments.kind == "vessels" else make_brains)(arguments)


def make_brains(arguments) -> None:
    out = make_phantom(arguments.out, arguments.people, arguments.slices, arguments.seed, arguments.fault)
    if arguments.contact_sheet:
        contact_sheet(out).save(arguments.contact_sheet, format="PNG", optimize=True)
    best = ceiling(out)
    print(f"{printable(out)}: {arguments.people} patients, {arguments.slices} slices each, faults: "
          f"{', '.join(arguments.fault) or 'none'}")
    print(f"best possible per patient: balanced accuracy {best['balanced_accuracy']:.1%} (on these "
          f"{best['test_people']} test patients {best['test_balanced_accuracy']:.1%}), accuracy "
          f"{best['accuracy']:.1%}, macro AUROC {best['macro_auroc']:.3f}")


def make_vessels(arguments) -> None:
    out = vessels.make_vessels(arguments.out, arguments.people, arguments.slices, arguments.seed)
    if arguments.contact_sheet:
        contact_sheet(out, classes=vessels.CLASSES, index="view").save(arguments.contact_sheet, format="PNG",
                                                                        optimize=True)
    best = vessels.ceiling()
    print(f"{printable(out)}: {arguments.people} patients, {arguments.slices} views each")
    print(f"best possible per patient, in expectation: accuracy {best['accuracy']:.1%}, AUROC {best['auroc']:.3f}")


if __name__ == "__main__":
    main()
