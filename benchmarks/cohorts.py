"""Simulated cohorts of patients with known true scores, for benchmarks/coverage.py."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from functions.evaluation.auroc import auroc

PREVALENCES = {"equal": (1 / 3, 1 / 3, 1 / 3), "16/12/4": (0.5, 0.375, 0.125), "80/15/5": (0.8, 0.15, 0.05)}
POPULATION = 150_000      # patients from which the truth is counted: the rarest sensitivity to ± 0.006
PARTS = 10                # in which it is drawn: memory
OWN, SLICE = 1.0, 0.5     # SD of the patient-level noise of the logits, and of the slice-level noise
SHARED = 0.7              # of OWN that two networks have in common
LATER = 0.5               # share of patients, of those with a worse stage to come, who have it on half of their slices
SKEWED, BY_CLASS, SEVERAL = "1 to 300, skewed", "40, 8, 2 by class", "8 each, several labels"


def _skewed(y: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """1 to 300, uniform on the logarithmic scale: half of the patients have fewer than 18."""
    return np.exp(generator.uniform(0, np.log(300), len(y))).round().astype(int)


SLICES: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "8 each": lambda y, generator: np.full(len(y), 8),
    "1 to 60": lambda y, generator: generator.integers(1, 61, len(y)),
    SKEWED: _skewed,
    BY_CLASS: lambda y, generator: np.array([40, 8, 2])[y],
    SEVERAL: lambda y, generator: np.full(len(y), 8),
}
PATIENTS = {"8 each": (10, 20, 30, 40, 60), "1 to 60": (10, 20, 30, 40, 60),
            SKEWED: (20, 60, 120), BY_CLASS: (20, 60, 120), SEVERAL: (20, 60, 120)}


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
    """Patients' rows, one for each label of a patient: probabilities p (n, 3), labels y and the patient's number who;
    and slices: q (m, 3), labels and owner (m,).
    """

    p: np.ndarray
    y: np.ndarray
    who: np.ndarray
    q: np.ndarray
    labels: np.ndarray
    owner: np.ndarray


def cells(signal: float) -> list[Cell]:
    """Every prevalence with every number of slices and its numbers of patients."""
    return [Cell(prevalence, patients, slices, signal) for slices in SLICES for prevalence in PREVALENCES
            for patients in PATIENTS[slices]]


def draw(cell: Cell, generator: np.random.Generator, signals: Sequence[float] = ()) -> list[Cohort]:
    """The same patients scored by one network of the cell's signal, or by several of `signals`, which agree in part."""
    count = cell.patients
    y = generator.choice(3, count, p=PREVALENCES[cell.prevalence])
    owner = np.repeat(np.arange(count), SLICES[cell.slices](y, generator))
    labels = y[owner]
    if cell.slices == SEVERAL:
        later = (generator.random(count) < LATER)[owner] & (np.arange(len(owner)) % 2 == 1)
        labels = np.minimum(labels + later, 2)
    keys, row = np.unique(owner * 3 + labels, return_inverse=True)
    shared = generator.normal(size=(count, 3))
    made = []
    for signal in signals or (cell.signal,):
        own = shared
        if len(signals) > 1:
            own = SHARED * shared + np.sqrt(1 - SHARED**2) * generator.normal(size=(count, 3))
        logits = OWN * own[owner] + signal * np.eye(3)[labels] + SLICE * generator.normal(size=(len(owner), 3))
        q = np.exp(logits)
        q /= q.sum(axis=1, keepdims=True)
        p = np.stack([np.bincount(row, q[:, k]) for k in range(3)], axis=1) / np.bincount(row)[:, None]
        made.append(Cohort(p, keys % 3, keys // 3, q, labels, owner))
    return made


@cache
def truth(prevalence: str, slices: str, signal: float) -> dict[str, np.ndarray]:
    """The population's scores: per class where a score has one, so that those that are scored can be averaged."""
    cell, generator = Cell(prevalence, POPULATION // PARTS, slices, signal), np.random.default_rng(10**6)
    parts = [draw(cell, generator)[0] for _ in range(PARTS)]
    p, y = np.concatenate([part.p for part in parts]), np.concatenate([part.y for part in parts])
    right = np.concatenate([part.q.argmax(axis=1) == part.labels for part in parts])
    called, each = p.argmax(axis=1), range(3)
    return {
        "accuracy": (called == y).mean(), "brier": ((p - np.eye(3)[y]) ** 2).sum(axis=1).mean(),
        "sensitivity": np.array([(called[y == k] == k).mean() for k in each]),
        "specificity": np.array([(called[y != k] != k).mean() for k in each]),
        "auroc": np.array([auroc(p[:, k], y == k)[0] for k in each]), "auroc_disease": auroc(-p[:, 0], y != 0)[0],
        "slice accuracy": right.mean(),
    }
