"""Every score of one set of predictions with its interval over patients, what chance would give, and a verdict.

Arrays as in metrics.py: probabilities (n, K), labels (n,), subjects (n,). Points are scikit-learn's, or plain formulas
where it has none (specificity, ECE); intervals and permutations count the same things with weights.
"""

from collections.abc import Sequence

import numpy as np
from sklearn.metrics import accuracy_score, cohen_kappa_score, f1_score, recall_score, roc_auc_score

from functions.metrics import patient_weights, weighted_auroc

BINS = 10                          # of confidence, equally wide: Guo et al. 2017
TOO_GOOD = {"balanced_accuracy": 0.75, "auroc": 0.95, "auroc_disease": 0.95}    # nobody got there on unseen patients
HIGHER = ("accuracy", "balanced_accuracy", "macro_f1", "auroc", "auroc_disease", "kappa")      # where more is better


def points(p: np.ndarray, y: np.ndarray, order: Sequence[int], healthy: int | None = None) -> dict[str, float]:
    """Accuracy, balanced accuracy, macro F1, AUROCs, quadratic-weighted kappa, Brier score and ECE.

    Over the classes that occur; `order` ranks the classes by stage for kappa. Brier is Σ_k (p_k - y_k)² (0 … 2), ECE
    the mean |confidence - accuracy| over BINS bins of the highest probability.
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
        "ece": _ece(p, y, np.ones((1, len(y))))[0],
    }
    if healthy is not None:
        mixed = healthy in seen and len(seen) > 1
        values["auroc_disease"] = roc_auc_score(y != healthy, 1 - p[:, healthy]) if mixed else np.nan
    return {name: float(value) for name, value in values.items()}


def draws(p: np.ndarray, y: np.ndarray, weights: np.ndarray, order: Sequence[int],
          healthy: int | None = None) -> dict[str, np.ndarray]:
    """`points` with each row counted `weights` (R, n) times, all resamples at once: name → (R,)."""
    classes = p.shape[1]
    seen = np.unique(y)
    cells = np.zeros((len(y), classes * classes))
    cells[np.arange(len(y)), y * classes + p.argmax(axis=1)] = 1
    confusion = (weights @ cells).reshape(-1, classes, classes)               # (R, K, K), truth down
    total = confusion.sum(axis=(1, 2))
    truth, called = confusion.sum(axis=2), confusion.sum(axis=1)
    hit = np.diagonal(confusion, axis1=1, axis2=2)
    rank = np.argsort(order)
    distance = (rank[:, None] - rank[None]) ** 2 / max(classes - 1, 1) ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = truth[:, :, None] * called[:, None, :] / total[:, None, None]
        values = {
            "accuracy": hit.sum(axis=1) / total,
            "balanced_accuracy": np.nanmean((hit / truth)[:, seen], axis=1),
            "macro_f1": np.nanmean((2 * hit / (truth + called))[:, seen], axis=1),
            "auroc": np.mean([weighted_auroc(p[:, k], y == k, weights) for k in seen], axis=0),
            "kappa": 1 - (confusion * distance).sum(axis=(1, 2)) / (expected * distance).sum(axis=(1, 2)),
            "brier": weights @ ((p - np.eye(classes)[y]) ** 2).sum(axis=1) / total,
            "ece": _ece(p, y, weights),
        }
    if healthy is not None:
        values["auroc_disease"] = weighted_auroc(1 - p[:, healthy], y != healthy, weights)
    return values


def _ece(p: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    confidence = p.max(axis=1)
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    members = np.eye(BINS)[bins]                                              # (n, BINS)
    gaps = weights @ (members * (confidence - (p.argmax(axis=1) == y))[:, None])
    return np.abs(gaps).sum(axis=1) / weights.sum(axis=1)


def evaluate(p: np.ndarray, y: np.ndarray, subjects: np.ndarray, order: Sequence[int], largest: int,
             healthy: int | None = None, resamples: int = 2000, seed: int = 0) -> dict[str, dict]:
    """name → value, its 95 % interval (low, high), what the constant answer scores, p-value, verdict.

    Resampled and permuted are patients, never slices. The p-value is the share of permutations of the patients' labels
    that score as well, the identity counted: its floor is 1 / (resamples + 1). It is given where more is better.
    """
    value = points(p, y, order, healthy)
    parts = [draws(p, y, weights, order, healthy) for weights in patient_weights(y, subjects, resamples, seed)]
    constant = points(np.eye(p.shape[1])[np.full(len(y), largest)], y, order, healthy)
    null = permuted(p, y, subjects, order, healthy, resamples, seed)
    result = {}
    for name in value:
        sample = np.concatenate([part[name] for part in parts])
        sample = sample[np.isfinite(sample)]
        low, high = np.percentile(sample, [2.5, 97.5]) if len(sample) and len(set(subjects)) > 1 else (np.nan, np.nan)
        result[name] = {"value": value[name], "low": float(low), "high": float(high), "constant": constant[name]}
        if name in HIGHER and np.isfinite(value[name]):
            as_good = (null[name] >= value[name] - 1e-12).sum()
            result[name] |= {"p": float((1 + as_good) / (1 + resamples)), "null": float(np.nanmean(null[name]))}
            result[name]["verdict"] = verdict(name, **result[name])
    return result


def permuted(p: np.ndarray, y: np.ndarray, subjects: np.ndarray, order: Sequence[int], healthy: int | None,
             repeats: int, seed: int) -> dict[str, np.ndarray]:
    """The scores in HIGHER when labels are handed out anew to whole patients, predictions staying: (repeats,) each."""
    generator = np.random.default_rng(seed + 1)
    _, first, person = np.unique(subjects, return_index=True, return_inverse=True)
    ones = np.ones((1, len(y)))
    rows = [draws(p, y[first][generator.permutation(len(first))][person], ones, order, healthy) for _ in range(repeats)]
    return {name: np.array([row[name][0] for row in rows]) for name in HIGHER if name in rows[0]}


def verdict(name: str, value: float, low: float, constant: float, p: float, **_) -> str:
    """In words: too good, better than guessing, or cannot be told from guessing."""
    if value > TOO_GOOD.get(name, np.inf):
        return "too good: check the split"
    if p < 0.05 and np.isfinite(low) and low > constant:
        return "better than guessing"
    return "cannot be told from guessing"


def by_class(p: np.ndarray, y: np.ndarray, people: np.ndarray, class_names: Sequence[str], few: int) -> list[dict]:
    """Sensitivity, specificity and AUROC of each class; of classes with fewer than `few` people counts alone."""
    rows, predicted = [], p.argmax(axis=1)
    for k, name in enumerate(class_names):
        of_class = y == k
        count = len(np.unique(people[of_class]))
        row = {"class": name, "people": count, "rows": int(of_class.sum())}
        if count >= few and not of_class.all():
            row |= {"sensitivity": float((predicted[of_class] == k).mean()),
                    "specificity": float((predicted[~of_class] != k).mean()),
                    "auroc": float(roc_auc_score(of_class, p[:, k]))}
        rows.append(row)
    return rows


def paired(p: np.ndarray, q: np.ndarray, y: np.ndarray, subjects: np.ndarray, order: Sequence[int],
           healthy: int | None = None, resamples: int = 2000, seed: int = 0) -> dict[str, dict]:
    """name → p's score minus q's on the same rows, with its 95 % interval over the same resampled patients."""
    ours, theirs = points(p, y, order, healthy), points(q, y, order, healthy)
    samples = []
    for weights in patient_weights(y, subjects, resamples, seed):
        first, second = draws(p, y, weights, order, healthy), draws(q, y, weights, order, healthy)
        samples.append({name: first[name] - second[name] for name in first})
    result = {}
    for name in ours:
        sample = np.concatenate([part[name] for part in samples])
        low, high = np.nanpercentile(sample, [2.5, 97.5])
        result[name] = {"difference": ours[name] - theirs[name], "low": float(low), "high": float(high)}
    return result


def aggregated(p: np.ndarray, y: np.ndarray, subjects: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """How slices become a patient: mean probability, median (made to sum to 1), majority of the calls → (p, y)."""
    keys, person = np.unique(np.array([f"{subject}\0{label}" for subject, label in zip(subjects, y, strict=True)]),
                             return_inverse=True)
    labels = np.array([int(key.rsplit("\0", 1)[1]) for key in keys])
    calls = np.eye(p.shape[1])[p.argmax(axis=1)]
    rows = [np.flatnonzero(person == i) for i in range(len(keys))]
    median = np.array([np.median(p[row], axis=0) for row in rows])
    return {"mean probability": (np.array([p[row].mean(axis=0) for row in rows]), labels),
            "median probability": (median / np.maximum(median.sum(axis=1, keepdims=True), 1e-12), labels),
            "majority of slices": (np.array([calls[row].mean(axis=0) for row in rows]), labels)}
