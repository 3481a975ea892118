"""All scores of one set of predictions: values, intervals over patients, permutation p-value, and one verdict.

Arrays as in metrics.py: probabilities (n, K), labels (n,), subjects (n,). Values are computed by scikit-learn, or by
formula where it has no function (specificity, ECE). Intervals, p-values, differences and the verdict are over patients,
one row each (`metrics.by_patient`), because slices of one patient are not independent. `classes` are those with enough
patients (`metrics.scored_classes`); means over classes are over these.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import t
from sklearn.metrics import accuracy_score, cohen_kappa_score, f1_score, recall_score, roc_auc_score

from functions.evaluation.auroc import auroc, auroc_interval, difference, mean_auroc
from functions.evaluation.calibration import ece
from functions.evaluation.intervals import (
    ENOUGH,
    ENOUGH_BRIER,
    FEWEST,
    LEVEL,
    RESAMPLES,
    mean_of_clusters,
    mean_of_positives,
    mean_of_proportions,
    share_of_clusters,
    wilson,
)
from functions.evaluation.metrics import by_patient, has_two_sides, scored_classes
from functions.evaluation.permutation import can_move, permuted

# An interval of the AUROC of diseased-or-not above this value is implausible: it is the highest value known to us on
# unseen patients, for the easiest case, Alzheimer's disease against controls (Bron et al. 2021, NeuroImage Clin
# 31:102712).
TOO_GOOD_AUROC = 0.94
TOO_GOOD_PATIENTS = 70     # about: an AUROC of 1 can have such an interval from 67 patients on (103 of sides 1:4)
SIGNIFICANT = 0.05         # p below which permutations count as beaten: Fisher's convention
SEEN_SUFFIX, TOO_GOOD = "on patients it was trained on", "too good: check the split"
NO_VERDICT = "no verdict: the interval or the p-value is not defined for these patients"
PAIRED = ("accuracy", "balanced_accuracy", "auroc", "auroc_disease", "brier")
OF_CLASS = ("sensitivity", "specificity", "auroc")


def primary_score(healthy: int | None) -> str:
    """The score with a verdict; a single one, fixed in advance, to avoid multiple testing."""
    return "auroc" if healthy is None else "auroc_disease"


def points(p: np.ndarray, y: np.ndarray, order: Sequence[int], healthy: int | None = None,
           classes: Sequence[int] | None = None, subjects: np.ndarray | None = None) -> dict[str, float]:
    """Accuracy, balanced accuracy, macro F1, AUROCs, quadratic-weighted kappa, Brier score and ECE.

    Means are over `classes` (default: all that occur); nan for fewer than two. With `subjects`, the patient ids of the
    rows, the AUROC of diseased-or-not is nan if a side has fewer than FEW patients. `order` ranks the classes by stage
    for kappa. Brier is Σ_k (p_k - y_k)² (0 … 2), ECE the mean |confidence - accuracy| over ten confidence bins.
    """
    predicted, seen, rank = p.argmax(axis=1), np.unique(y), np.argsort(order)
    chosen = seen if classes is None else np.asarray(classes, dtype=int)
    values = {"accuracy": accuracy_score(y, predicted), "balanced_accuracy": np.nan, "macro_f1": np.nan,
              "auroc": np.nan, "kappa": np.nan, "brier": _brier(p, y).mean(),
              "ece": ece(p, y, np.ones((1, len(y))))[0]}
    if len(chosen) > 1:
        values["balanced_accuracy"] = recall_score(y, predicted, labels=chosen, average="macro", zero_division=0)
        values["macro_f1"] = f1_score(y, predicted, labels=chosen, average="macro", zero_division=0)
        values["auroc"] = np.mean([roc_auc_score(y == k, p[:, k]) for k in chosen])
    if len(seen) > 1:
        values["kappa"] = cohen_kappa_score(rank[y], rank[predicted], labels=np.arange(p.shape[1]), weights="quadratic")
    if healthy is not None:
        mixed = has_two_sides(y == healthy, subjects)
        values["auroc_disease"] = roc_auc_score(y != healthy, -p[:, healthy]) if mixed else np.nan
    return {name: float(value) for name, value in values.items()}


def _brier(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Σ_k (p_k - y_k)² for each row."""
    return ((p - np.eye(p.shape[1])[y]) ** 2).sum(axis=1)


