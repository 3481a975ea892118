"""Sensitivity and false alarms of the audit on phantoms with planted faults: benchmarks/audit_seeds.py [--seeds N ...]

For each seed a phantom without faults and one with each fault, audited by names and pixels; the clean one and the one
with synthetic images once more with every file renamed to a number, so that only pixels are informative. Prints a line
for each audit to stderr, then the table: how often the fault was detected, and the false alarms.
"""

import argparse
import sys
import tempfile
from collections import Counter
from copy import deepcopy
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))                    # run as a file, from anywhere

NAMED_AS = {"leak": "leak", "duplicates": "copies", "synthetic": "shortcut", "damaged": "damage"}
FOLLOWS = {"duplicates": {"leak"}, "synthetic": {"patients"}}    # copies join splits; synthetic images have no patient
RENAMED = ("clean", "synthetic")


def said(folder: Path) -> dict[str, list[str]]:
    """The audit's findings: kind → texts."""
    from data_setup.audit.findings import audit, list_data

    found = {}
    for finding in audit(*list_data(folder)).findings:
        found.setdefault(finding["what"], []).append(finding["text"])
    return found


def rename(folder: Path) -> None:
    """Gives every image a number for its name."""
    for number, path in enumerate(sorted(folder.rglob("*.png"))):
        path.rename(path.with_name(f"{number * 7919 % 10007:05d}.png"))


def audit_seed(seed: int, people: int, slices: int, folder: Path) -> dict[str, dict[str, list[str]]]:
    """The findings of each set of a seed, all from slices drawn once: its row of the table → findings."""
    from data_setup.phantom.faults import plant
    from data_setup.phantom.generate import CLASSES, COLUMNS, draw_slices, slice_files, write

    rows, drawn = {}, draw_slices(people, slices, seed, confounded=False)
    for fault in ("clean", *NAMED_AS):
        out = folder / f"{seed}-{fault}"
        out.mkdir()
        planted = plant(deepcopy(drawn), () if fault == "clean" else (fault,), seed)
        write(out, CLASSES, COLUMNS, slice_files(planted))
        rows[fault] = said(out)
        if fault in RENAMED:
            rename(out)
            rows[f"{fault}, files renamed"] = said(out)
            rows[f"{fault}, files renamed"].pop("patients")      # that no file name contains a patient id is true
    return rows


def main() -> None:
    """A table with a row for each kind of set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20, help="number of seeds [20]")
    parser.add_argument("--first", type=int, default=0, help="first seed [0]")
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--slices", type=int, default=8, help="slices per patient")
    arguments = parser.parse_args()
    named, beside, total = Counter(), {}, arguments.seeds
    for seed in range(arguments.first, arguments.first + total):
        with tempfile.TemporaryDirectory() as folder:
            rows = audit_seed(seed, arguments.people, arguments.slices, Path(folder))
        for row, found in rows.items():
            print(f"seed {seed}, {row}: {found or 'nothing'}", file=sys.stderr, flush=True)
            fault = row.split(",")[0]
            named[row] += NAMED_AS.get(fault) in found
            others = sorted(set(found) - {NAMED_AS.get(fault)} - FOLLOWS.get(fault, set()))
            beside.setdefault(row, Counter()).update(others)
    print(f"{arguments.people} patients, {arguments.slices} slices each, seeds {arguments.first} to "
          f"{arguments.first + total - 1}\n\n| phantom | fault detected | false alarms |\n|---|---|---|")
    for row, others in beside.items():
        count = "" if row.startswith("clean") else f"{named[row]} of {total}"
        print(f"| {row} | {count} | {', '.join(f'{what} ({n} of {total})' for what, n in others.items()) or 'none'} |")


if __name__ == "__main__":
    main()
