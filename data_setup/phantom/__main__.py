"""Generates the phantom: python -m data_setup.phantom OUT --people 100 --slices 8 --seed 0 [--fault leak …]"""

from pathlib import Path

from data_setup.phantom.ceiling import ceiling
from data_setup.phantom.faults import FAULTS
from data_setup.phantom.generate import contact_sheet, make_phantom
from functions.checkpointing.run_names import check_file_writable, check_writable
from functions.config.parser import OneLineParser
from functions.runtime.errors import UserError, printable
from functions.runtime.exits import one_line_errors


def main() -> None:
    """Writes the set, a contact sheet if asked for, and prints the Bayes-optimal score."""
    with one_line_errors():
        parser = OneLineParser(prog="phantom", description=__doc__)
        parser.add_argument("out", type=Path, metavar="OUT", help="folder to write; it must not exist")
        parser.add_argument("--people", type=int, default=100, help="patients [100]")
        parser.add_argument("--slices", type=int, default=8, help="slices per patient [8]")
        parser.add_argument("--seed", type=int, default=0, help="random seed [0]")
        parser.add_argument("--fault", action="append", default=[],
                            help=f"plant a fault (repeatable): {', '.join(FAULTS)}")
        parser.add_argument("--contact_sheet", type=Path, metavar="FILE", help="also save a PNG of some patients")
        arguments = parser.parse_args()
        sheet = arguments.contact_sheet
        if sheet:
            check_file_writable(sheet, "--contact_sheet")
            if sheet.suffix.lower() != ".png":
                raise UserError(f"--contact_sheet {sheet} does not end in .png")
        check_writable(arguments.out.parent, "name another OUT")
        out = make_phantom(arguments.out, arguments.people, arguments.slices, arguments.seed, arguments.fault)
        if sheet:
            contact_sheet(out).save(sheet, format="PNG", optimize=True)
        best = ceiling(out)
        print(f"{printable(out)}: {arguments.people} patients, {arguments.slices} slices each, faults: "
              f"{', '.join(arguments.fault) or 'none'}")
        print(f"best possible per patient: balanced accuracy {best['balanced_accuracy']:.1%} (on these "
              f"{best['test_people']} test patients {best['test_balanced_accuracy']:.1%}), accuracy "
              f"{best['accuracy']:.1%}, macro AUROC {best['macro_auroc']:.3f}")


if __name__ == "__main__":
    main()
