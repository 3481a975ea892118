"""The complete Vision Transformer."""

from typing import ClassVar

from torch import Tensor, nn

from functions.runtime.errors import UserError
from models.config import ViTConfig
from models.encoder_block import TransformerEncoder
from models.patch_embedding import PatchEmbedding


class ViT(nn.Module):
    """Images (B, C, H, W) → class logits (B, K): Eq. 1, L times Eq. 2 and 3, Eq. 4, then the classifier.

    y = LN(z_L^0) is Eq. 4; the classifier on top of y is not part of it. The classifier is initialised to zero, so an
    untrained model predicts equal probabilities and its loss is ln K. Raises UserError for a `pool` other than "cls",
    of which models/pooling.py has the network; `make_model` (models/factory.py) builds the one of any configuration.
    Source: Dosovitskiy et al. 2021, arXiv 2010.11929, §3.1.
    """

    pools: ClassVar[tuple[str, ...]] = ("cls",)       # the values of `pool` that this network has

    def __init__(self, config: ViTConfig | None = None):
        super().__init__()
        self.config = config = config or ViTConfig()
        if config.pool not in self.pools:
            raise UserError(f"pool {config.pool} is not one of {type(self).__name__}, which has "
                            f"{' and '.join(self.pools)}: models.build and models.make_model choose the network")
        self.patch_embedding = PatchEmbedding(config)
        self.encoder = TransformerEncoder(config)
        self.norm = nn.LayerNorm(config.embedding_dim, eps=config.norm_eps)
        self.classifier = nn.Linear(config.embedding_dim, config.num_classes)
        nn.init.zeros_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, images: Tensor) -> Tensor:
        z = self.patch_embedding(images)      # Eq. 1: z_0, (B, N + 1, D)
        z = self.encoder(z, tokens=1)         # Eq. 2 and 3, L times: z_L^0, (B, 1, D), the only token that Eq. 4 reads
        y = self.norm(z[:, 0])                # Eq. 4: y = LN(z_L^0), (B, D)
        return self.classifier(y)             # (B, K)
