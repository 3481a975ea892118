"""Selection of the epoch by the one-standard-error rule on the validation loss of patients."""

import numpy as np


def patient_losses(probabilities: np.ndarray, labels: np.ndarray, subjects: np.ndarray) -> list[float]:
    """The mean -ln p(true class) over the slices of each patient, in order of the ids."""
    losses = -np.log(np.clip(probabilities[np.arange(len(labels)), labels], 1e-12, None))
    _, subject = np.unique(subjects, return_inverse=True)
    return (np.bincount(subject, losses) / np.bincount(subject)).tolist()


def clearly_worse(losses: list[float], lowest: list[float]) -> bool:
    """Whether the mean of `losses` exceeds that of `lowest` by more than one standard error of their differences.

    Both hold one loss per validation patient. The latest epoch that is not clearly worse than the best one is selected:
    a validation set of twenty patients cannot distinguish neighbouring epochs, and later epochs are trained longer and,
    under a schedule that ends at zero, more stable. This is the one-standard-error rule of Breiman et al. 1984, with
    "later" in place of "simpler" and patients as cases. With one patient the standard error is taken as 0.
    """
    difference = np.subtract(losses, lowest)
    error = difference.std(ddof=1) / np.sqrt(len(difference)) if len(difference) > 1 else 0.0
    return bool(difference.mean() > error)
