import pytest
import torch
from torch import nn
from torchvision.models import VisionTransformer

from models import VARIANTS, HybridConfig, ViT, ViTConfig, make_model
from models.transfer import TransferConfig, TransferModel

KINDS = ("ours", "hybrid", "torchvision", "transfer", "transfer ours")
SIZES = {"num_classes": 5, "num_layers": 3, "embedding_dim": 12, "num_heads": 2, "mlp_size": 20}
GRID = (2, 3)      # patches down and across, of 4×4 pixels; torchvision's own network takes squares only: (3, 3)


@pytest.fixture
def make(monkeypatch):
    """make(kind) → a tiny network in eval mode, every parameter of which matters, on images of `pictures(kind)`."""
    tiny = ViTConfig(image_size=(8, 12), patch_size=4, in_channels=1, **SIZES)
    monkeypatch.setitem(VARIANTS, "vit_b_16", tiny)

    def made(kind, seed=0):
        torch.manual_seed(seed)
        if kind == "ours":
            model = ViT(tiny)
        elif kind == "hybrid":
            model = make_model(HybridConfig(image_size=(8, 12), patch_size=4, in_channels=1, units=(), stem_width=32,
                                            **SIZES))
        elif kind == "torchvision":
            model = VisionTransformer(12, 4, 3, 2, 12, 20, num_classes=5)
        else:
            backbone = "ours" if kind.endswith("ours") else "torchvision"
            model = TransferModel(TransferConfig(backbone=backbone, image_size=(8, 12), in_channels=1, num_classes=5))
            model.unfreeze("head", in_chunks=True)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.3 * torch.randn(parameter.shape)
        return model.eval()

    return made


@pytest.fixture
def pictures():
    def drawn(kind, count=2, seed=9):
        size = (3, 12, 12) if kind == "torchvision" else (1, 8, 12)
        return torch.randn(count, *size, generator=torch.Generator().manual_seed(seed))

    return drawn


@pytest.fixture
def grid():
    return lambda kind: (3, 3) if kind == "torchvision" else GRID


def plant(model):
    """Makes the network attend to bright patches, whose brightness raises the logit of class 1; returns it.

    A patch's token is its mean brightness times u = (1, -1, 1, …), added to a position w ⊥ u; k reads u, q is constant,
    v passes a part of u on, MLPs are silent, and class 1 reads u.
    """
    u, w = torch.tensor([1.0, -1.0]).repeat(6), torch.tensor([1.0, 1.0, -1.0, -1.0]).repeat(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(w if parameter.ndim == 3 and parameter.shape[1] > 1 else 0 * parameter)      # positions
        for module in model.modules():
            if isinstance(module, nn.LayerNorm):
                module.weight.fill_(1)
            elif isinstance(module, nn.Conv2d):
                module.weight.copy_(6 * u[:, None, None, None] / module.weight[0].numel())
            elif isinstance(module, nn.Linear) and module.out_features == 5:
                module.weight[1] = u / 4
            elif isinstance(module, nn.MultiheadAttention):
                first = torch.arange(0, 12, 12 // module.num_heads)
                module.in_proj_bias[first] = 20
                module.in_proj_weight[12 + first] = u / 12
                module.in_proj_weight[24:] = torch.eye(12)
                module.out_proj.weight.copy_(0.02 * torch.outer(u, u))
    return model
