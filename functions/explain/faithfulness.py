"""Tests of a map's faithfulness: insertion and deletion against random orders, and randomised weights."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import spearmanr, t
from torch import Tensor, nn

from functions.explain.attention import check_inference, patch_grid
from functions.explain.maps import check_choice, explain
from functions.runtime.errors import UserError

ORDERS = 39        # random orders: with 39, the best of all 40 has p = 0.025 and the second best 0.05
COPIES = 10        # of the model with randomised weights
STEPS = 10         # of a curve
BATCH = 64         # images per forward pass
LEVEL = 0.05       # of the tests
SIMILAR = 0.5      # rank correlation with the maps of randomised weights that a map must stay below


@dataclass(frozen=True)
class Faithfulness:
    """The tests of one map; `passes` needs all three, and `caveat` is the line for the picture ("" if it passes).

    `insertion` and `deletion` are areas under the curve of the class's probability while patches are shown or removed
    in the map's order, `random` the areas of random orders, `similarity` the rank correlations with the maps of
    randomised weights.
    """

    insertion: float
    deletion: float
    random: tuple[float, ...]
    similarity: tuple[float, ...]

    @property
    def p_insertion(self) -> float:
        """The probability that a random order's insertion area is as high: (1 + count of such) / (1 + orders)."""
        return float(1 + np.sum(np.array(self.random) >= self.insertion)) / (1 + len(self.random))

    @property
    def p_deletion(self) -> float:
        """The probability that a random order's deletion area is as low. Reversed, a random order is a random order."""
        return float(1 + np.sum(np.array(self.random) <= self.deletion)) / (1 + len(self.random))

    @property
    def passes_insertion(self) -> bool:
        return self.p_insertion <= LEVEL

    @property
    def passes_deletion(self) -> bool:
        return self.p_deletion <= LEVEL

    @property
    def similarity_limit(self) -> float:
        """The upper one-sided 95 % limit of the mean similarity (t over the copies)."""
        values = np.array(self.similarity)
        spread = values.std(ddof=1) / np.sqrt(len(values))
        return float(values.mean() + t.ppf(1 - LEVEL, len(values) - 1) * spread)

    @property
    def passes_randomisation(self) -> bool:
        return self.similarity_limit < SIMILAR

    @property
    def passes(self) -> bool:
        return self.passes_insertion and self.passes_deletion and self.passes_randomisation

    @property
    def caveat(self) -> str:
        tests = {"insertion": self.passes_insertion, "deletion": self.passes_deletion,
                 "randomisation": self.passes_randomisation}
        failed = [name for name, passed in tests.items() if not passed]
        if len(failed) < 2:
            return f"fails the {failed[0]} test" if failed else ""
        return f"fails the {', '.join(failed[:-1])} and {failed[-1]} tests"


def check_counts(orders: int = ORDERS, copies: int = COPIES) -> None:
    """Raises UserError for fewer random orders or randomised copies than the tests need."""
    if orders < 1 / LEVEL - 1 or copies < 2:
        raise UserError(f"{orders} random orders and {copies} randomised copies: the tests need at least "
                        f"{1 / LEVEL - 1:.0f} and 2")


def faithfulness(model: nn.Module, images: Tensor, method: str = "rollout", *, layer: int | None = None,
                 head: int | None = None, target: int | Tensor | None = None, orders: int = ORDERS,
                 copies: int = COPIES, seed: int = 0, update: Callable[[int], object] = lambda images: None,
                 ) -> tuple[Tensor, list[Faithfulness]]:
    """The maps of `explain` (B, H/P, W/P) and the tests of each; the arguments are those of `explain`.

    A map passes if it passes all three, each at the 5 % level:

    - insertion: patches are shown in the map's order on an image of zeros (the training mean, after normalisation); the
      area under the class's probability exceeds that of all but at most 5 % of random orders.
    - deletion: patches are replaced by zeros in that order; the area is below that of all but at most 5 %.
    - randomisation: the weights are randomised (`randomised`); the mean rank correlation over patches between the map
      and those of the copies is below 0.5, with its one-sided 95 % limit.

    The class is `target`, by default the predicted one. `update` is called with 1 after each image. Raises UserError
    like `explain`.
    Sources: Petsiuk, Das and Saenko 2018, arXiv 1806.07421; Adebayo et al. 2018, arXiv 1810.03292.
    """
    check_counts(orders, copies)
    check_inference(model)
    check_choice(model, method, layer, head, target)
    maps = explain(model, images, method, layer=layer, head=head, target=target)
    with torch.no_grad():
        predicted = model(images).argmax(dim=1)
    targets = predicted if target is None else torch.as_tensor(target, device=images.device).expand(len(images))
    generator = torch.Generator().manual_seed(seed)
    similarity = np.empty((copies, len(images)))
    for copy in range(copies):
        others = explain(randomised(model, generator), images, method, layer=layer, head=head,
                         target=targets if method == "relevance" else None)
        similarity[copy] = [rank_correlation(one, other) for one, other in zip(maps, others, strict=True)]
    results = []
    for i, (image, shares) in enumerate(zip(images, maps, strict=True)):
        areas = order_areas(model, image, int(targets[i]), map_order(shares, generator), orders, generator)
        results.append(Faithfulness(*areas, tuple(similarity[:, i].tolist())))
        update(1)
    return maps, results


