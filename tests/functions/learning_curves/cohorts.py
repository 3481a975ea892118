"""A small cohort, and fits that need no training."""

import numpy as np
import pandas as pd

from functions.cross_validation.cohort import Cohort

NAMES = ["AD", "CN", "MCI"]
PATIENTS = [("CN", 20), ("AD", 10), ("MCI", 1)]          # MCI is in few training sets


def make_cohort(folds=3, repeats=2):
    """31 patients of three classes with two slices each; patients are in folds in turn."""
    rows = [(f"{name}/{name}{n:02d}_z{z}.png", name, f"{name}{n:02d}") for name, count in PATIENTS
            for n in range(count) for z in range(2)]
    table = pd.DataFrame(rows, columns=["path", "class", "subject"]).sort_values("path", ignore_index=True)
    labels = np.array([NAMES.index(name) for name in table["class"]])
    number = np.array([int(subject[-2:]) for subject in table["subject"]])
    return Cohort(table, NAMES, labels, np.array([(number + repeat) % folds for repeat in range(repeats)]), 1)


def noisy(cohort, signal, seed=0):
    """fit(known, tested, seed): probabilities with this much signal, the same for the same patient and repeat."""
    def fit(known, tested, number):
        generator = np.random.default_rng([seed, number])
        _, labels, ids = cohort.patients(tested[:, None].astype(float))
        labels = labels[np.isin(ids, cohort.subjects[tested])]
        logits = generator.normal(size=(len(labels), 3)) + signal * np.eye(3)[labels]
        return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), int(known.sum())

    return fit
