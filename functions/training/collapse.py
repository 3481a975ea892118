"""Detection of a network that predicts a single class, with the likely cause."""

import numpy as np
from torch import Tensor

COLLAPSED = 0.98     # share of predictions on one class that counts as a collapse
OVERFITTED = 0.8     # balanced accuracy on training slices above which the network fits them
UNBALANCED = 1.25    # size of a class relative to the mean size, above which imbalance is a likely cause


def most_predicted(confusion: Tensor) -> tuple[int, float]:
    """The most frequent prediction and its share, from counts (K, K) with true classes as rows."""
    predicted = confusion.sum(dim=0).double()
    return int(predicted.argmax()), float(predicted.max() / predicted.sum())


def share_entropy(confusion: Tensor) -> float:
    """H = -Σ p_k ln p_k of the true class shares: the loss of a model that predicts these shares for every slice."""
    p = confusion.sum(dim=1).double().numpy()
    p = p[p > 0] / p.sum()
    return float(-(p * np.log(p)).sum())


def collapse_warning(
    train_confusion: Tensor, confusion: Tensor, train_loss: float, class_names: list[str], *,
    lr: float, warmup_share: float, clip_norm: float, class_weights: str, soft_targets: bool, warming_up: bool,
    from_scratch: bool = True,
) -> str | None:
    """A warning with its likely cause if one class gets nearly all predictions on validation, else None.

    There is no warning during warm-up, or if validation has a single class. Causes are checked in this order: a
    learning rate that is too high for training from scratch without warm-up and clipping; no learning yet (one class
    is predicted on the training slices too, or the loss, without weights and `soft_targets`, is close to the entropy of
    the class shares);
    overfitting, if the training slices are classified well; class imbalance, if the predicted class is larger than the
    others. If none applies, no cause is given.
    """
    k, share = most_predicted(confusion)
    if warming_up or share < COLLAPSED or (confusion.sum(dim=1) > 0).sum() < 2:
        return None
    truth = float(confusion[k].sum() / confusion.sum())
    warning = f"predicts {class_names[k]} for {share:.0%} of validation slices (true share {truth:.0%})."
    entropy = share_entropy(train_confusion)
    unweighted = class_weights == "none" and not soft_targets
    signs = []
    if unweighted and train_loss > 0.93 * entropy:
        signs.append(f"the training loss {train_loss:.2f} is close to the entropy of the class shares, {entropy:.2f}")
    if most_predicted(train_confusion)[1] > 0.9:
        signs.append(f"one class is predicted for {most_predicted(train_confusion)[1]:.0%} of the training slices too")
    missing = [name for name, value in (("warm-up", warmup_share), ("clipping", clip_norm)) if not value]
    if from_scratch and missing and lr > 5e-4:
        return (f"{warning} Likely cause: learning rate {lr:g} without {' and '.join(missing)} is too high for a ViT "
                f"from scratch{f' ({signs[0]})' if signs else ''}. "
                "Try --recipe recipes/small_data.yaml, or --lr 3e-4 --warmup_share 0.1 --clip_norm 1.")
    if signs:
        return (f"{warning} Likely cause: nothing learned from the images yet ({'; '.join(signs)}). "
                f"Try more epochs, or another --lr than {lr:g}.")
    counts = train_confusion.sum(dim=1).double()
    trained = float((train_confusion.diagonal() / counts)[counts > 0].mean())
    if trained > OVERFITTED:
        return (f"{warning} Likely cause: overfitting to the training patients (training balanced accuracy "
                f"{trained:.0%}). Try more patients.")
    if class_weights != "balanced" and counts[k] > UNBALANCED * counts[counts > 0].mean():
        return (f"{warning} Likely cause: class imbalance ({counts[k] / counts.sum():.0%} of the training slices are "
                f"{class_names[k]}). Try --class_weights balanced.")
    return f"{warning} Training balanced accuracy is {trained:.0%}. Try more epochs, or another --lr than {lr:g}."
