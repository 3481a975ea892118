"""Whether age, sex, site or scanner alone predict the class of a data set's patients."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from functions.evaluation.auroc import mean_auroc
from functions.evaluation.clinical.covariates import TRAITS, Covariates
from functions.evaluation.clinical.results import Interval
from functions.evaluation.intervals import ENOUGH, FEW
from functions.evaluation.stages import healthy_stage

FOLDS = 5
CONFOUNDED = 0.6         # an AUROC whose whole interval is above this is a finding
ALL = "all together"
RARE = 2                 # patients of a site or scanner, below which it is "other"


@dataclass(frozen=True)
class Predictable:
    """How well something of the table predicts the class: AUROC over unseen patients, and of how many patients."""

    name: str
    patients: int
    auroc: Interval
    question: str           # "diseased or not", or "the class"

    @property
    def found(self) -> bool:
        """Whether the interval is above CONFOUNDED."""
        return bool(self.auroc.low > CONFOUNDED)


def messages(results: Sequence[Predictable]) -> list[str]:
    """The findings, a sentence each; of all together only if nothing alone is one."""
    found = [one for one in results if one.found]
    alone = [one for one in found if one.name != ALL]
    texts = []
    for one in alone or found:
        what = "age, sex, site and scanner together" if one.name == ALL else f"{one.name} alone"
        texts.append(f"{what} can predict {one.question}: AUROC {one.auroc.value:.2f} [{one.auroc.low:.2f} to "
                     f"{one.auroc.high:.2f}] on unseen patients, of {one.patients}: a network may learn this instead "
                     "of the disease (evaluate.py --table)")
    return texts


def untested(results: Sequence[Predictable], traits: Covariates) -> list[str]:
    """A note on what differs between patients and is not among the results of `predictability`; none if all is."""
    names = [name for name in _features(traits) if name not in {one.name for one in results}]
    return [f"not known whether {' or '.join(names)} alone predicts the class: {ENOUGH} patients with a known value "
            f"are needed, {FEW} of them in each of two classes"] if names else []


def predictability(patients: Sequence[tuple[str, int]], class_names: list[str], traits: Covariates,
                   seed: int = 0) -> list[Predictable]:
    """One entry for age, sex, site and scanner each, and for all together; (id, label) of each slice's patient.

    `traits` are those of `covariates.covariates` for the same list.

    Out-of-fold probabilities of a logistic regression (scikit-learn's, FOLDS folds over patients, stratified), and the
    AUROC of diseased or not, or the mean over classes if none is known to be healthy, with its interval. Classes of
    fewer than FEW patients are left out, and patients whose value is unknown. Empty for fewer than ENOUGH patients.
    """
    labels = np.array([label for _, label in sorted(set(patients), key=lambda key: (str(key[0]), key[1]))])
    features = _features(traits)
    if len(features) > 1:
        features[ALL] = np.concatenate(list(features.values()), axis=1)
    found = []
    for name, x in features.items():
        known = _known(x)
        classes, counts = np.unique(labels[known], return_counts=True)
        known &= np.isin(labels, classes[counts >= FEW])
        if known.sum() >= ENOUGH and (counts >= FEW).sum() > 1:
            found.append(_predicted(name, x[known], labels[known], class_names, seed))
    return found


def _predicted(name: str, x: np.ndarray, labels: np.ndarray, class_names: list[str], seed: int) -> Predictable:
    healthy = healthy_stage(class_names)
    disease = healthy is not None and healthy in labels
    target = (labels != healthy).astype(int) if disease else labels
    classes = np.unique(target)
    p = np.zeros((len(target), len(classes)))
    for train, test in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(x, target):
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000)).fit(x[train], target[train])
        p[test] = model.predict_proba(x[test])
    if len(classes) == 2:
        p, classes = p[:, 1:], classes[1:]
    found = mean_auroc([(p[:, k], target == one) for k, one in enumerate(classes)])
    return Predictable(name, len(x), Interval(found.value, found.low, found.high),
                       "diseased or not" if disease else "the class")


def _features(traits: Covariates) -> dict[str, np.ndarray]:
    """name → (patients, columns) of the traits that differ between patients."""
    features = {"age": traits.age[:, None], **{name: _dummies(getattr(traits, name)) for name in TRAITS}}
    return {name: x for name, x in features.items() if x.shape[1] and len(np.unique(x[_known(x)], axis=0)) > 1}


def _known(x: np.ndarray) -> np.ndarray:
    return np.isfinite(x).all(axis=1)


def _dummies(values: np.ndarray) -> np.ndarray:
    """One column for each value but the first, nan where unknown; rare ones are one value."""
    known = [value for value in values if value is not None]
    common = sorted(value for value in set(known) if known.count(value) >= RARE)
    rows = np.array([[float(value == one) for one in common[1:]] if value is not None else [np.nan] * len(common[1:])
                     for value in values])
    return rows.reshape(len(values), -1)
