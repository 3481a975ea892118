"""Attention rollout: the attention of all layers multiplied, with the residual connections."""

import torch
from torch import Tensor, nn

from functions.explain.attention import record_attention


@torch.no_grad()
def rollout(model: nn.Module, images: Tensor) -> Tensor:
    """R = Ā_L ⋯ Ā_2 Ā_1 with Ā = (mean over heads of A + I) / 2: images (B, C, H, W) → R (B, N + 1, N + 1).

    Rows of A, Ā and R sum to 1. Row 0 says how the class token's output mixes the tokens of Eq. 1, if the values of all
    tokens are alike and the MLPs pass them on. Layers are multiplied as they arrive: in memory are R and one layer's A.
    Source: Abnar and Zuidema 2020, arXiv 2005.00928; the ViT paper's Figure 6 is drawn so (Appendix D.7).
    """
    products: list[Tensor] = []                   # one per chunk of images

    def multiply(layer: int, weights: Tensor) -> None:
        step = weights.mean(dim=1)
        step.diagonal(dim1=-2, dim2=-1).add_(1)
        step /= 2                                 # Ā: (B, N + 1, N + 1)
        if layer == 0:
            products.append(step)
        else:
            products[-1] = step @ products[-1]

    with record_attention(model, multiply):
        model(images)
    return torch.cat(products)
