"""Every score of one set of predictions, with its interval over patients, what chance would give, and one verdict.

Arrays as in metrics.py: probabilities (n, K), labels (n,), subjects (n,). Points are scikit-learn's, or plain formulas
where it has none (specificity, ECE). Intervals, p-values, differences and the verdict are of patients, one row each
(`metrics.by_patient`): slices of one patient are no independent observations. `classes` are those with enough patients
to be scored (`metrics.scored_classes`); means over classes are over these.
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

# An AUROC of diseased or not whose interval begins above this is too good: the best known to us on patients never seen,
# for the easiest such question, Alzheimer's disease against controls (Bron et al. 2021, NeuroImage Clin 31:102712).
TOO_GOOD_AUROC = 0.94
TOO_GOOD_PATIENTS = 70     # about: an AUROC of 1 can have such an interval from 67 patients on (103 of sides 1:4)
SIGNIFICANT = 0.05         # p below which permutations count as beaten: Fisher's convention
MET, TOO_GOOD = "on patients it was trained on", "too good: check the split"
NO_VERDICT = "no verdict: the interval or the p-value is not defined for these patients"
PAIRED = ("accuracy", "balanced_accuracy", "auroc", "auroc_disease", "brier")
OF_CLASS = ("sensitivity", "specificity", "auroc")


def primary_score(healthy: int | None) -> str:
    """The one score with a verdict, declared beforehand: a dozen verdicts would find one by chance."""
    return "auroc" if healthy is None else "auroc_disease"


def points(p: np.ndarray, y: np.ndarray, order: Sequence[int], healthy: int | None = None,
           classes: Sequence[int] | None = None, subjects: np.ndarray | None = None) -> dict[str, float]:
    """Accuracy, balanced accuracy, macro F1, AUROCs, quadratic-weighted kappa, Brier score and ECE.

    Means are over `classes` (all that occur); nan of fewer than two. With `subjects`, who the rows are of, the AUROC of
    diseased or not is nan where a side has fewer than FEW patients. `order` ranks the classes by stage for kappa.
    Brier is Σ_k (p_k - y_k)² (0 … 2), ECE the mean |confidence - accuracy| over ten bins of the highest probability.
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
    """Each row's Σ_k (p_k - y_k)²."""
    return ((p - np.eye(p.shape[1])[y]) ** 2).sum(axis=1)


def score_intervals(p: np.ndarray, y: np.ndarray, subjects: np.ndarray, healthy: int | None,
                    classes: Sequence[int]) -> dict[str, tuple[float, float]]:
    """name → (low, high), 95 %, for rows that are patients; other scores have no interval that was shown to cover.

    Where patients have several labels, hence rows, the accuracy alone has one, as that of clusters.

    AUROCs after Newcombe 2006; of FEWEST patients accuracy after Wilson, balanced accuracy from Wilson's intervals of
    the classes; of ENOUGH the AUROCs' mean over classes, with DeLong's correlations; of ENOUGH_BRIER the Brier score.
    """
    right = p.argmax(axis=1) == y
    if _people(subjects) < len(y):
        return {"accuracy": share_of_clusters(right, subjects)}
    found = {"accuracy": share_of_clusters(right, subjects)}
    if len(y) >= FEWEST:
        found["balanced_accuracy"] = mean_of_proportions([right[y == k].sum() for k in classes],
                                                         [(y == k).sum() for k in classes])
    if p.shape[1] == len(classes) == 2:                  # one AUROC, seen from either class
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
    """The accuracy of slices, as that of clusters; no other score of slices has an interval."""
    return {"accuracy": share_of_clusters(p.argmax(axis=1) == y, subjects)}


def _sides(positive: np.ndarray) -> tuple[int, int]:
    return int(positive.sum()), int((~positive).sum())


def evaluate_patients(p: np.ndarray, y: np.ndarray, subjects: np.ndarray, order: Sequence[int], largest: int,
                      healthy: int | None = None, resamples: int = RESAMPLES, seed: int = 0,
                      met: bool = False) -> dict[str, dict]:
    """name → value, its 95 % interval (low, high), what the constant answer scores, the permutations' mean.

    Rows are patients. The primary score has a p-value, the share of permutations of the patients' labels that score as
    well, the identity counted (its floor is 1 / (resamples + 1)), and a verdict. `met`: trained on these patients.
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
    primary["verdict"] = verdict(**primary, disease=healthy is not None, met=met)
    return result


def evaluate_slices(p: np.ndarray, y: np.ndarray, subjects: np.ndarray, order: Sequence[int], largest: int,
                    healthy: int | None = None, known: bool = True) -> dict[str, dict]:
    """name → value, low, high and what the constant answer scores, over slices; no p-value and no verdict.

    Means are over the classes with FEW patients, as those of patients are. `known`: the patients are; without them
    there is no interval.
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


def verdict(value: float, low: float, constant: float, p: float, disease: bool, met: bool = False, **_) -> str:
    """Better: p < SIGNIFICANT and the whole interval above the constant answer. Too good: its lower end above what is
    known of patients never seen (`disease`: of diseased or not, the only question with such a number).
    """
    if not np.isfinite(value):
        return "not scored"
    if not (np.isfinite(low) and np.isfinite(p)):
        return NO_VERDICT
    if not (p < SIGNIFICANT and low > constant):
        return "not shown to be better"
    if disease and low > TOO_GOOD_AUROC:
        return TOO_GOOD
    return f"better, {MET}" if met else "better"


def by_class(p: np.ndarray, y: np.ndarray, people: np.ndarray, class_names: Sequence[str],
             patients: bool = True) -> list[dict]:
    """Sensitivity, specificity and AUROC of each class with value, low, high; of slices (not `patients`) the values.

    Of a class with fewer than FEW people, or with fewer than FEW outside it, counts alone; of fewer than FEWEST people
    in all, or where some have several labels, no intervals.
    """
    rows, called, given = [], p.argmax(axis=1), patients and FEWEST <= _people(people) == len(y)
    for k, name in enumerate(class_names):
        of = y == k
        row = {"class": name, "people": _people(people[of]), "rows": int(of.sum())}
        if has_two_sides(of, people):
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


def _people(ids: np.ndarray) -> int:
    return len(np.unique(ids))


def paired(p: np.ndarray, q: np.ndarray, y: np.ndarray, subjects: np.ndarray,
           healthy: int | None = None) -> dict[str, dict]:
    """name → p's score minus q's on the same patients, with its 95 % interval; AUROCs with a p-value.

    Accuracy and Brier score by t over patients, balanced accuracy by t within classes, AUROCs by MOVER
    (`auroc.difference`; their p by DeLong), their mean over classes of ENOUGH patients. Where patients have several
    labels, hence rows, the former two alone have one.
    """
    classes, one_each = scored_classes(y, subjects), _people(subjects) == len(y)
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
    """(low, high) of the mean over classes of their mean differences: t with Satterthwaite's degrees of freedom."""
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
    """How slices become a patient: mean probability, median (made to sum to 1), share of the calls; as `by_patient`."""
    mean = by_patient(p, y, subjects)[0]
    votes = by_patient(np.eye(p.shape[1])[p.argmax(axis=1)], y, subjects)[0]
    median = pd.DataFrame(p).groupby([pd.Series(subjects).astype(str), y]).median().to_numpy()
    median = median / np.maximum(median.sum(axis=1, keepdims=True), 1e-12)
    return {"mean probability": mean, "median probability": median, "majority of slices": votes}
