"""The Transformer encoder: L blocks of self-attention and MLP, each with LayerNorm and a residual."""

from torch import Tensor, nn

from models.config import ViTConfig
from models.mlp_block import MLPBlock
from models.msa_block import MSABlock
from models.stochastic_depth import StochasticDepth, depth_rates


class TransformerEncoderBlock(nn.Module):
    """z'_l = MSA(LN(z_{l-1})) + z_{l-1};  z_l = MLP(LN(z'_l)) + z'_l   (Eq. 2 then Eq. 3).

    Tokens (B, N + 1, D) → tokens (B, N + 1, D), or only the first `tokens` of them. Equal to
    nn.TransformerEncoderLayer(norm_first=True, activation=gelu). Stochastic depth at rate `drop_path` is the identity
    by default and in evaluation.
    """

    def __init__(self, config: ViTConfig, drop_path: float = 0.0):
        super().__init__()
        self.msa_block = MSABlock(config)
        self.mlp_block = MLPBlock(config)
        self.drop_path = StochasticDepth(drop_path)

    def forward(self, z: Tensor, tokens: int | None = None) -> Tensor:
        z = self.drop_path(self.msa_block(z, tokens)) + z[:, :tokens]     # Eq. 2: z'_l = MSA(LN(z_{l-1})) + z_{l-1}
        z = self.drop_path(self.mlp_block(z)) + z                         # Eq. 3: z_l = MLP(LN(z'_l)) + z'_l
        return z


class TransformerEncoder(nn.Sequential):
    """z_0 → z_L: the blocks in sequence, tokens (B, N + 1, D) → (B, N + 1, D), or the first `tokens` of them.

    Only the last block computes fewer tokens; all tokens are keys and values.
    """

    def __init__(self, config: ViTConfig):
        super().__init__(*(TransformerEncoderBlock(config, rate)
                           for rate in depth_rates(config.drop_path, config.num_layers)))

    def forward(self, z: Tensor, tokens: int | None = None) -> Tensor:
        *blocks, last = self
        for block in blocks:
            z = block(z)
        return last(z, tokens)
