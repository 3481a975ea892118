"""The hand-written ViT with other libraries' weights beside the libraries themselves: python -m tests.models.parity"""

import copy
import sys

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from models import VARIANTS, ViT
from models.pretrained.load import load_pretrained, set_eps_and_gelu
from tests.models import jax_reference

SHAPES = {"b/16": "vit_b_16", "b/32": "vit_b_32", "l/16": "vit_l_16"}
SIZES = (224, 160)
CLASSES = 10


def perturbed(net, seed):
    """Every parameter random, biases, norms and positions too, at a scale that keeps logits around 1.

    Tokens begin small, as in trained networks (positions of 0.02), where LayerNorm's epsilon counts.
    """
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in net.named_parameters():
            noise = torch.randn(p.shape, generator=draw)
            if any(word in name for word in ("cls", "class_token", "pos", "proj.bias", "projection.bias")):
                p.copy_(0.03 * noise)
            elif p.ndim > 1:
                p.copy_(noise * p[0].numel() ** -0.5 * (0.05 if p.ndim == 4 else 1.0))
            else:
                p.copy_(("norm" in name or "ln" in name) * name.endswith("weight") + 0.2 * noise)
    return net.eval()


class Undrawn(TorchFunctionMode):
    """Inside, initial values are not drawn: they are most of a large network's construction, and all are replaced.

    They are zeros, because torch draws again whatever is outside of a truncated normal's bounds.
    """

    def __torch_function__(self, function, types, args=(), kwargs=None):
        drawn = (torch.Tensor.normal_, torch.Tensor.uniform_, torch.Tensor.erfinv_)
        return args[0].zero_() if function in drawn else function(*args, **(kwargs or {}))


def torchvision_net(config):
    from torchvision.models import VisionTransformer

    return VisionTransformer(config.image_size[0], config.patch_size, config.num_layers, config.num_heads,
                             config.embedding_dim, config.mlp_size, num_classes=CLASSES)


def timm_net(config):
    from timm.models.vision_transformer import VisionTransformer

    return VisionTransformer(config.image_size[0], config.patch_size, num_classes=CLASSES, depth=config.num_layers,
                             embed_dim=config.embedding_dim, num_heads=config.num_heads,
                             mlp_ratio=config.mlp_size / config.embedding_dim)


def transformers_net(config):
    from transformers import ViTConfig, ViTForImageClassification

    return ViTForImageClassification(ViTConfig(
        hidden_size=config.embedding_dim, num_hidden_layers=config.num_layers, num_attention_heads=config.num_heads,
        intermediate_size=config.mlp_size, image_size=config.image_size[0], patch_size=config.patch_size,
        num_labels=CLASSES))


LIBRARIES = {"torchvision": torchvision_net, "timm": timm_net, "transformers": transformers_net}
SOURCES = (*LIBRARIES, "JAX .npz")


def source_and_logits(source, config, images, seed=0):
    """(state dict, the source's own logits) for images (B, 3, H, W)."""
    if source == "JAX .npz":
        arrays = jax_reference.make_arrays(config.patch_size, config.embedding_dim, config.num_heads, config.mlp_size,
                                           config.num_layers, config.grid, CLASSES, seed)
        return arrays, torch.from_numpy(jax_reference.forward(arrays, images.permute(0, 2, 3, 1).numpy()))
    with Undrawn():
        net = LIBRARIES[source](config)
    perturbed(net, seed)
    with torch.no_grad():
        logits = net(images)
    return net.state_dict(), getattr(logits, "logits", logits)


def swap_q_and_k(model):
    attention = model.encoder[0].msa_block.attention
    for tensor in (attention.in_proj_weight, attention.in_proj_bias):
        q, k, v = tensor.data.chunk(3)
        tensor.data = torch.cat([k, q, v])


def forget_to_transpose(model):
    weight = model.encoder[0].msa_block.attention.out_proj.weight
    weight.data = weight.data.T.contiguous()


def permute_heads(model):
    attention, heads = model.encoder[0].msa_block.attention, model.config.num_heads
    weight = attention.out_proj.weight
    weight.data = weight.data.unflatten(1, (heads, -1)).roll(1, dims=1).flatten(1)


def other_epsilon(model):
    set_eps_and_gelu(model, 1e-5, model.config.gelu)


def other_gelu(model):
    set_eps_and_gelu(model, model.config.norm_eps, "none" if model.config.gelu == "tanh" else "tanh")


MUTANTS = {"q and k swapped": swap_q_and_k, "one square matrix not transposed": forget_to_transpose,
           "heads permuted": permute_heads, "epsilon 1e-5": other_epsilon, "the other GELU": other_gelu}


def compare(source, variant, size, layers):
    """(largest |Δ logits|, standard deviation of the logits, {mutant: its largest |Δ|}) for one batch of two images."""
    from dataclasses import replace

    config = replace(VARIANTS[SHAPES[variant]], image_size=size, num_layers=layers, num_classes=CLASSES)
    images = torch.randn(2, 3, *config.image_size, generator=torch.Generator().manual_seed(1)) * 0.5
    state, expected = source_and_logits(source, config, images)
    with Undrawn():
        model = ViT(config)
    load_pretrained(model, state).eval()
    unchanged = {id(p): p for name, p in model.named_parameters() if not name.startswith("encoder.0.msa_block.")}

    def difference(net):
        with torch.no_grad():
            return (net(images).double() - expected.double()).abs().max().item()

    mutants = {}
    for name, mutate in MUTANTS.items():
        mutant = copy.deepcopy(model, dict(unchanged))          # most parameters are shared with the model
        mutate(mutant)
        mutants[name] = difference(mutant)
    return difference(model), expected.std().item(), mutants


def main():
    """The table of docs/RESULTS.md, in Markdown; the depth can be given, 3 if not."""
    layers = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    print("| source | shape | image | largest difference | std of the logits | " + " | ".join(MUTANTS) + " |")
    print("|---" * (5 + len(MUTANTS)) + "|")
    for source in SOURCES:
        for variant in SHAPES:
            for size in SIZES:
                difference, std, mutants = compare(source, variant, size, layers)
                cells = [source, f"{variant}, {layers} layers", size, f"{difference:.1e}", f"{std:.2f}",
                         *(f"{value:.1e}" for value in mutants.values())]
                print("| " + " | ".join(map(str, cells)) + " |", flush=True)
    print(f"\ntorch {torch.__version__}, NumPy {np.__version__}, fp32 on the CPU")


if __name__ == "__main__":
    main()
