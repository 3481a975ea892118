"""MLP(LN(z)) of Eq. 3: applied to each token independently."""

import torch
from torch import Tensor, nn

from models.config import ViTConfig


class GELU(nn.GELU):
    """x Φ(x), exact or by the tanh formula, as nn.GELU; with approximate="quick" x σ(1.702 x), which CLIP has.

    Source of the quick form: Hendrycks and Gimpel 2016, arXiv 1606.08415, §2; openai/CLIP, clip/model.py.
    """

    def forward(self, input: Tensor) -> Tensor:
        return input * torch.sigmoid(1.702 * input) if self.approximate == "quick" else super().forward(input)


class MLPBlock(nn.Module):
    """MLP(LN(z)) of Eq. 3, the MLP being two dense layers with a GELU between them (§3.1).

    Tokens (B, N + 1, D) → (B, N + 1, D); the residual is added by the encoder block. Dropout follows both dense layers
    (Table 3).
    """

    def __init__(self, config: ViTConfig):
        super().__init__()
        self.norm = nn.LayerNorm(config.embedding_dim, eps=config.norm_eps)
        self.mlp = nn.Sequential(
            nn.Linear(config.embedding_dim, config.mlp_size),
            GELU(approximate=config.gelu),
            nn.Dropout(config.dropout),
            nn.Linear(config.mlp_size, config.embedding_dim),
            nn.Dropout(config.dropout),
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weights Xavier-uniform, biases N(0, 1e-6), as in google-research/vision_transformer, models_vit.py."""
        for layer in self.mlp:
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.normal_(layer.bias, std=1e-6)

    def forward(self, z: Tensor) -> Tensor:
        return self.mlp(self.norm(z))
