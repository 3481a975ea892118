import re

import pytest
import torch

from models import VARIANTS, ViT, ViTConfig, build

# google-research/vision_transformer, vit_jax/models_test.py; s/32 by the formula below, which the others confirm.
PARAMETERS = {
    "vit_ti_16": 5_717_416,
    "vit_s_16": 22_050_664,
    "vit_s_32": 22_878_952,
    "vit_b_8": 86_576_872,
    "vit_b_16": 86_567_656,
    "vit_b_32": 88_224_232,
    "vit_l_16": 304_326_632,
    "vit_l_32": 306_535_400,
    "vit_h_14": 632_045_800,
}


def count_parameters(config):
    with torch.device("meta"):
        return sum(p.numel() for p in ViT(config).parameters())


def test_every_variant_has_its_published_size():
    assert {name: count_parameters(config) for name, config in VARIANTS.items()} == PARAMETERS


@pytest.mark.parametrize("name", VARIANTS)
def test_parameters_follow_from_the_equations(name):
    """Counted by hand from Eq. 1–4, without building anything: this is how s/32's number is derived."""
    c = VARIANTS[name]
    d, m = c.embedding_dim, c.mlp_size
    embedding = (3 * c.patch_size**2 + 1) * d + d + (224 * 224 // c.patch_size**2 + 1) * d
    layer = 2 * d + 4 * (d * d + d) + 2 * d + (d * m + m) + (m * d + d)
    assert embedding + c.num_layers * layer + 2 * d + (d + 1) * 1000 == PARAMETERS[name]


def test_parameters_are_counted_without_building_the_model():
    """On sizes that all differ, for gray images that are not square."""
    config = ViTConfig(image_size=(15, 20), patch_size=5, in_channels=1, num_classes=7, num_layers=3, embedding_dim=12,
                       num_heads=2, mlp_size=17)
    assert config.num_parameters == sum(p.numel() for p in ViT(config).parameters())
    assert {name: config.num_parameters for name, config in VARIANTS.items()} == PARAMETERS


def test_four_classes_leave_the_published_number():
    assert count_parameters(ViTConfig(num_classes=4)) == 85_801_732


def test_defaults_are_the_papers():
    config = ViTConfig()
    assert (config.norm_eps, config.gelu, config.dropout) == (1e-6, "none", 0.0)
    assert config == VARIANTS["vit_b_16"]


def test_height_comes_before_width():
    config = ViTConfig(image_size=(208, 176))
    assert config.grid == (13, 11)
    assert config.num_patches == 143


@pytest.mark.parametrize(
    ("wrong", "numbers"),
    [
        ({"image_size": 225}, ["225x225", "16"]),
        ({"image_size": (208, 180)}, ["208x180", "16"]),
        ({"image_size": (100, 96), "patch_size": 8}, ["100x96", "8"]),
        ({"image_size": 8}, ["8x8", "16"]),
        ({"image_size": 0}, ["0x0", "16"]),
        ({"image_size": (224, 224, 3)}, ["(224, 224, 3)"]),
        ({"image_size": 224.0}, ["224.0"]),
        ({"embedding_dim": 100, "num_heads": 12}, ["100", "12"]),
        ({"in_channels": 4}, ["4"]),
        ({"num_layers": 0}, ["0"]),
        ({"patch_size": -16}, ["-16"]),
        ({"num_classes": 0}, ["0"]),
        ({"dropout": 1.0}, ["1.0"]),
        ({"norm_eps": 0}, ["0"]),
        ({"norm_eps": 10**400}, ["1000"]), ({"norm_eps": 1.5}, ["1.5"]), ({"in_channels": True}, ["True"]),
        ({"in_channels": 1.0}, ["1.0"]),
        ({"gelu": "erf"}, ["erf"]),
    ],
)
def test_sizes_that_do_not_fit_are_refused_with_their_numbers(wrong, numbers):
    with pytest.raises(ValueError, match=".*".join(map(re.escape, numbers))):
        ViTConfig(**wrong)


def test_build_overrides_a_variant_and_refuses_what_it_does_not_know():
    model = build("vit_ti_16", image_size=(32, 48), num_layers=1, in_channels=1, num_classes=4)
    assert model.config.embedding_dim == 192
    assert model.config.grid == (2, 3)
    with pytest.raises(ValueError, match="vit_x_16.*vit_b_16"):
        build("vit_x_16")
    with pytest.raises(ValueError, match="depth"):
        build("vit_b_16", depth=3)


def test_sizes_are_those_of_table_1_and_of_the_authors_smaller_models():
    """Heads show in no parameter's shape: each is 64 wide, in ViT-H 80."""
    sizes = {name: (c.num_layers, c.embedding_dim, c.mlp_size, c.num_heads) for name, c in VARIANTS.items()}
    by_letter = {"ti": (12, 192, 768, 3), "s": (12, 384, 1536, 6), "b": (12, 768, 3072, 12), "l": (24, 1024, 4096, 16),
                 "h": (32, 1280, 5120, 16)}
    for name, size in sizes.items():
        _, letter, patch = name.split("_")
        assert size == by_letter[letter], name
        assert VARIANTS[name].patch_size == int(patch)
