"""The paper's few-shot protocol: a closed-form linear probe of frozen features (§4.1, "Metrics")."""

from typing import NamedTuple

import numpy as np

PENALTIES = 2.0 ** np.arange(-10, 21)
BIAS = 100.0       # as in google-research/big_vision, evaluators/fewshot_lsr.py: its weight is hardly penalised


class Probe(NamedTuple):
    """A fitted probe: class probabilities on test (n, K), and the penalty selected on validation."""

    probabilities: np.ndarray
    penalty: float


def least_squares_probe(train, val, test, num_classes: int) -> Probe:
    """W = argmin ||X W - Y||² + λ ||W||² in closed form: features X (n, D), targets Y in {-1, 1}^K.

    `train`, `val` and `test` are data sets of features (n, V, D) and labels (n,), torch tensors; every view is a row.
    Features are standardised with the training statistics, and the constant BIAS is appended, whose weight is almost
    unpenalised. λ is the value in PENALTIES with the smallest squared error on validation. Probabilities are the
    softmax of the K outputs, which preserves their ranking and is not calibrated.
    """
    (train_x, train_y), (val_x, val_y), (test_x, _) = map(_rows, (train, val, test))
    mean, std = train_x.mean(axis=0), train_x.std(axis=0) + 1e-5

    def design(features: np.ndarray) -> np.ndarray:
        return np.hstack([(features - mean) / std, np.full((len(features), 1), BIAS)])

    def targets(labels: np.ndarray) -> np.ndarray:
        return 2.0 * np.eye(num_classes)[labels] - 1

    u, s, vt = np.linalg.svd(design(train_x), full_matrices=False)
    projected, seen, wanted = u.T @ targets(train_y), design(val_x), targets(val_y)

    def weights(penalty: float) -> np.ndarray:
        return vt.T @ (projected * (s / (s**2 + penalty))[:, None])

    errors = [np.square(seen @ weights(penalty) - wanted).mean() for penalty in PENALTIES]
    penalty = float(PENALTIES[int(np.argmin(errors))])
    scores = design(test_x) @ weights(penalty)
    odds = np.exp(scores - scores.max(axis=1, keepdims=True))
    return Probe(odds / odds.sum(axis=1, keepdims=True), penalty)


def _rows(data) -> tuple[np.ndarray, np.ndarray]:
    """Features (n·V, D) in float64 and their labels (n·V,)."""
    features = data.features.cpu().numpy().astype(np.float64)
    return features.reshape(-1, features.shape[-1]), np.repeat(data.labels.cpu().numpy(), features.shape[1])
