"""Multi-head self-attention (Eq. 5–8), and the block around it: MSA(LN(z)) of Eq. 2."""

import math

from torch import Tensor, nn
from torch.nn import functional as F

from models.config import ViTConfig


class SelfAttention(nn.MultiheadAttention):
    """MSA(z) = [SA_1(z); …; SA_k(z)] U_msa, SA(z) = softmax(q kᵀ / √D_h) v, [q, k, v] = z U_qkv   (Eq. 5–8).

    Tokens (B, N + 1, D) → (B, N + 1, D), or only the first `tokens` of them: all tokens are keys and values, and the
    queries of the others are not computed. Parameters and their names are those of nn.MultiheadAttention. The fused
    attention of torch never forms the attention weights; nn.MultiheadAttention's own forward copies q, k and v twice,
    which costs a tenth of a small model's training step.
    """

    def __init__(self, width: int, num_heads: int):
        super().__init__(width, num_heads, batch_first=True)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """W_q, W_k, W_v and W_out Xavier-uniform, each on its own D×D; biases 0.

        nn.MultiheadAttention's own initialisation treats q, k, v as one 3D×D matrix, whose bound is √2 too small.
        Source: google-research/vision_transformer, vit_jax/models_vit.py.
        """
        for weight in (*self.in_proj_weight.chunk(3), self.out_proj.weight):     # (D, D) each: W_q, W_k, W_v, W_out
            nn.init.xavier_uniform_(weight)
        nn.init.zeros_(self.in_proj_bias)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, z: Tensor, tokens: int | None = None) -> Tensor:      # type: ignore[override]
        q, k, v = self.qkv(z, tokens)                              # Eq. 5: (B, k, N + 1, D_h) each
        heads = F.scaled_dot_product_attention(q, k, v)            # Eq. 6 and 7: softmax(q kᵀ / √D_h) v
        return self.out_proj(heads.transpose(1, 2).flatten(2))     # Eq. 8: (B, N + 1, D)

    def attention_weights(self, z: Tensor) -> Tensor:
        """A = softmax(q kᵀ / √D_h)   (Eq. 6): tokens (B, N + 1, D) → (B, k, N + 1, N + 1), rows summing to 1."""
        q, k, _ = self.qkv(z)
        return (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).softmax(dim=-1)

    def qkv(self, z: Tensor, tokens: int | None = None) -> tuple[Tensor, ...]:
        """[q, k, v] = z U_qkv (Eq. 5) by heads, (B, k, N + 1, D_h) each; with `tokens`, q of the first tokens only."""
        weight, bias, width = self.in_proj_weight, self.in_proj_bias, self.embed_dim
        if tokens is None:
            parts = F.linear(z, weight, bias).chunk(3, dim=-1)
        else:
            q = F.linear(z[:, :tokens], weight[:width], bias[:width])
            parts = q, *F.linear(z, weight[width:], bias[width:]).chunk(2, dim=-1)
        return tuple(part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for part in parts)


class MSABlock(nn.Module):
    """MSA(LN(z)) of Eq. 2; the residual is added by the encoder block.

    Tokens (B, N + 1, D) → (B, N + 1, D), or only the first `tokens` of them. Dropout follows the output projection:
    Table 3 excludes the qkv projections, and the authors' dropout of attention weights is 0.
    """

    def __init__(self, config: ViTConfig):
        super().__init__()
        self.norm = nn.LayerNorm(config.embedding_dim, eps=config.norm_eps)
        self.attention = SelfAttention(config.embedding_dim, config.num_heads)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, z: Tensor, tokens: int | None = None) -> Tensor:
        return self.dropout(self.attention(self.norm(z), tokens))
