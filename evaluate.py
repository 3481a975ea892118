"""One checkpoint's score, with its uncertainty: python evaluate.py RUN"""

from pathlib import Path

from functions.command_line import OneLineParser
from functions.exits import one_line_errors


def main() -> None:
    """The command line, and one line instead of a traceback where the user is the reason."""
    with one_line_errors():
        parser = OneLineParser(description=__doc__)
        parser.add_argument("run", type=Path, metavar="RUN_OR_CHECKPOINT", help="a run's folder, or a checkpoint")
        parser.add_argument("--data", type=Path, metavar="DIR", help="other slices than the run's test patients")
        parser.add_argument("--subjects", type=Path, metavar="FILE", help="CSV with columns path, subject, of --data")
        parser.add_argument("--subject_pattern", metavar="X", help='regex on the path with a group "subject"')
        parser.add_argument("--against", type=Path, metavar="RUN", help="another run, compared on the same slices")
        parser.add_argument("--order", metavar="A,B,C", help="the classes from the mildest stage to the worst")
        parser.add_argument("--allow_seen", action="store_true", help="score patients trained on, and stamp it")
        parser.add_argument("--out", type=Path, metavar="DIR", help="folder for the results [RUN/evaluation]")
        evaluate_checkpoint(parser.parse_args())


def evaluate_checkpoint(arguments) -> None:
    """Checkpoint, slices, who was seen, probabilities, scores, figures, report: one story."""
    from data_setup.predict_data import rows_to_score
    from functions import evaluation_report, runtime
    from functions.checkpoints import load_model
    from functions.stages import stage_order

    # The checkpoint, and the slices it is scored on
    folder = arguments.run if arguments.run.is_dir() else None
    checkpoint_file = folder / "best.pt" if folder else arguments.run
    device = runtime.pick_device()
    model, checkpoint = load_model(checkpoint_file, device)
    order = stage_order(checkpoint["class_names"], arguments.order)
    rows = rows_to_score(folder, arguments.data, checkpoint, arguments.subjects, arguments.subject_pattern)

    # Nobody who was trained on, unless asked for
    stamps = list(checkpoint["stamps"])
    if rows.seen:
        if not arguments.allow_seen:
            raise ValueError(f"{rows.seen} of {len(rows.test)} slices are of patients or pixels that {checkpoint_file} "
                             "was trained on: give slices of other patients, or --allow_seen, which stamps the result")
        stamps.append(evaluation_report.SEEN)

    # Probabilities and scores
    probabilities = {name: rows.predict(model, part, device) for name, part in rows.parts.items()}
    other = None
    if arguments.against:
        rival, theirs = load_model(arguments.against / "best.pt", device)
        if theirs["class_names"] != checkpoint["class_names"]:
            raise ValueError(f"{arguments.against} has other classes: {', '.join(theirs['class_names'])}")
        other = rows.predict(rival, rows.test, device, theirs["preprocessing"])
    result = evaluation_report.evaluate_all(probabilities, rows.parts, checkpoint["class_names"], order, rows.largest,
                                            other, rows.nearest_neighbour())
    for line in evaluation_report.lines(result, stamps, str(checkpoint_file), str(arguments.against)):
        print(line)
    out = arguments.out or (folder or checkpoint_file.parent) / "evaluation"
    evaluation_report.write(out, result, stamps, rows.thumbnail, folder if arguments.data is None else None)
    print(f"{out} holds predictions.csv, metrics.json, figures and report.html")


if __name__ == "__main__":
    main()
