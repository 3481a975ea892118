"""Is the network predicting, or only answering one class? A warning that names the likely cause."""

import numpy as np
from torch import Tensor

COLLAPSED = 0.98     # of all predictions on one class


def favourite(confusion: Tensor) -> tuple[int, float]:
    """The class predicted most, and its share of all predictions; counts (K, K), truth down, prediction across."""
    predicted = confusion.sum(dim=0).double()
    return int(predicted.argmax()), float(predicted.max() / predicted.sum())


def share_entropy(confusion: Tensor) -> float:
    """H = -Σ p_k ln p_k of the true classes' shares: the loss of knowing how common each class is, and nothing else."""
    p = confusion.sum(dim=1).double().numpy()
    p = p[p > 0] / p.sum()
    return float(-(p * np.log(p)).sum())


def collapse_warning(
    train_confusion: Tensor, confusion: Tensor, train_loss: float, class_names: list[str], *,
    lr: float, warmup_share: float, clip_norm: float, class_weights: str, label_smoothing: float, warming_up: bool,
    from_scratch: bool = True,
) -> str | None:
    """One sentence if one class swallows the predictions on validation although several occur there; else None.

    The likely cause is looked for in this order: still warming up; a learning rate that scratch training does not
    survive without warm-up and clipping; nothing learnt yet, when the training slices get one answer too or the plain
    loss sits at the entropy of the class shares; the largest class being the cheapest answer.
    """
    k, share = favourite(confusion)
    if share < COLLAPSED or (confusion.sum(dim=1) > 0).sum() < 2:
        return None
    truth = float(confusion[k].sum() / confusion.sum())
    warning = (f"one class swallows the predictions: {share:.0%} of validation is called {class_names[k]}, "
               f"{truth:.0%} is. Accuracy can only be that class's share.")
    entropy = share_entropy(train_confusion)
    plain = class_weights == "none" and label_smoothing == 0
    signs = []
    if plain and train_loss > 0.93 * entropy:
        signs.append(f"the loss {train_loss:.2f} is all but the entropy of the class shares, {entropy:.2f}")
    if favourite(train_confusion)[1] > 0.9:
        signs.append(f"{favourite(train_confusion)[1]:.0%} of the training slices get one answer too")
    missing = [name for name, value in (("warm-up", warmup_share), ("clipping", clip_norm)) if not value]
    if warming_up:
        return f"{warning} Likely cause: the learning rate is still warming up; wait."
    if from_scratch and missing and lr > 5e-4:
        return (f"{warning} Likely cause: learning rate {lr:g} without {' and '.join(missing)} is too high for a ViT "
                f"from scratch{f' ({signs[0]})' if signs else ''}. "
                "Try --recipe recipes/small_data.yaml, or --lr 3e-4 --warmup_share 0.1 --clip_norm 1.")
    if signs:
        return (f"{warning} Likely cause: nothing is learnt from the images yet: {' and '.join(signs)}. "
                f"Try more epochs, or another --lr than {lr:g}.")
    if class_weights != "balanced":
        return f"{warning} Likely cause: it is the cheapest answer for unequal classes. Try --class_weights balanced."
    return f"{warning} Likely cause: what was learnt on the training patients does not carry over. Try more patients."
