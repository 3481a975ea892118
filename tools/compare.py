"""Finished runs side by side with guessing and with four numbers a slice, on the same people: tools/compare.py RUN …"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))    # run as a file, from anywhere

NAMES = ("auroc_disease", "balanced_accuracy", "accuracy")


def four_number_scores(split, class_names: list[str], healthy: int | None) -> dict[str, float]:
    """Patient scores of a logistic regression on four numbers a slice, learnt and tested on a run's own people."""
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


def main() -> None:
    """One row a run and their mean ± standard deviation, as a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders of finished runs")
    parser.add_argument("--no_four_numbers", action="store_true", help="leave out the logistic regression")
    arguments = parser.parse_args()

    import json

    import numpy as np
    import pandas as pd

    from functions import metrics
    from functions.exits import one_line_errors
    from functions.run_folder import read_record

    with one_line_errors():
        rows = []
        for run in arguments.runs:
            record = read_record(run)
            if record["state"] != "finished":
                raise ValueError(f"{run} is {record['state']}: only finished runs can be compared")
            if not arguments.no_four_numbers and "LEAKY SPLIT" in record["stamps"]:
                raise ValueError(f"{run} has patients on both sides: a score per patient means nothing there "
                                 "(--no_four_numbers compares such runs)")
            scored = json.loads((run / "metrics.json").read_text(encoding="utf-8"))["test"]
            row = {"run": run.name, "people": scored["patient"]["count"]}
            row |= {f"ViT {name}": scored["patient"].get(name, {}).get("value", np.nan) for name in NAMES}
            row |= {f"ViT slice {name}": scored["slice"].get(name, {}).get("value", np.nan) for name in NAMES}
            row |= {f"constant {name}": scored["patient"].get(name, {}).get("constant", np.nan) for name in NAMES}
            if not arguments.no_four_numbers:
                names = record["class_names"]
                four = four_number_scores(pd.read_csv(run / "split.csv"), names, metrics.healthy_class(names))
                row |= {f"four numbers {name}": four.get(name, np.nan) for name in NAMES}
                row |= {f"ViT − four numbers {name}": row[f"ViT {name}"] - four.get(name, np.nan) for name in NAMES}
            rows.append(row)
        table = pd.DataFrame(rows).set_index("run")
        print("| " + " | ".join(["score", *table.index, "mean ± SD"]) + " |")
        print("|" + "---|" * (len(table) + 2))
        for name in table.columns.drop("people"):
            values = table[name]
            spread = f"{values.mean():.3f} ± {values.std():.3f}" if len(values) > 1 else f"{values.mean():.3f}"
            print("| " + " | ".join([name, *(f"{value:.3f}" for value in values), spread]) + " |")
        print(f"\ntest people: {', '.join(map(str, table['people']))}; scores per patient unless 'slice' is said")


if __name__ == "__main__":
    main()
