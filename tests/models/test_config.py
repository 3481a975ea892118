import re

import pytest
import torch

from functions.runtime.errors import UserError
from models import HYBRIDS, VARIANTS, HybridConfig, ViT, ViTConfig

# google-research/vision_transformer, vit_jax/models_test.py; s/32, s/8 and patches of 14 by the formula below, which
# the others confirm.
PARAMETERS = {
    "vit_ti_16": 5_717_416,
    "vit_s_8": 22_055_272,
    "vit_s_14": 22_004_584,
    "vit_s_16": 22_050_664,
    "vit_s_32": 22_878_952,
    "vit_b_8": 86_576_872,
    "vit_b_14": 86_475_496,
    "vit_b_16": 86_567_656,
    "vit_b_32": 88_224_232,
    "vit_l_14": 304_203_752,
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


def test_four_classes_leave_the_published_number():
    assert count_parameters(ViTConfig(num_classes=4)) == 85_801_732


def test_defaults_are_the_papers():
    config = ViTConfig()
    assert (config.norm_eps, config.gelu, config.dropout, config.drop_path) == (1e-6, "none", 0.0, 0.0)
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
        ({"drop_path": 1.0}, ["drop_path", "1.0"]), ({"drop_path": -0.1}, ["drop_path", "-0.1"]),
        ({"drop_path": None}, ["drop_path", "None"]), ({"drop_path": float("nan")}, ["drop_path", "nan"]),
        ({"norm_eps": 0}, ["0"]),
        ({"norm_eps": 10**400}, ["1000"]), ({"norm_eps": 1.5}, ["1.5"]), ({"in_channels": True}, ["True"]),
        ({"in_channels": 1.0}, ["1.0"]),
        ({"gelu": "erf"}, ["erf"]),
    ],
)
def test_sizes_that_do_not_fit_are_refused_with_their_numbers(wrong, numbers):
    with pytest.raises(ValueError, match=".*".join(map(re.escape, numbers))):
        ViTConfig(**wrong)


def test_hybrids_are_those_of_the_authors():
    """vit_jax/configs/models.py: units per stage, patch on the feature map, pixels per token, and the ViT's sizes."""
    assert {name: (c.units, c.stem_patch, c.stem_width, c.patch_size) for name, c in HYBRIDS.items()} == {
        "r50_vit_b_16": ((3, 4, 9), 1, 64, 16), "r26_vit_b_32": ((2, 2, 2, 2), 1, 64, 32),
        "r_vit_ti_16": ((), 8, 64, 32)}
    for name, config in HYBRIDS.items():
        vit = VARIANTS[name.partition("_")[2]]
        for size in ("num_layers", "embedding_dim", "num_heads", "mlp_size"):
            assert getattr(config, size) == getattr(vit, size), (name, size)


def test_tokens_in_words():
    assert ViTConfig(image_size=(32, 48)).tokens == "2x3 patches of 16x16 pixels"
    assert HybridConfig(image_size=(32, 48)).tokens == (
        "2x3 tokens of 16x16 pixels, from the map of a ResNet stem with 3+4+9 residual units")


@pytest.mark.parametrize(("wrong", "complaint"), [
    *(({"units": units}, "units is ") for units in (
        None, 3, "349", {3: 4}, (10**9,), (-1,), (0,), (3, 4.0), (True,), ("3",), (1,) * 5, [1] * 10**6)),
    *(({"stem_patch": patch}, "stem_patch is ") for patch in (None, 0, -1, 1.0, "1", True, 10**9)),
    *(({"stem_width": width}, "stem_width is ") for width in (None, 0, -32, 48, 32.0, "64", 2**11, 10**9)),
    *(({"patch_size": size}, r"patch_size is .*: a token of this hybrid is 16x16 pixels") for size in (8, None, "16")),
    ({"stem_patch": 2}, "patch_size is 16: a token of this hybrid is 32x32 pixels"),
    ({"units": (3, 4)}, "patch_size is 16: a token of this hybrid is 8x8 pixels"),
    ({"image_size": (64, 92)}, "image size 64x92 is not a multiple of the 16 pixels per token of this hybrid"),
    ({"num_heads": 7}, "embedding_dim 768 is not a multiple of num_heads 7"),
])
def test_hybrids_that_cannot_be_built_are_refused_in_one_line(wrong, complaint):
    with pytest.raises(UserError, match=complaint) as caught:
        HybridConfig(**wrong)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("stages", range(5))
def test_a_token_of_a_hybrid_is_what_its_stem_makes_of_as_many_pixels(stages):
    """The root quarters both sides, and each stage after the first halves them."""
    config = HybridConfig(image_size=192, patch_size=3 * (4, 4, 8, 16, 32)[stages], units=(1,) * stages, stem_patch=3)
    assert config.grid == (192 // config.patch_size,) * 2


def test_sizes_are_those_of_table_1_and_of_the_authors_smaller_models():
    """Heads show in no parameter's shape: each is 64 wide, in ViT-H 80."""
    sizes = {name: (c.num_layers, c.embedding_dim, c.mlp_size, c.num_heads) for name, c in VARIANTS.items()}
    by_letter = {"ti": (12, 192, 768, 3), "s": (12, 384, 1536, 6), "b": (12, 768, 3072, 12), "l": (24, 1024, 4096, 16),
                 "h": (32, 1280, 5120, 16)}
    for name, size in sizes.items():
        _, letter, patch = name.split("_")
        assert size == by_letter[letter], name
        assert VARIANTS[name].patch_size == int(patch)
