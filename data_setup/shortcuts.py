"""Can the label be read without the brain? A classifier on what files are made of, against shuffled labels."""

import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.tree import DecisionTreeClassifier

SHUFFLES = 9           # runs on shuffled labels: the smallest p-value is 1 / 10
MOST = 2000            # slices, of all people alike: more tell no more
MARGIN = {"pixels": 0.08, "file": 0.03}    # AUROC above the best shuffled run: disease may show in pixels, not in files
OF_FILE = ("format, mode and JPEG tables", "dimensions", "name", "upsampling grid")


class Shortcut(NamedTuple):
    """How well the class can be told from one kind of trace: AUROC across people, the best of the shuffled runs."""

    trace: str
    auroc: float
    shuffled: float        # the highest of SHUFFLES runs on labels shuffled over people

    @property
    def found(self) -> bool:
        return self.auroc > self.shuffled + MARGIN["file" if self.trace in OF_FILE else "pixels"]


def traces(path: str | Path, gray: np.ndarray) -> dict[str, list[float]]:
    """What a file tells without its brain, by kind; `gray` is its picture (H, W) uint8."""
    with Image.open(path) as image:
        tables = getattr(image, "quantization", None) or {}
        quality = [float(sum(table)) for table in tables.values()][:2]
        mode, kind, frame = image.mode, image.format or "", image.size
    height, width = gray.shape
    border = np.concatenate([gray[:2].ravel(), gray[-2:].ravel(), gray[:, :2].ravel(), gray[:, -2:].ravel()])
    even = gray[:height // 2 * 2, :width // 2 * 2].astype(float)
    spectrum = np.abs(np.fft.fft2(even - even.mean())) ** 2
    down, across = np.abs(np.fft.fftfreq(even.shape[0])), np.abs(np.fft.fftfreq(even.shape[1]))
    radius = np.hypot(down[:, None], across[None])
    total = spectrum.sum() + 1e-9
    grid = spectrum[even.shape[0] // 2, even.shape[1] // 2] + spectrum[even.shape[0] // 2, 0] + spectrum[
        0, even.shape[1] // 2]
    stem = Path(path).stem
    return {
        "file size": [float(os.path.getsize(path)), os.path.getsize(path) / gray.size],
        "format, mode and JPEG tables": [float(hash_of(kind)), float(hash_of(mode)), *(quality + [0.0, 0.0])[:2]],
        "dimensions": [float(frame[0]), float(frame[1])],
        "border": [float(border.mean()), float(border.std()), float((border > 0).mean())],
        "background noise": [float((gray[gray < 8] > 0).mean()) if (gray < 8).any() else -1.0],
        "high frequencies": [float(np.log(spectrum[radius > r].sum() / total + 1e-12)) for r in (0.25, 0.35, 0.45)],
        "upsampling grid": [float(np.log(grid / total + 1e-12))],
        "name": [float(hash_of(re.sub(r"\d+", "#", stem))), float(len(stem))],
    }


def hash_of(text: str) -> int:
    """A small number for a text, the same on every machine."""
    return sum(ord(letter) * 31**i for i, letter in enumerate(text)) % 9973


def find_shortcuts(traces_of: Callable[[int], dict[str, list[float]]], labels: np.ndarray, people: np.ndarray,
                   seed: int = 0) -> list[Shortcut]:
    """Each kind of trace by itself: a decision tree's AUROC, of the class it tells best, cross-validated over people.

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
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        rows = list(pool.map(traces_of, chosen.tolist()))
    for trace in rows[0]:
        x = np.array([row[trace] for row in rows])
        if len(np.unique(x, axis=0)) < 2:
            found.append(Shortcut(trace, 0.5, 0.5))
            continue
        auroc = _auroc(x, labels, people, seed)
        shuffled = [_auroc(x, _shuffled(labels, people, generator), people, seed) for _ in range(SHUFFLES)]
        found.append(Shortcut(trace, auroc, float(max(shuffled))))
    return sorted(found, key=lambda shortcut: shortcut.shuffled - shortcut.auroc)


def _auroc(x: np.ndarray, labels: np.ndarray, people: np.ndarray, seed: int) -> float:
    classes = np.unique(labels)
    folds = min(5, min(len(np.unique(people[labels == k])) for k in classes))
    if folds < 2:
        return 0.5
    p = np.zeros((len(labels), len(classes)))
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    for train, test in splitter.split(x, labels, people):
        tree = DecisionTreeClassifier(max_depth=4, min_samples_leaf=10, class_weight="balanced", random_state=seed)
        tree.fit(x[train], labels[train])
        p[np.ix_(test, np.searchsorted(classes, tree.classes_))] = tree.predict_proba(x[test])
    return float(max(roc_auc_score(labels == k, p[:, i]) for i, k in enumerate(classes)))


def _shuffled(labels: np.ndarray, people: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Labels handed out anew, whole people at a time."""
    names, first, person = np.unique(people, return_index=True, return_inverse=True)
    return labels[first][generator.permutation(len(names))][person]
