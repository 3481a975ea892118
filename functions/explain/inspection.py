"""What the paper's Figure 7 shows of a trained network: its filters, position embeddings and attention distances."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from functions.explain.attention import attention_layers, network_of, patch_grid, record_attention
from models.hybrid import HybridViT
from models.vit import ViT

COMPONENTS = 28            # shown in the paper


def embedding_filters(model: nn.Module) -> Tensor:
    """The filters of the patch embedding (D, C, P, P); of a hybrid those of its stem's first convolution, on pixels."""
    network: Any = network_of(model)
    if isinstance(network, HybridViT):
        convolution: Any = network.get_submodule("patch_embedding.project.stem.conv_root")
    else:
        convolution = network.patch_embedding.project if isinstance(network, ViT) else network.conv_proj
    return convolution.weight.detach()


def principal_filters(model: nn.Module, count: int = COMPONENTS) -> tuple[Tensor, Tensor]:
    """(the first principal components (n, C, P, P) of the embedding filters, their shares of the variance (n,)).

    n is `count`, or fewer where the filters have no more. Each component has length 1; its largest value is positive.
    """
    filters = embedding_filters(model).float().cpu()
    flat = filters.flatten(1)
    _, scale, components = torch.linalg.svd(flat - flat.mean(dim=0), full_matrices=False)
    rank = int((scale > 1e-6 * scale[0]).sum())
    largest = components.gather(1, components.abs().argmax(dim=1, keepdim=True))
    components = components * largest.sign()
    kept = slice(0, min(count, rank))
    return components[kept].unflatten(1, filters.shape[1:]), (scale**2 / (scale**2).sum())[kept]


def position_similarity(model: nn.Module) -> Tensor:
    """Cosine similarity of the position embeddings of all pairs of patches: (rows, columns, rows, columns)."""
    network: Any = network_of(model)
    rows, columns = patch_grid(model)
    embedded = network.patch_embedding.positions if isinstance(network, ViT) else network.encoder.pos_embedding
    unit = F.normalize(embedded.detach()[0, 1:].float().cpu(), dim=-1)              # (N, D), without the class token
    return (unit @ unit.T).view(rows, columns, rows, columns)


def patch_distances(model: nn.Module) -> Tensor:
    """Distances between the centres of all patches in pixels: (N, N)."""
    rows, columns = patch_grid(model)
    network: Any = network_of(model)
    patch = network.config.patch_size if isinstance(network, ViT) else network.patch_size
    places = torch.cartesian_prod(torch.arange(rows), torch.arange(columns)).float() * patch
    return torch.cdist(places, places, compute_mode="donot_use_mm_for_euclid_dist")


@torch.no_grad()
def attention_distance(model: nn.Module, images: Tensor, batch_size: int = 32) -> Tensor:
    """Mean distance in pixels between a patch and those it attends to, by layer and head: images → (L, k).

    The distance between centres of patches, weighted by the attention weights without those to the class token, is
    averaged over patches and images.
    Source: Dosovitskiy et al. 2021, §4.5 and Figure 7 (right); Appendix D.7.
    """
    layers = attention_layers(model)
    distances = patch_distances(model).to(images.device)
    sums = torch.zeros(len(layers), layers[0].num_heads, device=images.device)

    def add(layer: int, weights: Tensor) -> None:
        patches = weights[:, :, 1:, 1:]
        mean = (patches * distances).sum(dim=-1) / patches.sum(dim=-1)              # (B, k, N)
        sums[layer] += mean.mean(dim=-1).sum(dim=0)

    with record_attention(model, add):
        for part in images.split(batch_size):
            model(part)
    return (sums / len(images)).cpu()