def score_intervals(p: np.ndarray, y: np.ndarray, subjects: np.ndarray, healthy: int | None,
                    classes: Sequence[int]) -> dict[str, tuple[float, float]]:
    """name → 95 % interval (low, high), for rows that are patients; other scores have no interval.

    AUROCs: Newcombe 2006. Accuracy and balanced accuracy, from FEWEST patients: Wilson, and MOVER over the classes.
    Mean AUROC over classes, from ENOUGH patients: MOVER with DeLong's correlations. Brier score: from ENOUGH_BRIER
    patients. If patients have several labels, hence several rows, only the clustered interval of accuracy is given.
    """
    right = p.argmax(axis=1) == y
    if _num_patients(subjects) < len(y):
        return {"accuracy": share_of_clusters(right, subjects)}
    found = {"accuracy": share_of_clusters(right, subjects)}
    if len(y) >= FEWEST:
        found["balanced_accuracy"] = mean_of_proportions([right[y == k].sum() for k in classes],
                                                         [(y == k).sum() for k in classes])
    if p.shape[1] == len(classes) == 2:                  # the same AUROC for both classes
        found["auroc"] = auroc_interval(auroc(p[:, 1], y == 1)[0], *_sides(y == 1))
    if len(y) >= ENOUGH_BRIER:
        found["brier"] = mean_of_positives(_brier(p, y))
    if len(y) >= ENOUGH and len(classes) > 1 and "auroc" not in found:
        mean = mean_auroc([(p[:, k], y == k) for k in classes])
        found["auroc"] = mean.low, mean.high
    if healthy is not None and has_two_sides(y == healthy, subjects):
        found["auroc_disease"] = auroc_interval(auroc(-p[:, healthy], y != healthy)[0], *_sides(y != healthy))
    return found


def slice_intervals(p: np.ndarray, y: np.ndarray, subjects: np.ndarray) -> dict[str, tuple[float, float]]:
    """The clustered interval of slice accuracy; no other slice score has an interval."""
    return {"accuracy": share_of_clusters(p.argmax(axis=1) == y, subjects)}


def _sides(positive: np.ndarray) -> tuple[int, int]:
    return int(positive.sum()), int((~positive).sum())


def evaluate_patients(p: np.ndarray, y: np.ndarray, subjects: np.ndarray, order: Sequence[int], largest: int,
                      healthy: int | None = None, resamples: int = RESAMPLES, seed: int = 0,
                      seen: bool = False) -> dict[str, dict]:
    """name → value, 95 % interval (low, high), score of the constant prediction, mean over label permutations.

    Rows are patients. The primary score also has a verdict and a p-value: the share of permutations of the patients'
    labels, including the identity, that score at least as well (minimum 1 / (resamples + 1)). `seen`: the network was
    trained on these patients.
    """
    classes = scored_classes(y, subjects)
    value = points(p, y, order, healthy, classes, subjects)
    spans = score_intervals(p, y, subjects, healthy, classes)
    constant = points(np.eye(p.shape[1])[np.full(len(y), largest)], y, order, healthy, classes, subjects)
    null = permuted(p, y, subjects, order, healthy, classes, resamples, seed)
    result = {}
    for name in value:
        low, high = spans.get(name, (np.nan, np.nan))
        result[name] = {"value": value[name], "low": low, "high": high, "constant": constant[name]}
        if name in null:
            result[name]["null"] = float(null[name].mean())
    primary = result[primary_score(healthy)]
    asked = y if healthy is None else y != healthy
    primary["p"] = p_value(primary["value"], null[primary_score(healthy)]) if can_move(asked, subjects) else np.nan
    primary["verdict"] = verdict(**primary, disease=healthy is not None, seen=seen)
    return result


def evaluate_slices(p: np.ndarray, y: np.ndarray, subjects: np.ndarray, order: Sequence[int], largest: int,
                    healthy: int | None = None, known: bool = True) -> dict[str, dict]:
    """name → value, low, high and score of the constant prediction, over slices; no p-value and no verdict.

    Means are over the classes with at least FEW patients, as for patients. Without `known` patients there is no
    interval.
    """
    classes = scored_classes(y, subjects)
    value = points(p, y, order, healthy, classes, subjects)
    spans = slice_intervals(p, y, subjects) if known else {}
    constant = points(np.eye(p.shape[1])[np.full(len(y), largest)], y, order, healthy, classes, subjects)
    return {name: {"value": value[name], "low": low, "high": high, "constant": constant[name]}
            for name in value for low, high in [spans.get(name, (np.nan, np.nan))]}


def p_value(value: float, null: np.ndarray) -> float:
    """(1 + #{null ≥ value}) / (1 + #null), one-sided: 1 of a network that answers everybody alike; nan where the value
    or a permutation's is nan. Undefined, too, where no label can move (`permutation.can_move`; patients of several
    labels who can exchange them with nobody), which the caller sees.
    """
    if not (np.isfinite(value) and np.isfinite(null).all()):
        return np.nan
    return float((1 + (null >= value - 1e-12).sum()) / (1 + len(null)))


def verdict(value: float, low: float, constant: float, p: float, disease: bool, seen: bool = False, **_) -> str:
    """The verdict on a score against the constant prediction.

    Better: p < SIGNIFICANT and the whole interval above `constant`. Too good: the interval is above TOO_GOOD_AUROC
    (only with `disease`, the AUROC of diseased-or-not).
    """
    if not np.isfinite(value):
        return "not scored"
    if not (np.isfinite(low) and np.isfinite(p)):
        return NO_VERDICT
    if not (p < SIGNIFICANT and low > constant):
        return "not shown to be better"
    if disease and low > TOO_GOOD_AUROC:
        return TOO_GOOD
    return f"better, {SEEN_SUFFIX}" if seen else "better"


