"""Scores, and intervals by resampling patients: pure functions on arrays. Point values are scikit-learn's.

Arrays: probabilities (n, K), labels (n,) class numbers, subjects (n,) any ids. Scores are over the classes that occur
in `labels`; with fewer than two of them AUROC is nan.
"""

from collections.abc import Iterator

import numpy as np
from sklearn.metrics import accuracy_score, recall_score, roc_auc_score

from functions.intervals import RESAMPLES, bootstrap_interval
from functions.stages import healthy_stage


def healthy_class(class_names: list[str]) -> int | None:
    """The number of the class without disease, known by its name; None where none is, or more than one."""
    return healthy_stage(class_names)


def scores(probabilities: np.ndarray, labels: np.ndarray, healthy: int | None = None) -> dict[str, float]:
    """Accuracy, balanced accuracy (mean recall), macro AUROC (each class against the rest), each in 0..1.

    With `healthy`, also `auroc_disease`: how well 1 - p(healthy) tells the diseased from the healthy.
    """
    predicted = probabilities.argmax(axis=1)
    occurring = np.unique(labels)
    result = {
        "accuracy": float(accuracy_score(labels, predicted)),
        "balanced_accuracy": float(recall_score(labels, predicted, labels=occurring, average="macro")),
        "auroc": float("nan"),
    }
    if len(occurring) > 1:
        result["auroc"] = float(np.mean([roc_auc_score(labels == k, probabilities[:, k]) for k in occurring]))
    if healthy is not None:
        mixed = healthy in occurring and len(occurring) > 1
        diseased = -probabilities[:, healthy]             # ranks as 1 - p does, and loses no digit
        result["auroc_disease"] = float(roc_auc_score(labels != healthy, diseased)) if mixed else float("nan")
    return result


def constant_scores(labels: np.ndarray, largest: int, num_classes: int, healthy: int | None = None) -> dict[str, float]:
    """What answering always class `largest` of `num_classes` scores on the same labels."""
    probabilities = np.zeros((len(labels), num_classes))
    probabilities[:, largest] = 1
    return scores(probabilities, labels, healthy)


def by_patient(
    probabilities: np.ndarray, labels: np.ndarray, subjects: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One row a patient: mean probability over the patient's slices, label, id. Patients in order of their ids.

    A patient whose slices carry several labels (sessions of different stage) counts once for each label.
    """
    keys = list(zip(subjects.tolist(), labels.tolist(), strict=True))
    people = sorted(set(keys), key=lambda key: (str(key[0]), key[1]))
    number = {person: i for i, person in enumerate(people)}
    rows = np.array([number[key] for key in keys])
    totals = np.zeros((len(people), probabilities.shape[1]))
    np.add.at(totals, rows, probabilities)
    means = totals / np.bincount(rows)[:, None]
    return means, np.array([label for _, label in people]), np.array([subject for subject, _ in people])


def patient_weights(
    labels: np.ndarray, subjects: np.ndarray, resamples: int, seed: int, chunk: int = 200
) -> Iterator[np.ndarray]:
    """How often each row counts in each bootstrap resample: chunks of (≤ chunk, n), `resamples` rows in all.

    Whole patients are drawn, within their class.
    """
    generator = np.random.default_rng(seed)
    _, person = np.unique(subjects, return_inverse=True)
    first_row = np.unique(person, return_index=True)[1]
    stratum = labels[first_row]
    drawn = np.zeros((resamples, len(first_row)))
    for k in np.unique(stratum):
        members = np.flatnonzero(stratum == k)
        drawn[:, members] = generator.multinomial(len(members), np.full(len(members), 1 / len(members)), resamples)
    for start in range(0, resamples, chunk):
        yield drawn[start : start + chunk, person]


def weighted_auroc(score: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """AUROC = P(score⁺ > score⁻) + ½ P(score⁺ = score⁻) for every row of `weights` (R, n) → (R,).

    Equal to scikit-learn's roc_auc_score with sample_weight; nan where a side has no weight.
    """
    order = np.argsort(score, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(score[order]) > 0])             # where each distinct score begins
    ups = np.add.reduceat((weights * positive)[:, order], starts, axis=1)       # (R, distinct scores)
    downs = np.add.reduceat((weights * ~positive)[:, order], starts, axis=1)
    below = np.cumsum(downs, axis=1) - downs
    pairs = ups.sum(axis=1) * downs.sum(axis=1)
    with np.errstate(invalid="ignore"):
        return (ups * (below + downs / 2)).sum(axis=1) / np.where(pairs > 0, pairs, np.nan)


def intervals(
    probabilities: np.ndarray,
    labels: np.ndarray,
    subjects: np.ndarray,
    healthy: int | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """95 % intervals of `scores`, from a bootstrap over whole patients, stratified by class.

    Slices of one patient are nearly copies of each other, so slices are never resampled one by one: an interval over
    1,000 slices of 32 people would be about five times too narrow. nan where there is only one patient.
    """
    if len(np.unique(subjects)) < 2:
        return dict.fromkeys(scores(probabilities, labels, healthy), (float("nan"), float("nan")))
    chunks = [_draw(probabilities, labels, weights, healthy)
              for weights in patient_weights(labels, subjects, resamples, seed)]
    return {name: middle_95(np.concatenate([draws[name] for draws in chunks]), labels, subjects)
            for name in chunks[0]}


def _draw(probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray, healthy: int | None) -> dict:
    """`scores` under each row of `weights` (R, n), all rows at once: name → (R,)."""
    occurring = np.unique(labels)
    correct = probabilities.argmax(axis=1) == labels
    with np.errstate(invalid="ignore"):      # a class may be missing from a resample if patients change class
        recalls = [weights[:, labels == k] @ correct[labels == k] / weights[:, labels == k].sum(1) for k in occurring]
    aurocs = [weighted_auroc(probabilities[:, k], labels == k, weights) for k in occurring]
    draws = {
        "accuracy": weights @ correct / weights.sum(axis=1),
        "balanced_accuracy": np.mean(recalls, axis=0),
        "auroc": np.mean(aurocs, axis=0),
    }
    if healthy is not None:
        draws["auroc_disease"] = weighted_auroc(-probabilities[:, healthy], labels != healthy, weights)
    return draws


def middle_95(draws: np.ndarray, labels: np.ndarray, subjects: np.ndarray) -> tuple[float, float]:
    """`bootstrap_interval` of a score whose patients, and the classes they were drawn within, are those of the rows."""
    low, high = bootstrap_interval(draws, len(np.unique(subjects)), len(np.unique(labels)))
    return float(low), float(high)
