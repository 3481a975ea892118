"""The best possible score on the phantom: the Bayes classifier on the quantities behind the images.

The images depend on a patient's stage k only through q = (age, nwbv, vbr, csf, hippocampus), whose densities are known:

    p(q | k) = N(age; k) N(nwbv - line(age); k) N(sqrt vbr; k) N(csf; k) N(hippocampus; k)

(sqrt vbr instead of vbr multiplies all k by the same factor). The best rule for balanced accuracy picks the k with the
largest p(q | k); for accuracy, and for the AUROC of one class against the rest, the largest share_k p(q | k). A model
sees q only through pixels and scores lower; a score clearly above indicates that it uses something other than the
disease.
"""

import csv
from pathlib import Path

import numpy as np

from data_setup.phantom.people import (
    AGE,
    AGE_CONFOUNDED,
    CLASSES,
    CSF,
    CSF_SD,
    HIPPOCAMPUS,
    HIPPOCAMPUS_SD,
    LATENTS,
    NWBV_LOSS,
    NWBV_SD,
    SHARES,
    healthy_nwbv,
    vbr_root,
)
from functions.runtime.errors import UserError

POPULATION = 100_000


def log_densities(latents, confounded=False):
    """log p(q | k) up to a constant: latents (patients, 5) in the order of LATENTS → (patients, classes)."""
    age, nwbv, vbr, csf, hippocampus = latents.T
    columns = []
    for k in range(len(CLASSES)):
        parts = (
            (age, *(AGE_CONFOUNDED if confounded else AGE)[k]),
            (nwbv - healthy_nwbv(age), -NWBV_LOSS[k], NWBV_SD),
            (np.sqrt(vbr), *vbr_root(k)),
            (csf, CSF[k], CSF_SD),
            (hippocampus, HIPPOCAMPUS[k], HIPPOCAMPUS_SD),
        )
        columns.append(sum(-0.5 * ((value - mean) / sd) ** 2 - np.log(sd) for value, mean, sd in parts))
    return np.stack(columns, axis=1)


def draw_population(count, confounded=False, seed=0):
    """`count` patients in the proportions SHARES: latents (count, 5), stages (count,)."""
    rng = np.random.default_rng(seed)
    stage = np.repeat(np.arange(len(CLASSES)), np.rint(np.array(SHARES) * count).astype(int))

    def normal(mean, sd):
        return rng.normal(np.asarray(mean)[stage], np.asarray(sd)[stage] if np.ndim(sd) else sd)

    age = normal(*zip(*(AGE_CONFOUNDED if confounded else AGE), strict=True))
    nwbv = healthy_nwbv(age) - normal(NWBV_LOSS, NWBV_SD)
    root = normal(*zip(*(vbr_root(k) for k in range(len(CLASSES))), strict=True))
    return np.stack([age, nwbv, root * root, normal(CSF, CSF_SD), normal(HIPPOCAMPUS, HIPPOCAMPUS_SD)], axis=1), stage


def auroc(scores, positive):
    """Share of (positive, negative) pairs in the right order, ties counting half."""
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[place]
    wins = rank[positive].sum() - positive.sum() * (positive.sum() + 1) / 2
    return float(wins / (positive.sum() * (~positive).sum()))


def best_scores(densities, labels):
    """Bayes' rule's balanced accuracy, accuracy and macro AUROC against the true labels; all are fractions."""
    weighted = densities + np.log(SHARES)
    posterior = np.exp(weighted - weighted.max(axis=1, keepdims=True))
    posterior /= posterior.sum(axis=1, keepdims=True)
    classes = np.unique(labels)
    hit = densities.argmax(axis=1) == labels
    return {
        "balanced_accuracy": float(np.mean([hit[labels == k].mean() for k in classes])),
        "accuracy": float((weighted.argmax(axis=1) == labels).mean()),
        "macro_auroc": float(np.mean([auroc(posterior[:, k], labels == k) for k in classes])),
    }


def ceiling(folder, people=None):
    """The best possible score of one prediction per patient, from a phantom's manifest.

    Returns balanced_accuracy, accuracy and macro_auroc expected over the phantom's population (100,000 patients,
    standard error 0.0015); the same three prefixed with `test_` for the ids `people` (default: this folder's test
    patients), a random sample of it; and their number, test_people (0: no `test_` scores). With permuted labels nothing
    can be learnt: chance level. UserError if there is no manifest.
    """
    manifest = Path(folder) / "manifest.csv"
    if not manifest.is_file():
        raise UserError(f"{folder} is not a phantom: it has no manifest.csv")
    with open(manifest, newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["subject"]]
    faults = {fault for row in rows for fault in row["fault"].split(";")}
    if people is None:
        people = {row["subject"] for row in rows if row["split"] == "test"}
    people = list({row["subject"]: row for row in rows if row["subject"] in people}.values())
    latents = np.array([[float(row[name]) for name in LATENTS] for row in people])
    labels = np.array([CLASSES.index(row["class"]) for row in people])

    informative = 0.0 if "random_labels" in faults else 1.0
    population, stages = draw_population(POPULATION, confounded="age" in faults)
    expected = best_scores(informative * log_densities(population, "age" in faults), stages)
    if not people:
        return {**expected, "test_people": 0}
    here = best_scores(informative * log_densities(latents, "age" in faults), labels)
    return {**expected, **{f"test_{name}": value for name, value in here.items()}, "test_people": len(people)}
