"""Images through a trained model: class probabilities."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from functions.errors import UserError
from functions.figure_text import Figure
from functions.plots import plot_prediction
from functions.runtime import autocast


@torch.inference_mode()
def predict_batches(model: nn.Module, batches: Iterable[Tensor], device: torch.device, precision: str) -> np.ndarray:
    """Class probabilities (n, K) of all images in `batches` (B, C, H, W), the model running at `precision`.

    UserError, which does not name the model's file, where they are not finite.
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


def pred_and_plot_image(
    model: nn.Module,
    image_path: str | Path,
    class_names: Sequence[str],
    transform: Callable[[str | Path], Tensor],
    label: str | None = None,
    title: str = "",
) -> Figure:
    """Predicts one image file and draws it, as the model saw it, beside the class probabilities.

    `transform` turns the file into the model's input (C, H, W): `data_setup.transforms.image_reader` makes it from the
    checkpoint's preprocessing, so that prediction and training cannot differ. `label` is the true class, if known;
    `title` is the place for the run's name and stamps.
    """
    image = transform(image_path)
    probabilities = predict_image(model, image)
    return plot_prediction(image.mean(dim=0).numpy(), probabilities.tolist(), class_names, label, title)
