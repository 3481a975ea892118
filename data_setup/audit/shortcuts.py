"""Can the label be read without the brain? What files are made of, class against class, beside shuffled labels.

Two questions of each kind of trace. Does it tell a class (a decision tree's AUROC on people never seen)? And are some
of one class like nobody of the others? A minority class filled up with images from elsewhere is, and hardly shows in an
AUROC: a fifth of a class, told perfectly, raises it by 0.1.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.tree import DecisionTreeClassifier

from data_setup.audit.file_features import OF_FILE, OF_HEAD
from data_setup.resources import available_cores

SHUFFLES = 9           # runs on shuffled labels: the smallest p-value is 1 / 10
MOST = 2000            # slices, of all people alike: more tell no more
MARGIN = {"file": 0.03, "surroundings": 0.12, "head": 0.35}    # AUROC above the best shuffled run: heads show disease
APART, FENCE, HARDLY = 0.10, 3.0, 3     # share of a class; interquartile ranges; the others' share counts so much
DEALS = 199            # label shufflings for what stands apart: the 99th percentile has two above it


class Shortcut(NamedTuple):
    """How one kind of trace tells the class: an AUROC across people, and the share of a class that stands apart."""

    trace: str
    auroc: float
    shuffled: float        # the highest of SHUFFLES runs on labels shuffled over people
    apart: float = 0.0
    apart_shuffled: float = 0.0       # the 99th percentile of DEALS runs on labels shuffled over people

    @property
    def found(self) -> bool:
        return self.told or self.stands_apart

    @property
    def told(self) -> bool:
        """Whether the class as a whole is told."""
        where = "file" if self.trace in OF_FILE else "head" if self.trace in OF_HEAD else "surroundings"
        return self.auroc > self.shuffled + MARGIN[where]

    @property
    def stands_apart(self) -> bool:
        """Whether some of one class are like nobody of the others; not by the border, which few large heads touch."""
        return self.trace != "border" and self.apart > max(APART, self.apart_shuffled)

    @property
    def words(self) -> str:
        """The finding in words."""
        end = " (no network sees names; they say that the classes come from different hands)"
        if self.told:
            text = (f"the class can be told from the {self.trace} alone: AUROC {self.auroc:.2f} over people never "
                    f"seen, {self.shuffled:.2f} at best on shuffled labels")
        else:
            text = (f"{self.apart:.0%} of one class are far from all others in the {self.trace} alone, "
                    f"{max(self.apart_shuffled, 0):.0%} on shuffled labels: do they come from elsewhere?")
        return text + (end if self.trace == "name" else "")


def find_shortcuts(traces_of: Callable[[int], dict[str, list[float]]], labels: np.ndarray, people: np.ndarray,
                   seed: int = 0) -> list[Shortcut]:
    """Each kind of trace by itself: AUROC of the class it tells best, cross-validated over people, and `_apart`.

    `traces_of(row)` is what `traces` says of a file; MOST rows, drawn at random, are asked for.
    Beside it the best of SHUFFLES runs whose labels were shuffled over people, the whole procedure repeated. Classes of
    fewer than five people are left out; nothing is returned where fewer than two classes remain.
    """
    enough = [k for k in np.unique(labels) if len(np.unique(people[labels == k])) >= 5]
    keep = np.isin(labels, enough)
    if len(enough) < 2:
        return []
    generator, found = np.random.default_rng(seed), []
    chosen = np.sort(generator.permutation(np.flatnonzero(keep))[:MOST])
    labels, people = labels[chosen], people[chosen]
    with ThreadPoolExecutor(available_cores()) as pool:
        rows = list(pool.map(traces_of, chosen.tolist()))
    for trace in rows[0]:
        x = np.array([row[trace] for row in rows])
        if len(np.unique(x, axis=0)) < 2:
            found.append(Shortcut(trace, 0.5, 0.5))
            continue
        auroc = _auroc(x, labels, people, seed)
        shuffled = [_auroc(x, _shuffled(labels, people, generator), people, seed) for _ in range(SHUFFLES)]
        deals = np.stack([labels, *(_shuffled(labels, people, generator) for _ in range(DEALS))])
        apart = _apart(x, deals)
        found.append(Shortcut(trace, auroc, float(max(shuffled)), float(apart[0]), float(np.quantile(apart[1:], 0.99))))
    return sorted(found, key=lambda shortcut: shortcut.shuffled - shortcut.auroc)


def _auroc(x: np.ndarray, labels: np.ndarray, people: np.ndarray, seed: int) -> float:
    classes = np.unique(labels)
    folds = min(5, min(len(np.unique(people[labels == k])) for k in classes))
    if folds < 2 or len(classes) < 2:
        return 0.5
    p = np.zeros((len(labels), len(classes)))
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    for train, test in splitter.split(x, labels, people):
        tree = DecisionTreeClassifier(max_depth=4, min_samples_leaf=10, class_weight="balanced", random_state=seed)
        tree.fit(x[train], labels[train])
        p[np.ix_(test, np.searchsorted(classes, tree.classes_))] = tree.predict_proba(x[test])
    return float(max(roc_auc_score(labels == k, p[:, i]) for i, k in enumerate(classes)))


def _apart(x: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The largest share of a class that lies far from the others in one column of `x` (n, c), less HARDLY times theirs.

    For many labellings (d, n) at once: (d,). Far is FENCE interquartile ranges beyond the other classes' quartiles
    (Tukey 1977, "far out").
    """
    largest = np.full(len(labels), -np.inf)
    for column in x.T:
        order = np.argsort(column)
        values = column[order]
        for k in np.unique(labels):
            mine = np.pad(labels[:, order] == k, ((0, 0), (1, 0)))                          # (d, n + 1)
            own, theirs = np.cumsum(mine, axis=1), np.cumsum(~mine, axis=1) - 1             # of the lowest 0, 1, …, n
            low, high = (values[np.argmax(theirs >= q * theirs[:, -1:], axis=1) - 1] for q in (0.25, 0.75))
            first = np.searchsorted(values, low - FENCE * (high - low), "left")
            last = np.searchsorted(values, high + FENCE * (high - low), "right")
            far, others = ((count[rows, first] + count[:, -1] - count[rows, last]) / np.maximum(count[:, -1], 1)
                           for count in (own, theirs) for rows in [np.arange(len(count))])
            largest = np.maximum(largest, far - HARDLY * others)
    return largest


def _shuffled(labels: np.ndarray, people: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Labels handed out anew, whole people at a time."""
    names, first, person = np.unique(people, return_index=True, return_inverse=True)
    return labels[first][generator.permutation(len(names))][person]
