"""Class probabilities predicted by a trained model."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from functions.runtime.device import autocast
from functions.runtime.errors import UserError


@torch.inference_mode()
def predict_batches(model: nn.Module, batches: Iterable[Tensor], device: torch.device, precision: str) -> np.ndarray:
    """Class probabilities (n, K) of all images in `batches` (B, C, H, W), computed at `precision`.

    Raises UserError, without the name of the model file, if they are not finite.
    """
    model.eval()
    rows = []
    for images in batches:
        with autocast(precision, device):
            logits = model(images)
        rows.append(logits.float().softmax(dim=1))
    if not torch.stack([part.isfinite().all() for part in rows]).all():
        raise UserError(f"its weights give probabilities that are not finite, at {precision}: they cannot be scored; "
                        "train again, or take another checkpoint")
    return torch.cat(rows).double().cpu().numpy()


@torch.inference_mode()
def predict_image(model: nn.Module, image: Tensor) -> Tensor:
    """Class probabilities (K,) of one preprocessed image (C, H, W)."""
    device = next(model.parameters()).device
    return model.eval()(image[None].to(device)).softmax(dim=1)[0].cpu()
