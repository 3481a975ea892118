"""Small networks of the source libraries with random, non-trivial weights, and what they say of an image."""

import warnings
from dataclasses import replace

import torch
from torch import nn

from models import ViTConfig, make_model
from models.pretrained.load import load_pretrained, set_eps_and_gelu
from tests.models.parity import perturbed

SMALL = ViTConfig(image_size=16, patch_size=4, num_classes=10, num_layers=2, embedding_dim=12, num_heads=3, mlp_size=48)
SIZES = {"hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 48, "image_size": 16,
         "patch_size": 4}                                                        # transformers' names


def images(size=16):
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1)) * 0.5


def timm_vit(**options):
    from timm.models.vision_transformer import VisionTransformer

    sizes = {"img_size": 16, "patch_size": 4, "embed_dim": 12, "depth": 2, "num_heads": 3, "num_classes": 0}
    return perturbed(VisionTransformer(**sizes | options), 0)


def dinov2():
    """transformers' DINOv2."""
    from transformers import Dinov2Config, Dinov2Model

    return perturbed(Dinov2Model(Dinov2Config(**SIZES)), 0)


@torch.no_grad()
def answer(net, pictures):
    """The features of a network of timm or transformers: the pooled ones if it has any, else the class token's."""
    given = net(pictures)
    if isinstance(given, torch.Tensor):
        return given
    return given.last_hidden_state[:, 0]


def ours(given, **changes):
    """Our ViT with the weights of a state dict, a file or a folder, without its classifier."""
    model = make_model(replace(SMALL, **changes))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        load_pretrained(model, given)
    model.classifier = nn.Identity()
    return model.eval()


@torch.no_grad()
def difference(model, expected, size=16):
    return (model(images(size)) - expected).abs().max().item()


def other_form(model, **form):
    """Changes epsilon or GELU of a model in place."""
    set_eps_and_gelu(model, form.get("norm_eps", model.config.norm_eps), form.get("gelu", model.config.gelu))
    return model
