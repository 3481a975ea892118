"""Checks a data set for leakage, shortcuts and damaged files before training: python audit.py DATA"""

import sys
from pathlib import Path

from functions.config.parser import OneLineParser
from functions.runtime.exits import one_line_errors


def main() -> None:
    """Audits a folder or a split.csv; prints the findings and writes audit.json, audit.html and subjects.csv."""
    with one_line_errors():
        parser = OneLineParser(description=__doc__)
        parser.add_argument("data", type=Path, metavar="DATA",
                            help="class folders, or train/, test/ and val/ of class folders, or a split.csv")
        parser.add_argument("--subjects", type=Path, metavar="FILE", help="CSV with columns path, subject")
        parser.add_argument("--subject_pattern", metavar="X", help='regex on the path with a group "subject"')
        parser.add_argument("--table", type=Path, metavar="FILE", help="clinical table: class, age, sex, site, scanner "
                            "of the patients")
        parser.add_argument("--out", type=Path, metavar="DIR", help="folder for the report [runs/audit-DATA]")
        parser.add_argument("--strict", action="store_true", help="exit with code 1 if there are faults")
        arguments = parser.parse_args()
        wrong = audit_data(arguments)
    sys.exit(1 if arguments.strict and wrong else 0)


def audit_data(arguments) -> int:
    """Runs the audit, prints and writes it; returns the number of faults."""
    from tqdm import tqdm

    from data_setup.audit.findings import audit, list_data
    from data_setup.clinical.table import read_clinical_table
    from data_setup.images.read import read_gray
    from functions.checkpointing.run_folder import provenance, write_table
    from functions.checkpointing.run_names import check_no_input, check_same_data, make_folder
    from functions.reports.audit_report import audit_content, audit_lines
    from functions.reports.html_page import render
    from functions.runtime.atomic_files import write_json, write_text
    from functions.runtime.errors import printable

    clinical = read_clinical_table(arguments.table) if arguments.table else None
    listing = list_data(arguments.data, clinical)
    data = arguments.data.resolve()
    out = arguments.out or Path("runs", f"audit-{data.name if data.is_dir() else data.stem}")
    inputs = arguments.data, arguments.subjects, arguments.table
    check_no_input(out, ("audit.json", "audit.html", "subjects.csv"), inputs)
    check_same_data(out / "audit.json", str(data))
    make_folder(out)                                   # check that the output is writable before starting
    found = audit(*listing, arguments.subjects, arguments.subject_pattern,
                  lambda work, total: tqdm(work, total=total, desc="reading slices", leave=False, disable=None),
                  clinical)
    if clinical:
        add_predictability(found)
    for line in audit_lines(found.findings, found.numbers, arguments.data):
        print(printable(line))
    write_json(out / "audit.json", {"data": str(data), "findings": found.findings} | found.numbers
               | provenance())
    write_table(out / "subjects.csv", found.subject_table())
    content = audit_content(found.findings, found.numbers, found.examples, read_gray)
    write_text(out / "audit.html", render("audit.html.j2", f"Audit of {arguments.data}", [], audit=content))
    print(f"{out} holds audit.html, audit.json, and subjects.csv (patients inferred from pixels, for --subjects)")
    return sum(finding["wrong"] for finding in found.findings)


def add_predictability(found) -> None:
    """Whether age, sex, site or scanner alone predict the class: the numbers, a fault for each that does, and a note on
    what too few patients have.
    """
    from dataclasses import asdict

    from functions.evaluation.clinical.covariates import covariates
    from functions.evaluation.clinical.predictability import messages, predictability, untested

    known = found.table[found.table["subject"].notna()]
    found.numbers["table"] = []
    if known.empty:
        return
    names = sorted(known["class"].unique())
    keys = [(subject, names.index(name)) for subject, name in zip(known["subject"], known["class"], strict=True)]
    traits = covariates(keys, known)
    results = predictability(keys, names, traits)
    found.numbers["table"] = [asdict(result) for result in results]
    for text in messages(results):
        found.add("confound", text)
    for text in untested(results, traits):
        found.add("confound", text, wrong=False)


if __name__ == "__main__":
    main()
