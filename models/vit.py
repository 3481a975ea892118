"""The complete Vision Transformer."""

from torch import Tensor, nn

from models.config import ViTConfig
from models.encoder_block import TransformerEncoder
from models.patch_embedding import PatchEmbedding
from models.pooling import mean_of_patches


class ViT(nn.Module):
    """Images (B, C, H, W) → class logits (B, K): Eq. 1, L times Eq. 2 and 3, Eq. 4, then the classifier.

    y = LN(z_L^0) is Eq. 4; the classifier on top of y is not part of it. The classifier is initialised to zero, so an
    untrained model predicts equal probabilities and its loss is ln K. With another `pool` than "cls" the classifier
    reads a mean over patches (models/pooling.py).
    Source: Dosovitskiy et al. 2021, arXiv 2010.11929, §3.1.
    """

    def __init__(self, config: ViTConfig | None = None):
        super().__init__()
        self.config = config = config or ViTConfig()
        self.patch_embedding = PatchEmbedding(config)
        self.encoder = TransformerEncoder(config)
        self.norm = nn.LayerNorm(config.embedding_dim, eps=config.norm_eps)
        self.classifier = nn.Linear(config.embedding_dim, config.num_classes)
        nn.init.zeros_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, images: Tensor) -> Tensor:
        z = self.patch_embedding(images)      # Eq. 1: z_0, (B, N + 1, D)
        if self.config.pool != "cls":
            return self.classifier(mean_of_patches(self.encoder(z), self.norm, self.config.pool))
        z = self.encoder(z, tokens=1)         # Eq. 2 and 3, L times: z_L^0, (B, 1, D), the only token that Eq. 4 reads
        y = self.norm(z[:, 0])                # Eq. 4: y = LN(z_L^0), (B, D)
        return self.classifier(y)             # (B, K)