def by_class(p: np.ndarray, y: np.ndarray, subjects: np.ndarray, class_names: Sequence[str],
             patients: bool = True) -> list[dict]:
    """Sensitivity, specificity and AUROC of each class with value, low, high; for slices (not `patients`) values only.

    A class has counts only if it, or the rest, has fewer than FEW patients. There are no intervals for fewer than
    FEWEST patients in total, or if patients have several labels.
    """
    rows, called, given = [], p.argmax(axis=1), patients and FEWEST <= _num_patients(subjects) == len(y)
    for k, name in enumerate(class_names):
        of = y == k
        row = {"class": name, "people": _num_patients(subjects[of]), "rows": int(of.sum())}
        if has_two_sides(of, subjects):
            area = auroc(p[:, k], of)[0]
            hits, passed = (called[of] == k).sum(), (called[~of] != k).sum()
            made = {"sensitivity": (hits / of.sum(), wilson(hits, of.sum())),
                    "specificity": (passed / (~of).sum(), wilson(passed, (~of).sum())),
                    "auroc": (area, auroc_interval(area, *_sides(of)))}
            for what, (value, (low, high)) in made.items():
                ends = {"low": float(low), "high": float(high)} if given else {"low": np.nan, "high": np.nan}
                row[what] = {"value": float(value)} | ends
        rows.append(row)
    return rows


def _num_patients(ids: np.ndarray) -> int:
    return len(np.unique(ids))


def paired(p: np.ndarray, q: np.ndarray, y: np.ndarray, subjects: np.ndarray,
           healthy: int | None = None) -> dict[str, dict]:
    """name → difference of the scores of p and q on the same patients with its 95 % interval; AUROCs with a p-value.

    Accuracy and Brier score by t over patients, balanced accuracy by t within classes, AUROCs by MOVER
    (`auroc.difference`; their p by DeLong), their mean over classes of ENOUGH patients. Where patients have several
    labels, hence rows, the former two alone have one.
    """
    classes, one_each = scored_classes(y, subjects), _num_patients(subjects) == len(y)
    right = (p.argmax(axis=1) == y) * 1.0 - (q.argmax(axis=1) == y)
    found = {name: (rows.mean(), *mean_of_clusters(rows, subjects))
             for name, rows in (("accuracy", right), ("brier", _brier(p, y) - _brier(q, y)))}
    if len(classes) > 1:
        parts = [right[y == k] for k in classes]
        found["balanced_accuracy"] = (np.mean([part.mean() for part in parts]), *_mean_difference(parts))
        found["auroc"] = _auroc_difference([(p[:, k], q[:, k], y == k) for k in classes])
    if healthy is not None and has_two_sides(y == healthy, subjects):
        found["auroc_disease"] = _auroc_difference([(-p[:, healthy], -q[:, healthy], y != healthy)])
    result = {}
    for name, (gap, low, high, *chance) in found.items():
        mean_of_few = name == "auroc" and len(y) < ENOUGH and not p.shape[1] == len(classes) == 2
        if mean_of_few or not (one_each or name in ("accuracy", "brier")):
            low, high, chance = np.nan, np.nan, [np.nan] * len(chance)
        result[name] = {"difference": float(gap), "low": low, "high": high} | dict(zip(["p"], chance, strict=False))
    return {name: result[name] for name in PAIRED if name in result}


def _auroc_difference(parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> tuple[float, float, float, float]:
    """(difference, low, high, p) of the mean AUROCs of two networks, of (one's score, the other's, positive)s."""
    first, second = (mean_auroc([(part[i], part[2]) for part in parts]) for i in (0, 1))
    return first.value - second.value, *difference(first, second)


def _mean_difference(parts: list[np.ndarray]) -> tuple[float, float]:
    """(low, high) of the mean over classes of the mean differences: t with Satterthwaite's degrees of freedom."""
    if len(parts) < 2:
        return np.nan, np.nan
    variances, counts = np.array([part.var(ddof=1) / len(part) for part in parts]), np.array(list(map(len, parts)))
    if not variances.sum() > 0:
        return np.nan, np.nan
    freedom = variances.sum() ** 2 / (variances**2 / (counts - 1)).sum()
    half = t.ppf((1 + LEVEL) / 2, freedom) * np.sqrt(variances.sum()) / len(parts)
    centre = np.mean([part.mean() for part in parts])
    return float(centre - half), float(centre + half)


def aggregated(p: np.ndarray, y: np.ndarray, subjects: np.ndarray) -> dict[str, np.ndarray]:
    """Aggregations of slices to patients, rows as in `by_patient`: mean, normalised median, share of predictions."""
    mean = by_patient(p, y, subjects)[0]
    votes = by_patient(np.eye(p.shape[1])[p.argmax(axis=1)], y, subjects)[0]
    median = pd.DataFrame(p).groupby([pd.Series(subjects).astype(str), y]).median().to_numpy()
    median = median / np.maximum(median.sum(axis=1, keepdims=True), 1e-12)
    return {"mean probability": mean, "median probability": median, "majority of slices": votes}
