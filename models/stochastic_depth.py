"""Stochastic depth: in training, the residual branches of an image are left out at random."""

from torch import Tensor, nn


class StochasticDepth(nn.Module):
    """f(z) → b f(z) / (1 - p), with b ~ Bernoulli(1 - p) for each image, in training; f(z) in evaluation.

    Branch (B, N + 1, D) → (B, N + 1, D), equal in expectation; without parameters. `rate` is p. At rate 0 no random
    number is drawn. Source: Huang et al. 2016, arXiv 1603.09382; per image and rescaled as in timm's DropPath.
    """

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def forward(self, branch: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return branch
        kept = branch.new_empty(len(branch), 1, 1).bernoulli_(1 - self.rate)
        return branch * (kept / (1 - self.rate))

    def extra_repr(self) -> str:
        return f"rate={self.rate:g}"


def depth_rates(rate: float, num_layers: int) -> list[float]:
    """p_l = rate · l / (L - 1) for block l = 0 … L - 1: 0 in the first, `rate` in the last; 0 in a single block.

    Source: Touvron et al. 2021 (DeiT), facebookresearch/deit, and timm's vision_transformer.py.
    """
    return [rate * block / max(1, num_layers - 1) for block in range(num_layers)]
