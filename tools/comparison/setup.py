"""What a comparison needs before its first fit: slices in folds, and which methods can be fitted to them."""

from argparse import Namespace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from data_setup.audit.baseline_features import SLABS
from data_setup.clinical.describe import describe
from data_setup.clinical.table import read_clinical_table
from data_setup.listing.data_folders import find_folders
from data_setup.loading.cohort import read_cohort
from functions.cross_validation.cohort import Cohort
from functions.evaluation.stages import healthy_stage
from functions.learning_curves.methods import METHODS
from functions.runtime.device import pick_device
from functions.runtime.errors import UserError


class Setup(NamedTuple):
    """What all fits share; `weights` are (model, file) by the kind that a method needs, `ages` a table or None."""

    cohort: Cohort
    image_size: tuple[int, int]
    steps: int
    weights: dict[str, tuple[str, Path]]
    ages: Path | None
    features: Path
    device: torch.device


def read_setup(options: Namespace, weights: dict[str, tuple[str, Path]]) -> tuple[Setup, list[str], str]:
    """(setup, notes on the data, a hash of slices and folds); UserError without a healthy class among several."""
    options.val_dir = None
    slices = read_cohort(options, options.folds, options.repeats, options.seed)
    names = slices.class_names
    if (healthy := healthy_stage(names)) is None and len(names) != 2:
        raise UserError(f"none of the classes {', '.join(names)} is known to be the healthy one, and the AUROC of "
                        "diseased or not needs it: rename the folders of the classes (docs/evaluation.md)")
    labels = np.array([names.index(name) for name in slices.table["class"]])
    cohort = Cohort(slices.table, names, labels, slices.folds, healthy)
    phantom = find_folders(options.train_dir, options.test_dir, None, options.demo, options.table is not None).phantom
    ages = phantom / "manifest.csv" if phantom else options.table
    setup = Setup(cohort, options.image_size, options.steps, weights, ages, options.out / "features", pick_device())
    return setup, list(slices.notes), slices.digest


def age_and_sex(setup: Setup) -> np.ndarray:
    """(n, 2): age in years and whether the sex is male, of the patient of each slice; nan where it is not known."""
    cohort = setup.cohort
    found = describe(read_clinical_table(setup.ages), cohort.table["path"].tolist(), cohort.subjects.tolist(),
                     needs_class=False).table
    return np.column_stack([found["age"], found["sex"].map({"F": 0.0, "M": 1.0}).astype(float)])


def split_methods(setup: Setup, methods: list[str]) -> tuple[list[str], list[str]]:
    """(the methods that can be fitted, a line for each that cannot: what it lacks)."""
    reasons = {name: reason for name in methods if (reason := _lacking(setup, name))}
    lines = [f"left out: {METHODS[name].title}: {reason}" for name, reason in reasons.items()]
    if len(reasons) == len(methods):
        raise UserError("; ".join(lines))
    return [name for name in methods if name not in reasons], lines


def _lacking(setup: Setup, name: str) -> str:
    needs = METHODS[name].needs
    if needs and needs not in setup.weights:
        return f"no weights, --weights {'vit_ti_16' if needs == 'vit' else needs}=FILE"
    if name == "age_sex":
        if setup.ages is None:
            return "no table of patients, --table FILE"
        if unknown := int(np.isnan(age_and_sex(setup)).any(axis=1).sum()):
            return f"{setup.ages} has no age or no sex for {unknown:,} of {len(setup.cohort.labels):,} slices"
    if name in ("four_numbers", "boosting"):
        few = setup.cohort.table.groupby(["subject", "class"]).size().min()
        return f"a patient has {few} slices, four numbers need {SLABS}" if few < SLABS else ""
    return ""
