"""Compares finished runs with two baselines on the same patients: the largest class, and a logistic regression on four
numbers per slice: tools/compare_runs.py RUN …"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))    # run as a file, from anywhere

from functions.config.parser import OneLineParser
from functions.reports.markdown_text import cell, row
from functions.reports.run_groups import describe_seeds, group_runs, model_name, network_name, refuse_repeats
from functions.runtime.errors import UserError, printable
from functions.runtime.exits import one_line_errors

NAMES = ("auroc_disease", "balanced_accuracy", "accuracy")


def four_number_scores(split, class_names: list[str], healthy: int | None) -> dict[str, float]:
    """Patient scores of a logistic regression on four numbers per slice, on the test patients of a run.

    It is fitted on the training and validation patients, since it has no epoch to select. A patient whose slices have
    several labels counts once per label, as in all patient scores.
    """
    import numpy as np

    from data_setup.audit.baseline_features import four_number_slices
    from functions.evaluation.patients import by_patient, scored_classes
    from functions.evaluation.scores import points

    known, test = (split[(split["split"] == "test") == side] for side in (False, True))
    slices = four_number_slices(known, test, class_names)
    labels = np.array([class_names.index(name) for name in test["class"]])
    probabilities, labels, subjects = by_patient(slices, labels, test["subject"].to_numpy())
    classes = scored_classes(labels, subjects)
    return points(probabilities, labels, range(len(class_names)), healthy, classes, subjects)


def four_number_split(run: Path, record: dict):
    """split.csv of a run for `four_number_scores`; raises UserError if it gives no patient scores."""
    from data_setup.listing.moved_data import written_split
    from data_setup.splits.warnings import LEAKY, UNKNOWN
    from functions.checkpointing.run_folder import check_split, resume_command
    from functions.checkpointing.run_tables import read_split

    without = "(--no_four_numbers compares such runs)"
    if set(record["stamps"]) & {LEAKY, UNKNOWN}:
        raise UserError(f"{run} has the caveats {', '.join(record['stamps'])}: patient scores are not meaningful "
                        f"{without}")
    file = run / "split.csv"
    check_split(run, record)
    split = read_split(file)
    if (split["subject"] == "").any():
        raise UserError(f"{file} has slices of unknown patients: no patient scores {without}")
    if strange := sorted(set(split["class"]) - set(record["class_names"])):
        raise UserError(f'{file} is damaged: class "{strange[0]}" is none of {", ".join(record["class_names"])}')
    known, new = (split[(split["split"] == "test") == side] for side in (False, True))
    if known["class"].nunique() < 2 or new.empty:
        raise UserError(f"{file} holds fewer than two classes to train on, or no test slices {without}")
    split["path"] = written_split(run, record["settings"], {}).resolve(split["path"].tolist())
    if missing := [path for path in split["path"] if not Path(path).is_file()]:
        raise UserError(f"{len(missing)} of {len(split)} slices of {run} listed in {file} do not exist, the first: "
                        f"{missing[0]}: restore them, or record their new folder with {resume_command(run, record)} "
                        f"--train_dir DIR {without}")
    return split


def compare(run: Path, four_numbers: bool) -> tuple[dict, dict]:
    """(run.json, {(kind, score): value}) of a finished run; raises UserError if it is not finished, or damaged."""
    import numpy as np

    from functions.checkpointing.run_folder import read_record
    from functions.evaluation.stages import healthy_stage
    from functions.reports.run_means import scored_names
    from functions.reports.run_report import check_reportable, read_results

    check_reportable(run)
    record, test = read_record(run), read_results(run)[0].test
    found = {"patients": test.patient.count if test.patient else "unknown", "scored": scored_names(test)}
    for kind, unit, key in (("network", "patient", "value"), ("network slice", "slice", "value"),
                            ("constant", "patient", "constant")):
        scores = test.scores_of(unit)
        found |= {(kind, name): getattr(scores[name], key) if name in scores else np.nan for name in NAMES}
    if four_numbers:
        split = four_number_split(run, record)
        try:
            four = four_number_scores(split, record["class_names"], healthy_stage(record["class_names"]))
        except UserError as error:
            raise UserError(f"{run}: {error} (--no_four_numbers compares such runs)") from None
        found |= {("four numbers", name): four.get(name, np.nan) for name in NAMES}
        found |= {("network - four numbers", name): found["network", name] - four.get(name, np.nan) for name in NAMES}
    return record, found


def table(runs: list[Path], records: list[dict], rows: list[dict]) -> list[str]:
    """A Markdown table: one column per run, and the mean of each group of runs that differ only in their seed."""
    from functions.reports.run_means import spread

    groups = group_runs(records)
    head, alone = ["score"], len(groups) == 1
    for group in groups:
        several = "" if alone else f" ({cell(model_name(records[group[0]]))})"
        head += [cell(runs[number].name) + several for number in group]
        if len(group) > 1 or alone:
            of = "" if alone else f" of {describe_seeds([records[number] for number in group])}{several}"
            head.append(f"mean ± SD{of}")
    made = [row(head), "|" + "---|" * len(head)]
    network = network_name(records)
    for kind, name in (key for key in rows[0] if isinstance(key, tuple)):
        cells = [f"{kind.replace('network', network)} {name}"]
        for group in groups:
            values = [rows[number][kind, name] for number in group]
            cells += [_three(value) for value in values]
            if len(group) > 1 or alone:
                cells.append(spread(name, values, [rows[number]["scored"] for number in group]))
        made.append(row(cells))
    return made


def _three(value: float) -> str:
    return "-" if value != value else f"{value:.3f}"


def main() -> None:
    """Prints a Markdown table with one column per run, and mean ± SD over runs that differ only in their seed."""
    from functions.reports.run_means import NO_MEAN

    with one_line_errors():
        parser = OneLineParser(description=__doc__)
        parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders of finished runs")
        parser.add_argument("--no_four_numbers", action="store_true", help="leave out the logistic regression")
        arguments = parser.parse_args()
        refuse_repeats(arguments.runs)
        records, rows = zip(*(compare(run, not arguments.no_four_numbers) for run in arguments.runs), strict=True)
        for record, run in zip(records, arguments.runs, strict=True):
            if record["stamps"]:
                print(printable(f"{run.name}: {', '.join(record['stamps'])}"))
        lines = table(arguments.runs, records, rows)
        print("\n".join(lines))
        four = "" if arguments.no_four_numbers else "; four numbers: fitted on training and validation patients"
        patients = ", ".join(str(found["patients"]) for found in rows)
        print(f"\ntest patients: {patients}; scores per patient, except rows with 'slice'{four}")
        if any("classes)" in line for line in lines[2:]):
            print(f"- (… classes): {NO_MEAN}")


if __name__ == "__main__":
    main()