def order_areas(model: nn.Module, image: Tensor, target: int, order: Tensor, orders: int, generator: torch.Generator,
                ) -> tuple[float, float, tuple[float, ...]]:
    """(insertion, deletion, those of random orders): areas for one image (C, H, W) and an order (N,) of its patches.

    Deletion is insertion in reversed order, read from full to empty: the area under the same curve.
    """
    count = len(order)
    random = [torch.randperm(count, generator=generator) for _ in range(orders)]
    curves = shown_curves(model, image, target, torch.stack([order, order.flip(0), *random]))
    areas = np.trapezoid(curves, levels(count) / count, axis=1)
    return float(areas[0]), float(areas[1]), tuple(areas[2:].tolist())


def levels(count: int) -> np.ndarray:
    """The numbers of patches shown along a curve: 0 to `count` in at most STEPS equal steps."""
    return np.unique(np.linspace(0, count, min(STEPS, count) + 1).round().astype(int))


@torch.no_grad()
def shown_curves(model: nn.Module, image: Tensor, target: int, orders: Tensor) -> np.ndarray:
    """The class's probability as the first 0 … N patches of each order (n, N) are shown: (n, levels).

    Nothing and everything, where all orders are equal, are computed once.
    """
    grid, (n, count) = patch_grid(model), orders.shape
    between = [torch.zeros(n, count).scatter(1, orders[:, :level], 1.0) for level in levels(count)[1:-1]]
    shown = torch.cat([torch.zeros(1, count), torch.ones(1, count), *between])     # (2 + (levels - 2) n, N)
    masks = shown.unflatten(1, grid)[:, None]                                      # (…, 1, rows, columns)
    patch = image.shape[-1] // grid[1]                                             # pixels along its side
    found = []
    for part in masks.split(BATCH):
        pixels = part.to(image.device).repeat_interleave(patch, 2).repeat_interleave(patch, 3)
        found.append(model(image * pixels).float().softmax(dim=1)[:, target].cpu())
    values = torch.cat(found).double()
    nothing, everything = values[:2, None].expand(2, n)
    return torch.cat([nothing[None], values[2:].view(-1, n), everything[None]]).T.numpy()


def map_order(shares: Tensor, generator: torch.Generator) -> Tensor:
    """The patches (N,) from the largest share to the smallest; equal shares are in random order."""
    mixed = torch.randperm(shares.numel(), generator=generator)
    return mixed[shares.detach().cpu().flatten()[mixed].argsort(descending=True, stable=True)]


def randomised(model: nn.Module, generator: torch.Generator) -> nn.Module:
    """A copy of the model in which the values of each parameter are permuted: the same values, no structure."""
    copy = deepcopy(model)
    with torch.no_grad():
        for parameter in copy.parameters():
            mixed = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
            parameter.copy_(parameter.flatten()[mixed].view_as(parameter))
    return copy


def rank_correlation(one: Tensor, other: Tensor) -> float:
    """Spearman's correlation of two maps over patches; 1 if `one` is constant, 0 if only `other` is.

    A constant map says nothing, so it may not pass.
    """
    a, b = (shares.detach().cpu().flatten().double().numpy() for shares in (one, other))
    if np.ptp(a) == 0:
        return 1.0
    return 0.0 if np.ptp(b) == 0 else float(spearmanr(a, b).statistic)
