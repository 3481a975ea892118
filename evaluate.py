"""Evaluates a checkpoint, with confidence intervals over patients: python evaluate.py RUN"""

from dataclasses import replace
from pathlib import Path

from functions.config.evaluation_flags import evaluation_parser
from functions.runtime.errors import UserError, printable
from functions.runtime.exits import one_line_errors


def main() -> None:
    """Parses the command line and evaluates; user errors print one line instead of a traceback."""
    with one_line_errors():
        evaluate_checkpoint(evaluation_parser(__doc__).parse_args())


def evaluate_checkpoint(arguments) -> None:
    """Checkpoint, slices, training patients among them, probabilities, scores, figures, report."""
    from data_setup.audit.baselines import baseline_probabilities
    from data_setup.loading.predict_data import rows_to_score
    from data_setup.resources import available_cores
    from functions.checkpointing.run_names import check_no_input, check_same_data, make_folder
    from functions.evaluation.clinical.clinical import clinical
    from functions.evaluation.evaluate import evaluate
    from functions.evaluation.predictions import Predictions, predict_batches
    from functions.evaluation.stages import order_hint, stage_order
    from functions.reports import evaluation_report, evaluation_text
    from functions.reports.clinical import confounding_text
    from functions.reports.clinical import text as clinical_text
    from functions.reports.run_report import check_reportable
    from functions.runtime import device as runtime

    # The checkpoint and the slices to score
    device = runtime.pick_device(arguments.device, available_cores())
    folder, checkpoint_file, model, checkpoint = load_network(arguments.run, device)
    order = stage_order(checkpoint["class_names"], arguments.order)
    if folder and arguments.data is None:
        check_reportable(folder)
    of_test, of_run, lost = clinical_tables(folder, arguments)
    rows = rows_to_score(folder, arguments.data, checkpoint, arguments.subjects, arguments.subject_pattern,
                         own_split(folder, arguments), of_test)
    rows.notes += lost
    if order is None and len(checkpoint["class_names"]) > 2:
        rows.notes.append(order_hint(checkpoint["class_names"]))
    networks = [(folder, checkpoint_file, checkpoint)]
    names, rival_name = checkpoint["class_names"], arguments.against or ""
    other = baseline_probabilities(rival_name, rows, names)
    if rival_name and other is None:
        rival_folder, rival_file, rival, theirs = load_network(Path(rival_name), device)
        networks.append((rival_folder, rival_file, theirs))
        if theirs["class_names"] != names:
            raise UserError(f"{rival_name} has other classes: {', '.join(theirs['class_names'])}")

    # No patients that were trained on, unless --allow_seen
    caveats = caveats_of(rows, checkpoint["stamps"], arguments)
    for run, file, its in networks:
        found = evaluation_report.training_caveats(rows.count_seen(its, run), len(rows.test), file,
                                                   arguments.allow_seen)
        caveats += [caveat for caveat in found if caveat not in caveats]

    # Probabilities and scores
    name = "evaluation" if arguments.data is None else f"evaluation-{arguments.data.resolve().name}"
    out = arguments.out or checkpoint_file.parent / name
    if (out / "run.json").exists():
        raise UserError(f"--out {out} is a run's folder, whose own results would be overwritten: name another folder")
    check_no_input(out, ("predictions.csv", "metrics.json", "report.html"),
                   (arguments.data, arguments.subjects, arguments.table))
    data = None if arguments.data is None else str(arguments.data.resolve())
    check_same_data(out / "metrics.json", data, checkpoint.get("run_id", ""))
    make_folder(out)                                   # check that the output is writable before starting
    def predict(net, its: dict, file: Path, part: str):
        precision, note = runtime.scoring_precision(its.get("precision", "fp32"), device)
        rows.notes += [note] * (note != "" and note not in rows.notes)
        batches = rows.batches(part, device, its["preprocessing"])
        try:
            return predict_batches(net, batches, device, precision)
        except UserError as error:
            raise UserError(f"checkpoint {file}: {error}") from None

    probabilities = {part: predict(model, checkpoint, checkpoint_file, part)
                     for part in ("test", "val") if part in rows.parts}
    if len(networks) > 1:
        other = predict(rival, theirs, rival_file, "test")
    test, *val = [Predictions(rows.parts[part]["path"].tolist(), rows.parts[part]["subject"].tolist(),
                              rows.parts[part]["label"].to_numpy(), probabilities[part], names)
                  for part in probabilities]
    result = evaluate(test, names[rows.largest], order, val=val[0] if val else None, other=other,
                      rival=rival_name, nearest=rows.nearest_neighbour(), seen=evaluation_report.SEEN in caveats)
    result = replace(result, clinical=clinical(test, val[0] if val else None, arguments.prevalence),
                     confounding=confounding_of(rows, test, of_test, of_run))
    for line in (*rows.notes, *evaluation_text.lines(result, caveats, str(checkpoint_file)),
                 *clinical_text.lines(result.clinical),
                 *(confounding_text.lines(result.confounding) if result.confounding else [])):
        print(printable(line))
    evaluation_report.write(out, result, test, caveats, str(checkpoint_file), rows.thumbnail,
                            folder if arguments.data is None else None, data, checkpoint.get("run_id", ""))
    print(f"{out} holds predictions.csv, metrics.json, figures and report.html")


