"""Which epoch is kept: the last one that validation patients do not clearly speak against."""

import numpy as np


def patient_losses(probabilities: np.ndarray, labels: np.ndarray, subjects: np.ndarray) -> list[float]:
    """Each patient's mean -ln p(true class) over the patient's slices, in order of their ids."""
    losses = -np.log(np.clip(probabilities[np.arange(len(labels)), labels], 1e-12, None))
    _, person = np.unique(subjects, return_inverse=True)
    return (np.bincount(person, losses) / np.bincount(person)).tolist()


def clearly_worse(losses: list[float], lowest: list[float]) -> bool:
    """Whether the mean of `losses` exceeds that of `lowest` by more than one standard error of their differences.

    Both hold one loss a validation patient. A validation set of twenty people cannot tell neighbouring epochs apart,
    and its lowest point is often an accident of the first epochs; the later epoch has seen more and, under a schedule
    that ends at zero, wavers less: it is the better guess unless the patients clearly object. This is the
    one-standard-error rule of Breiman et al. 1984, with later for simpler, and patients for cases. With one patient
    there is no error: any rise is worse.
    """
    difference = np.subtract(losses, lowest)
    error = difference.std(ddof=1) / np.sqrt(len(difference)) if len(difference) > 1 else 0.0
    return bool(difference.mean() > error)
