"""Shortcuts: whether file features alone predict the class, compared with shuffled labels.

Two tests of each kind of feature. First, whether it predicts a class (a decision tree's AUROC on unseen patients).
Second, whether part of one class is an outlier to all other classes. A minority class that was augmented with
images from another source is such a case, and has little effect on AUROC: a fifth of a class, predicted perfectly,
raises it by 0.1.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.tree import DecisionTreeClassifier

from data_setup.audit.file_features import ANATOMY_FEATURES, FILE_FEATURES
from data_setup.resources import available_cores

SHUFFLES = 9           # runs on shuffled labels: the smallest p-value is 1 / 10
MAX_SLICES = 2000      # random slices that are tested, at most
MARGIN = {"file": 0.03, "surroundings": 0.12, "anatomy": 0.35}    # AUROC above the best shuffled run
MIN_OUTLIER_SHARE, FENCE, OTHERS_WEIGHT = 0.10, 3.0, 3     # share of a class; IQRs; a weight
PERMUTATIONS = 199     # of labels, for outliers: two lie above the 99th percentile


class Shortcut(NamedTuple):
    """One kind of feature: an AUROC on unseen patients, and the share of a class that are outliers. Field names are
    keys of audit.json.
    """

    trace: str
    auroc: float
    shuffled: float        # the highest of SHUFFLES runs on labels shuffled over subjects
    apart: float = 0.0
    apart_shuffled: float = 0.0       # the 99th percentile of PERMUTATIONS runs on labels shuffled over subjects

    @property
    def found(self) -> bool:
        return self.separates_classes or self.has_outliers

    @property
    def separates_classes(self) -> bool:
        """Whether the feature predicts the class."""
        kind = ("file" if self.trace in FILE_FEATURES else
                "anatomy" if self.trace in ANATOMY_FEATURES else "surroundings")
        return self.auroc > self.shuffled + MARGIN[kind]

    @property
    def has_outliers(self) -> bool:
        """Whether part of one class is far from all others; not for the border, which only a few large heads reach."""
        return self.trace != "border" and self.apart > max(MIN_OUTLIER_SHARE, self.apart_shuffled)

    @property
    def message(self) -> str:
        """The finding as a message."""
        end = " (names are no model input, but suggest that the classes have different sources)"
        if self.separates_classes:
            text = (f"the {self.trace} alone predicts the class: AUROC {self.auroc:.2f} on unseen patients, "
                    f"{self.shuffled:.2f} at best on shuffled labels")
        else:
            text = (f"{self.apart:.0%} of one class are far from all others in the {self.trace} alone, "
                    f"{max(self.apart_shuffled, 0):.0%} on shuffled labels: are they from another source?")
        return text + (end if self.trace == "name" else "")


def find_shortcuts(features_of: Callable[[int], dict[str, list[float]]], labels: np.ndarray, subjects: np.ndarray,
                   seed: int = 0) -> list[Shortcut]:
    """Tests each kind of feature by itself: AUROC of the best predicted class, cross-validated over patients, and
    `_outlier_shares`.

    `features_of(row)` returns the `file_features` of a file; it is called for MAX_SLICES random rows at most. Both are
    compared with runs on labels shuffled over patients. Classes of fewer than five patients are left out; the result is
    empty if fewer than two classes remain.
    """
    enough = [k for k in np.unique(labels) if len(np.unique(subjects[labels == k])) >= 5]
    keep = np.isin(labels, enough)
    if len(enough) < 2:
        return []
    generator, found = np.random.default_rng(seed), []
    chosen = np.sort(generator.permutation(np.flatnonzero(keep))[:MAX_SLICES])
    labels, subjects = labels[chosen], subjects[chosen]
    with ThreadPoolExecutor(available_cores()) as pool:
        rows = list(pool.map(features_of, chosen.tolist()))
    for trace in rows[0]:
        x = np.array([row[trace] for row in rows])
        if len(np.unique(x, axis=0)) < 2:
            found.append(Shortcut(trace, 0.5, 0.5))
            continue
        auroc = _auroc(x, labels, subjects, seed)
        shuffled = [_auroc(x, _shuffled(labels, subjects, generator), subjects, seed) for _ in range(SHUFFLES)]
        permuted = np.stack([labels, *(_shuffled(labels, subjects, generator) for _ in range(PERMUTATIONS))])
        apart = _outlier_shares(x, permuted)
        found.append(Shortcut(trace, auroc, float(max(shuffled)), float(apart[0]), float(np.quantile(apart[1:], 0.99))))
    return sorted(found, key=lambda shortcut: shortcut.shuffled - shortcut.auroc)


def _auroc(x: np.ndarray, labels: np.ndarray, subjects: np.ndarray, seed: int) -> float:
    classes = np.unique(labels)
    folds = min(5, min(len(np.unique(subjects[labels == k])) for k in classes))
    if folds < 2 or len(classes) < 2:
        return 0.5
    p = np.zeros((len(labels), len(classes)))
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    for train, test in splitter.split(x, labels, subjects):
        tree = DecisionTreeClassifier(max_depth=4, min_samples_leaf=10, class_weight="balanced", random_state=seed)
        tree.fit(x[train], labels[train])
        p[np.ix_(test, np.searchsorted(classes, tree.classes_))] = tree.predict_proba(x[test])
    return float(max(roc_auc_score(labels == k, p[:, i]) for i, k in enumerate(classes)))


def _outlier_shares(x: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The largest share of a class that is far from the others in one column of `x` (n, c), less OTHERS_WEIGHT times
    theirs.

    For many labellings (d, n) at once: (d,). Far is FENCE interquartile ranges beyond the other classes' quartiles
    (Tukey 1977, "far out").
    """
    largest = np.full(len(labels), -np.inf)
    for column in x.T:
        order = np.argsort(column)
        values = column[order]
        for k in np.unique(labels):
            in_class = np.pad(labels[:, order] == k, ((0, 0), (1, 0)))                      # (d, n + 1)
            inside, outside = np.cumsum(in_class, axis=1), np.cumsum(~in_class, axis=1) - 1     # of the lowest 0 … n
            low, high = (values[np.argmax(outside >= q * outside[:, -1:], axis=1) - 1] for q in (0.25, 0.75))
            first = np.searchsorted(values, low - FENCE * (high - low), "left")
            last = np.searchsorted(values, high + FENCE * (high - low), "right")
            far, others = ((count[rows, first] + count[:, -1] - count[rows, last]) / np.maximum(count[:, -1], 1)
                           for count in (inside, outside) for rows in [np.arange(len(count))])
            largest = np.maximum(largest, far - OTHERS_WEIGHT * others)
    return largest


def _shuffled(labels: np.ndarray, subjects: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Labels permuted over subjects."""
    names, first, subject = np.unique(subjects, return_index=True, return_inverse=True)
    return labels[first][generator.permutation(len(names))][subject]