def caveats_of(rows, trained: list[str], arguments) -> list[str]:
    """The caveats of training, without that of its split if other slices are scored, and UNKNOWN where it applies."""
    from data_setup.splits.warnings import LEAKY, UNKNOWN

    caveats = [caveat for caveat in trained if arguments.data is None or caveat != LEAKY]
    return [*caveats, UNKNOWN] if rows.test["subject"].isna().any() and UNKNOWN not in caveats else caveats


def clinical_tables(run: Path | None, arguments):
    """(the clinical table of the slices to score, or None, that of the run's training slices, or None, notes)."""
    from data_setup.clinical.table import read_clinical_table
    from functions.checkpointing.run_folder import read_record

    given = read_clinical_table(arguments.table) if arguments.table else None
    recorded = read_record(run)["settings"] if run and (run / "run.json").exists() else {}
    file = Path(recorded["cwd"], recorded["table"]) if recorded.get("table") else None
    own = read_clinical_table(file) if file and file.is_file() else None
    lost = [f"the run's clinical table is not at {file}: name it with --table"] if file and not (own or given) else []
    return (given, own or given, lost) if arguments.data else (given or own, given or own, lost)


def confounding_of(rows, test, of_test, of_run):
    """Scores by age, sex, site and scanner, and the baselines of the clinical tables; None without a table."""
    from data_setup.audit.table_baselines import add_traits, table_baselines
    from functions.evaluation.clinical.confounding import confounding
    from functions.evaluation.clinical.covariates import of_patients

    if of_test is None:
        return None
    add_traits(rows, of_test, of_run)
    baselines, notes = table_baselines(rows, test.class_names)
    return confounding(test, of_patients(test, rows.test), baselines, notes)


def own_split(run: Path | None, arguments):
    """The run's split.csv with the recorded and current folders of its slices; None without run.json."""
    from data_setup.listing.moved_data import written_split
    from functions.checkpointing.run_folder import check_split, read_record

    if run is None or not (run / "run.json").exists():
        if moved := [name for name in ("train_dir", "test_dir", "val_dir") if getattr(arguments, name)]:
            raise UserError(f"--{moved[0]} is only valid for a run folder, and {arguments.run} is not one")
        return None
    record = read_record(run)
    check_split(run, record)
    return written_split(run, record["settings"], vars(arguments))


def load_network(path: Path, device):
    """(run folder or None, checkpoint file, model, checkpoint) of a run folder or a checkpoint file."""
    from data_setup.images.resize import from_description
    from functions.checkpointing.trained_model import load_trained

    model, checkpoint, file, folder = load_trained(path, device)
    from_description(checkpoint["preprocessing"], file)
    return folder, file, model, checkpoint


if __name__ == "__main__":
    main()
