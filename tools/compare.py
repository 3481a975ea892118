"""Finished runs side by side with guessing and with four numbers a slice, on the same people: tools/compare.py RUN …"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))    # run as a file, from anywhere

from functions.command_line import OneLineParser
from functions.errors import UserError
from functions.exits import one_line_errors

NAMES = ("auroc_disease", "balanced_accuracy", "accuracy")


def four_number_scores(split, class_names: list[str], healthy: int | None) -> dict[str, float]:
    """Patient scores of a logistic regression on four numbers a slice, tested on a run's own test people.

    It learns from the run's training and validation people together: it has no epoch to choose.
    """
    import numpy as np
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from data_setup.four_numbers import patient_table
    from functions import metrics

    sides = []
    for rows in (split[split["split"] != "test"], split[split["split"] == "test"]):
        numbers, people = patient_table(rows["path"].tolist(), rows["subject"].tolist())
        sides.append((numbers, rows.groupby("subject")["class"].first().loc[people].to_numpy()))
    (known, known_labels), (new, new_labels) = sides
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000)).fit(known, known_labels)
    probabilities = np.zeros((len(new), len(class_names)))
    probabilities[:, [class_names.index(name) for name in model.classes_]] = model.predict_proba(new)
    return metrics.scores(probabilities, np.array([class_names.index(name) for name in new_labels]), healthy)


def compare(run: Path, four_numbers: bool) -> tuple[dict, dict]:
    """(run.json, name → score) of one finished run; ValueError if it is not finished or has no score per patient."""
    import numpy as np

    from data_setup.moved import written_split
    from data_setup.path_tables import read_path_table
    from data_setup.split_file import COLUMNS
    from data_setup.split_notes import LEAKY, UNKNOWN
    from functions import metrics
    from functions.report import check_reportable, read_json
    from functions.run_folder import read_record, resume_command

    check_reportable(run)
    record = read_record(run)
    if four_numbers and set(record["stamps"]) & {LEAKY, UNKNOWN}:
        raise UserError(f"{run} is stamped {', '.join(record['stamps'])}: a score per patient means nothing there "
                        "(--no_four_numbers compares such runs)")
    scored = read_json(run / "metrics.json")["test"]

    def column(unit: str, what: str) -> list:
        values = (scored[unit].get(name, {}).get(what) for name in NAMES)
        return [np.nan if value is None else value for value in values]

    row = {"people": scored["patient"]["count"]}
    for title, values in (("ViT", column("patient", "value")), ("ViT slice", column("slice", "value")),
                          ("constant", column("patient", "constant"))):
        row |= {f"{title} {name}": value for name, value in zip(NAMES, values, strict=True)}
    if four_numbers:
        written = written_split(run, record["settings"], {})
        split = read_path_table(written.file, COLUMNS)
        split["path"] = written.from_here(split["path"].tolist())
        if missing := [path for path in split["path"] if not Path(path).is_file()]:
            raise UserError(f"{len(missing)} of {len(split)} slices of {run} are not where its split.csv says, the "
                            f"first {missing[0]}: put them back, record their new place with "
                            f"{resume_command(run, record)} --train_dir DIR, or compare with --no_four_numbers")
        four = four_number_scores(split, record["class_names"], metrics.healthy_class(record["class_names"]))
        row |= {f"four numbers {name}": four.get(name, np.nan) for name in NAMES}
        row |= {f"ViT - four numbers {name}": row[f"ViT {name}"] - four.get(name, np.nan) for name in NAMES}
    return record, row


def main() -> None:
    """One column a run and their mean ± standard deviation, as a Markdown table."""
    with one_line_errors():
        parser = OneLineParser(description=__doc__)
        parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders of finished runs")
        parser.add_argument("--no_four_numbers", action="store_true", help="leave out the logistic regression")
        arguments = parser.parse_args()

        import pandas as pd

        records, rows = zip(*(compare(run, not arguments.no_four_numbers) for run in arguments.runs), strict=True)
        table = pd.DataFrame(rows, index=[run.name for run in arguments.runs])
        for record, run in zip(records, arguments.runs, strict=True):
            if record["stamps"]:
                print(f"{run.name}: {', '.join(record['stamps'])}")
        print("| " + " | ".join(["score", *table.index, "mean ± SD"]) + " |")
        print("|" + "---|" * (len(table) + 2))
        for name in table.columns.drop("people"):
            values = table[name]
            spread = f"{values.mean():.3f} ± {values.std():.3f}" if len(values) > 1 else f"{values.mean():.3f}"
            print("| " + " | ".join([name, *(f"{value:.3f}" for value in values), spread]) + " |")
        four = "" if arguments.no_four_numbers else "; the four numbers learn from training and validation people"
        print(f"\ntest people: {', '.join(map(str, table['people']))}; scores per patient unless 'slice' is said{four}")


if __name__ == "__main__":
    main()
