"""Simulated cohorts of patients whose true scores are known: what benchmarks/coverage.py counts on."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from functions.evaluation.auroc import auroc

PREVALENCES = {"equal": (1 / 3, 1 / 3, 1 / 3), "16/12/4": (0.5, 0.375, 0.125), "80/15/5": (0.8, 0.15, 0.05)}
SLICES = {"8 each": (8, 8), "1 to 60": (1, 60)}
PATIENTS = (20, 40, 60)
POPULATION = 150_000      # patients from which the truth is counted: the rarest sensitivity to ± 0.006
OWN, SLICE = 1.0, 0.5     # SD of what a network thinks of a patient beside the truth, and of each of its slices
SHARED = 0.7              # of OWN that two networks have in common


@dataclass(frozen=True)
class Cell:
    """What cohorts are drawn from: three classes, class 0 healthy; `signal` is what the network knows (0: nothing)."""

    prevalence: str
    patients: int
    slices: str
    signal: float

    @property
    def words(self) -> list[str]:
        return [self.prevalence, str(self.patients), self.slices]


@dataclass(frozen=True)
class Cohort:
    """Patients (probabilities p (n, 3), labels y) and their slices (q (m, 3), owner (m,): the patient's number)."""

    p: np.ndarray
    y: np.ndarray
    q: np.ndarray
    owner: np.ndarray


def cells(signal: float) -> list[Cell]:
    """Every prevalence, number of patients and number of slices."""
    return [Cell(prevalence, patients, slices, signal) for prevalence in PREVALENCES for patients in PATIENTS
            for slices in SLICES]


def draw(cell: Cell, generator: np.random.Generator, networks: int = 1) -> list[Cohort]:
    """The same patients scored by one or several equally good networks, which agree in part."""
    count = cell.patients
    y = generator.choice(3, count, p=PREVALENCES[cell.prevalence])
    low, high = SLICES[cell.slices]
    owner = np.repeat(np.arange(count), generator.integers(low, high + 1, count))
    shared = generator.normal(size=(count, 3))
    made = []
    for _ in range(networks):
        own = shared if networks == 1 else SHARED * shared + np.sqrt(1 - SHARED**2) * generator.normal(size=(count, 3))
        logits = (OWN * own + cell.signal * np.eye(3)[y])[owner] + SLICE * generator.normal(size=(len(owner), 3))
        q = np.exp(logits)
        q /= q.sum(axis=1, keepdims=True)
        p = np.stack([np.bincount(owner, q[:, k]) for k in range(3)], axis=1) / np.bincount(owner)[:, None]
        made.append(Cohort(p, y, q, owner))
    return made


@cache
def truth(prevalence: str, slices: str, signal: float) -> dict[str, np.ndarray]:
    """The population's scores: per class where a score has one, so that those that are scored can be averaged."""
    cell = Cell(prevalence, POPULATION, slices, signal)
    [cohort] = draw(cell, np.random.default_rng(10**6))
    p, y, called = cohort.p, cohort.y, cohort.p.argmax(axis=1)
    right = cohort.q.argmax(axis=1) == y[cohort.owner]
    each = range(3)
    return {
        "accuracy": (called == y).mean(), "brier": ((p - np.eye(3)[y]) ** 2).sum(axis=1).mean(),
        "sensitivity": np.array([(called[y == k] == k).mean() for k in each]),
        "specificity": np.array([(called[y != k] != k).mean() for k in each]),
        "auroc": np.array([auroc(p[:, k], y == k)[0] for k in each]), "auroc_disease": auroc(-p[:, 0], y != 0)[0],
        "slice accuracy": right.mean(),
    }
