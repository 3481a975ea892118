"""Simulated cohorts for the tests of the evaluation."""

import numpy as np

from functions.evaluation.patients import by_patient
from functions.evaluation.predictions import Predictions

NAMES = ["MildDemented", "NonDemented", "VeryMildDemented"]
ORDER = [1, 0, 2]      # class 1 is the mildest, then 0, then 2


def cohort(people=40, slices=5, signal=0.9, seed=3, own=1.0):
    """Patients of 3 classes; `own` scales the part of the logits that all slices of a patient share."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(generator.integers(0, 3, people), slices)
    subjects = np.repeat(np.array([f"P{i:03d}" for i in range(people)]), slices)
    taste = np.repeat(own * generator.normal(size=(people, 3)), slices, axis=0)
    logits = taste + signal * np.eye(3)[labels] + 0.1 * generator.normal(size=(people * slices, 3))
    odds = np.exp(logits)
    return odds / odds.sum(axis=1, keepdims=True), labels, subjects


def people_of(seed, people=40, signal=0.9, slices=5):
    """A cohort with one row per patient."""
    return by_patient(*cohort(people=people, signal=signal, seed=seed, slices=slices))


def predictions(split="test", names=NAMES):
    """40 patients of three classes, with the slices of test or of val."""
    p, y, who = cohort(people=40, signal=1.5, seed={"test": 1, "val": 2}[split])
    return Predictions([f"{split}/{i}.png" for i in range(len(y))], who.tolist(), y, p, names)
