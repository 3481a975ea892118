"""A model card after CLAIM 2024 and TRIPOD+AI, filled in from the records of a run; unknown items are "not stated"."""

import pandas as pd

from functions.evaluation.stages import are_of_dementia

NOT_STATED = "not stated"
CARD = ("Items after the checklists CLAIM 2024 (Tejani et al., Radiol Artif Intell 6:e240300) and TRIPOD+AI (Collins "
        "et al., BMJ 385:e078378). Items that a program cannot determine must be filled in by the authors.")


def flat(value) -> str:
    """A dict as one line of text."""
    return ", ".join(f"{key} {part}" for key, part in value.items()) if isinstance(value, dict) else str(value)


def model_card(record: dict, split: pd.DataFrame, evaluated: bool) -> list[list[str]]:
    """(item, value) rows from run.json and split.csv; `evaluated`: the run was scored by evaluate.py."""
    return [*_study(), *_data(record, split), *_model(record), *_evaluation(record, evaluated)]


def _study() -> list[list[str]]:
    return [
        ["Intended use", "research and teaching; not a diagnosis, not a medical device"],
        ["Intended users, place in the clinical pathway", NOT_STATED],
        ["Study design (prospective or retrospective), objective", NOT_STATED],
        ["Ethics approval, consent", NOT_STATED], ["Registration and protocol", NOT_STATED],
        ["Funding, conflicts of interest", NOT_STATED], ["Patient and public involvement", NOT_STATED],
    ]


def _data(record: dict, split: pd.DataFrame) -> list[list[str]]:
    known = (split["subject"] != "").all()
    both = split[split["subject"] != ""].groupby("subject")["split"].nunique().gt(1).sum()
    level = "patients unknown" if not known else (
        f"slices: {both} patients are in several partitions" if both else "patients: disjoint")
    ids = split["subject"].where(split["subject"] != "", split["path"])
    sides = ids.groupby(split["split"]).nunique()
    phantom = "a phantom: generated brains, no patients" if record["settings"].get("demo") else NOT_STATED
    device = "scanner, sequence, field strength" if are_of_dementia(record["class_names"]) else "device, technique"
    return [
        ["Data source", phantom], ["Dates and sites", NOT_STATED], ["Eligibility of patients", NOT_STATED],
        [f"Acquisition ({device})", NOT_STATED], ["De-identification", NOT_STATED],
        ["Reference standard for the classes, who applied it, agreement of raters", NOT_STATED],
        ["Age, sex, ethnicity and comorbidity", "age and sex as far as the clinical table has them, else not stated"
         if record["settings"].get("table") else f"{NOT_STATED}; no score is corrected for age"],
        ["Sample size", f"{len(split):,} slices of {split['subject'].replace('', pd.NA).nunique():,} known patients; "
                        "no sample size calculation"],
        ["Partitions", ", ".join(f"{name} {count:,} {'patients' if known else 'patients or slices'}"
                                 for name, count in sides.items())],
        ["How patients were assigned", "; ".join(record.get("notes", [])) or NOT_STATED],
        ["Level at which partitions are disjoint", level],
        ["Preprocessing", flat(record.get("preprocessing") or NOT_STATED)],
        ["Missing and unreadable data", f"{len(record.get('left_out', []))} files left out; report.html lists them"],
        ["Data availability", NOT_STATED],
    ]


def _model(record: dict) -> list[list[str]]:
    settings, weights = record["settings"], record.get("weights", "random, trained from scratch")
    return [
        ["Model", f"{settings.get('model')}{_sizes(settings)}, images {settings.get('image_size')}, classes "
                  f"{', '.join(record['class_names'])}"],
        ["Initial parameters", str(weights)],
        ["Training", f"{settings.get('optimizer')}, learning rate {settings.get('lr')}, "
                     f"{settings.get('epochs')} epochs, batch size {settings.get('batch_size')}, augmentation "
                     f"{settings.get('augment')}, class weights {settings.get('class_weights')}, "
                     f"seed {settings.get('seed')}"],
        ["Selection of the final model", "the one-standard-error rule on the validation loss of patients"],
        ["Ensembling", "none"], ["Software", flat(record.get("versions"))], ["Hardware", str(record.get("device"))],
        ["Code", f"commit {record.get('commit')}"],
    ]


def _sizes(settings: dict) -> str:
    """The sizes of a hand-written ViT, which may differ from those of its name; "" for a pretrained network."""
    if settings.get("embedding_dim") is None:
        return ""
    patch = "P" if str(settings.get("model")).startswith("vit") else "pixels per token of the hybrid"
    return (f" with L = {settings.get('num_transformer_layer')}, D = {settings['embedding_dim']}, "
            f"{settings.get('num_heads')} heads, MLP {settings.get('mlp_size')}, "
            f"{patch} = {settings.get('patch_size')}")


def _evaluation(record: dict, evaluated: bool) -> list[list[str]]:
    later = "filled in by python evaluate.py on this run"
    return [
        ["Performance measures and baselines", "above: accuracy, balanced accuracy, AUROC"
         + (", F1, kappa, Brier score, ECE, permutation p" if evaluated else "")],
        ["Uncertainty", "95 % intervals over patients (Wilson, MOVER, Newcombe), of this network on this split; scores "
                        "without one: docs/RESULTS.md"],
        ["Calibration", "above: reliability, and a temperature fitted on validation" if evaluated else later],
        ["Failure analysis", "above: the worst errors" if evaluated else later],
        ["Caveats", ", ".join(record["stamps"]) or "none"],
        ["External validation", NOT_STATED],
        ["Robustness, subgroups, fairness", NOT_STATED if not record["settings"].get("table") else
         "above: scores by age, sex, site and scanner, as far as the table has them" if evaluated else later],
        ["Explainability", NOT_STATED], ["Clinical usefulness", NOT_STATED],
        ["Limitations", "slices, not volumes; normal ageing resembles early dementia; one data set"
         if are_of_dementia(record["class_names"]) else "single images; one data set"],
    ]
