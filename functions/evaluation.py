"""Every score of one set of predictions with its interval over patients, what chance would give, and a verdict.

Arrays as in metrics.py: probabilities (n, K), labels (n,), subjects (n,). Points are scikit-learn's, or plain formulas
where it has none (specificity, ECE); intervals and permutations count the same things with weights.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.metrics import accuracy_score, cohen_kappa_score, f1_score, recall_score, roc_auc_score

from functions.calibration import ece, ece_floor
from functions.confusion_scores import from_counts
from functions.intervals import RESAMPLES
from functions.metrics import by_patient, middle_95, patient_weights, weighted_auroc
from functions.permutation import permuted
from functions.results import FEW

# Scores above these are called too good. They lie above the best results we know on patients never seen: for three
# stages balanced accuracy 0.62 (Diogo et al. 2022, ADNI and OASIS), for Alzheimer's disease against controls balanced
# accuracy 0.91 (same) and AUROC 0.94 (Bron et al. 2021, ADNI). Slices of patients in train and test reach 0.95 to 1.
SUSPICIOUS = {"balanced_accuracy": 0.75, "auroc": 0.95, "auroc_disease": 0.95}    # three stages or more
OF_TWO = {"balanced_accuracy": 0.90, "auroc": 0.97, "auroc_disease": 0.97}        # two: patients against controls
SIGNIFICANT = 0.05         # p below which permutations count as beaten: Fisher's convention
MET, TOO_GOOD = "on people it has met", "too good: check the split"
OF_CLASS = ("sensitivity", "specificity", "class_auroc")


def points(p: np.ndarray, y: np.ndarray, order: Sequence[int], healthy: int | None = None) -> dict[str, float]:
    """Accuracy, balanced accuracy, macro F1, AUROCs, quadratic-weighted kappa, Brier score and ECE.

    Over the classes that occur; `order` ranks the classes by stage for kappa. Brier is Σ_k (p_k - y_k)² (0 … 2), ECE
    the mean |confidence - accuracy| over ten bins of the highest probability. nan: not defined on these labels.
    """
    predicted, seen = p.argmax(axis=1), np.unique(y)
    rank = np.argsort(order)
    values = {
        "accuracy": accuracy_score(y, predicted),
        "balanced_accuracy": recall_score(y, predicted, labels=seen, average="macro", zero_division=0),
        "macro_f1": f1_score(y, predicted, labels=seen, average="macro", zero_division=0),
        "auroc": np.mean([roc_auc_score(y == k, p[:, k]) for k in seen]) if len(seen) > 1 else np.nan,
        "kappa": cohen_kappa_score(rank[y], rank[predicted], labels=np.arange(p.shape[1]), weights="quadratic")
        if len(seen) > 1 else np.nan,
        "brier": ((p - np.eye(p.shape[1])[y]) ** 2).sum(axis=1).mean(),
        "ece": ece(p, y, np.ones((1, len(y))))[0],
    }
    if healthy is not None:
        mixed = healthy in seen and len(seen) > 1
        values["auroc_disease"] = roc_auc_score(y != healthy, -p[:, healthy]) if mixed else np.nan
    return {name: float(value) for name, value in values.items()}


def draws(p: np.ndarray, y: np.ndarray, weights: np.ndarray, order: Sequence[int],
          healthy: int | None = None) -> dict[str, np.ndarray]:
    """`points` with each row counted `weights` (R, n) times, all resamples at once: name → (R,); OF_CLASS → (R, K)."""
    classes, seen = p.shape[1], np.unique(y)
    cells = np.zeros((len(y), classes * classes))
    cells[np.arange(len(y)), y * classes + p.argmax(axis=1)] = 1
    values = from_counts((weights @ cells).reshape(-1, classes, classes), seen, order)
    aurocs = np.stack([weighted_auroc(p[:, k], y == k, weights) for k in range(classes)], axis=1)
    values |= {"class_auroc": aurocs, "auroc": aurocs[:, seen].mean(axis=1),
               "brier": weights @ ((p - np.eye(classes)[y]) ** 2).sum(axis=1) / weights.sum(axis=1),
               "ece": ece(p, y, weights)}
    if healthy is not None:
        values["auroc_disease"] = aurocs[:, healthy]       # 1 - p tells the others as well as p tells the healthy
    return values


def resampled(p: np.ndarray, y: np.ndarray, subjects: np.ndarray, order: Sequence[int], healthy: int | None = None,
              resamples: int = RESAMPLES, seed: int = 0) -> dict[str, np.ndarray]:
    """`draws` of `resamples` samples of whole patients, drawn within their classes."""
    parts = [draws(p, y, weights, order, healthy) | {"ece_floor": ece_floor(p, y, subjects, weights)}
             for weights in patient_weights(y, subjects, resamples, seed)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def evaluate(p: np.ndarray, y: np.ndarray, subjects: np.ndarray, order: Sequence[int], largest: int,
             healthy: int | None = None, resamples: int = RESAMPLES, seed: int = 0, met: bool = False,
             sample: dict[str, np.ndarray] | None = None) -> dict[str, dict]:
    """name → value, its 95 % interval (low, high), what the constant answer scores, p-value, verdict.

    Resampled and permuted are patients, never slices. The p-value is the share of permutations of the patients' labels
    that score as well, the identity counted: its floor is 1 / (resamples + 1). It is given where more is better.
    `met`: the network was trained on these people. `sample` are `resampled` scores, if they are there already.
    """
    value = points(p, y, order, healthy)
    if healthy is not None and min(_people(subjects[y == healthy]), _people(subjects[y != healthy])) < FEW:
        value["auroc_disease"] = np.nan
    sample = sample or resampled(p, y, subjects, order, healthy, resamples, seed)
    constant = points(np.eye(p.shape[1])[np.full(len(y), largest)], y, order, healthy)
    null = permuted(p, y, subjects, order, healthy, resamples, seed)
    result = {}
    for name in value:
        low, high = middle_95(sample[name], y, subjects)
        if name == "ece":
            low = middle_95(sample["ece_floor"], y, subjects)[0]
        result[name] = {"value": value[name], "low": low, "high": high, "constant": constant[name]}
        if name in null and np.isfinite(value[name]):
            as_good = (null[name] >= value[name] - 1e-12).sum()
            result[name] |= {"p": float((1 + as_good) / (1 + resamples)), "null": float(np.nanmean(null[name]))}
            result[name]["verdict"] = verdict(name, **result[name], classes=p.shape[1], met=met)
    return result


def verdict(name: str, value: float, low: float, constant: float, p: float, classes: int, met: bool = False,
            **_) -> str:
    """In words: too good, better than guessing, or cannot be told from guessing.

    Better: the permutations say so (p < SIGNIFICANT), and the interval, where there is one, lies above the constant
    answer. Too good: better, and above what anybody reaches on people never seen.
    """
    if not (p < SIGNIFICANT and (low if np.isfinite(low) else value) > constant):
        return "cannot be told from guessing"
    if value > too_good(classes).get(name, np.inf):
        return TOO_GOOD
    return f"better than guessing, {MET}" if met else "better than guessing"


def too_good(classes: int) -> dict[str, float]:
    """Score → the value above which it is called too good, for this many classes."""
    return OF_TWO if classes == 2 else SUSPICIOUS


def by_class(p: np.ndarray, y: np.ndarray, people: np.ndarray, class_names: Sequence[str],
             sample: dict[str, np.ndarray]) -> list[dict]:
    """Sensitivity, specificity and AUROC of each class, each with value, low, high from the `resampled` scores.

    Of a class with fewer than FEW people, or with fewer than FEW outside it, counts alone.
    """
    rows, predicted = [], p.argmax(axis=1)
    for k, name in enumerate(class_names):
        of_class = y == k
        row = {"class": name, "people": _people(people[of_class]), "rows": int(of_class.sum())}
        if min(row["people"], _people(people[~of_class])) >= FEW:
            values = ((predicted[of_class] == k).mean(), (predicted[~of_class] != k).mean(),
                      roc_auc_score(of_class, p[:, k]))
            for what, value in zip(OF_CLASS, values, strict=True):
                low, high = middle_95(sample[what][:, k], y, people)
                row[what.removeprefix("class_")] = {"value": float(value), "low": low, "high": high}
        rows.append(row)
    return rows


def _people(ids: np.ndarray) -> int:
    return len(np.unique(ids))


def paired(p: np.ndarray, q: np.ndarray, y: np.ndarray, subjects: np.ndarray, order: Sequence[int],
           healthy: int | None = None, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, dict]:
    """name → p's score minus q's on the same rows, with its 95 % interval over the same resampled patients."""
    ours, theirs = (points(each, y, order, healthy) for each in (p, q))
    first, second = (resampled(each, y, subjects, order, healthy, resamples, seed) for each in (p, q))
    result = {}
    for name in ours:
        low, high = middle_95(first[name] - second[name], y, subjects)
        result[name] = {"difference": ours[name] - theirs[name], "low": low, "high": high}
    return result


def aggregated(p: np.ndarray, y: np.ndarray, subjects: np.ndarray) -> dict[str, np.ndarray]:
    """How slices become a patient: mean probability, median (made to sum to 1), share of the calls; as `by_patient`."""
    mean = by_patient(p, y, subjects)[0]
    votes = by_patient(np.eye(p.shape[1])[p.argmax(axis=1)], y, subjects)[0]
    median = pd.DataFrame(p).groupby([pd.Series(subjects).astype(str), y]).median().to_numpy()
    median = median / np.maximum(median.sum(axis=1, keepdims=True), 1e-12)
    return {"mean probability": mean, "median probability": median, "majority of slices": votes}
