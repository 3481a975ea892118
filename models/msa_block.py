"""Eq. 2: every token looks at every other."""

from torch import Tensor, nn
from torch.nn import functional as F

from models.config import ViTConfig


class MSABlock(nn.Module):
    """z'_l = MSA(LN(z_{l-1})) + z_{l-1}   (Eq. 2; MSA itself is Eq. 5–8 of Appendix A).

    Tokens (B, N + 1, D) → tokens (B, N + 1, D), or only the first `tokens` of them: each still attends to all, and the
    queries and outputs of the others are not computed. Dropout follows the output projection only: Table 3 excludes the
    qkv projections, and the authors' attention-probability dropout is 0. The attention weights are never formed: the
    fused attention of torch computes the product without them. nn.MultiheadAttention holds the parameters and gives the
    weights when it is called; its own forward copies q, k and v twice, which costs a tenth of a small model's training
    step.
    """

    def __init__(self, config: ViTConfig):
        super().__init__()
        self.norm = nn.LayerNorm(config.embedding_dim, eps=config.norm_eps)
        self.attention = nn.MultiheadAttention(config.embedding_dim, config.num_heads, batch_first=True)
        self.dropout = nn.Dropout(config.dropout)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """W_q, W_k, W_v and W_out Xavier-uniform, each on its own D×D; biases 0.

        nn.MultiheadAttention's own initialisation treats q, k, v as one 3D×D matrix, whose bound is √2 too small.
        Source: google-research/vision_transformer, vit_jax/models_vit.py.
        """
        for weight in self.attention.in_proj_weight.chunk(3):            # (D, D) each: W_q, W_k, W_v
            nn.init.xavier_uniform_(weight)
        nn.init.xavier_uniform_(self.attention.out_proj.weight)
        nn.init.zeros_(self.attention.in_proj_bias)
        nn.init.zeros_(self.attention.out_proj.bias)

    def forward(self, z: Tensor, tokens: int | None = None) -> Tensor:
        msa = self.attention
        q, k, v = (x.unflatten(-1, (msa.num_heads, -1)).transpose(1, 2) for x in self.qkv(self.norm(z), tokens))
        heads = F.scaled_dot_product_attention(q, k, v)                  # Eq. 6 and 7: (B, k, N + 1, D/k)
        attended = msa.out_proj(heads.transpose(1, 2).flatten(2))        # Eq. 8: (B, N + 1, D)
        return self.dropout(attended) + z[:, :tokens]                    # Eq. 2

    def qkv(self, y: Tensor, tokens: int | None) -> tuple[Tensor, ...]:
        """[q, k, v] = y U_qkv (Eq. 5), each (B, N + 1, D); with `tokens`, q of the first tokens only."""
        weight, bias, width = self.attention.in_proj_weight, self.attention.in_proj_bias, y.shape[-1]
        if tokens is None:
            return F.linear(y, weight, bias).chunk(3, dim=-1)
        q = F.linear(y[:, :tokens], weight[:width], bias[:width])
        return q, *F.linear(y, weight[width:], bias[width:]).chunk(2, dim=-1)
