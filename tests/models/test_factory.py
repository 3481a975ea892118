from dataclasses import replace

import pytest
import torch

from models import HYBRIDS, VARIANTS, HybridViT, ViT, ViTConfig, build
from models.factory import configure, count_parameters, make_model
from tests.models.test_hybrid import SMALL


def test_build_overrides_a_variant_and_refuses_what_it_does_not_know():
    model = build("vit_ti_16", image_size=(32, 48), num_layers=1, in_channels=1, num_classes=4)
    assert model.config.embedding_dim == 192
    assert model.config.grid == (2, 3)
    with pytest.raises(ValueError, match="vit_x_16.*vit_b_16"):
        build("vit_x_16")
    with pytest.raises(ValueError, match="ViTConfig has no field depth; it has image_size, "):
        build("vit_b_16", depth=3)


@pytest.mark.parametrize("name", HYBRIDS)
def test_build_knows_the_hybrids(name):
    with torch.device("meta"):
        model = build(name, image_size=(64, 96), num_layers=1, embedding_dim=12, num_heads=3, mlp_size=20,
                      num_classes=4)
    assert type(model) is HybridViT
    assert model.config == replace(HYBRIDS[name], image_size=(64, 96), num_layers=1, embedding_dim=12, num_heads=3,
                                   mlp_size=20, num_classes=4)
    with pytest.raises(ValueError, match="HybridConfig has no field colour; it has .*, units, "):
        build(name, colour=3)
    with pytest.raises(ValueError, match="patch_size is 8: "):
        build(name, patch_size=8)


@pytest.mark.parametrize(("name", "meant"), [
    ("r50_vit_b16", "r50_vit_b_16"), ("r50", None), ("R26_ViT_B_32", "r26_vit_b_32"),
    ("vit_ti16", "vit_ti_16"), ("", None)])
def test_an_unknown_name_is_answered_with_all_names_and_the_likely_one(name, meant):
    with pytest.raises(ValueError, match=f'unknown model "{name}"; known: ') as caught:
        configure(name)
    assert all(known in str(caught.value) for known in VARIANTS | HYBRIDS)
    assert str(caught.value).endswith(f"; did you mean {meant}?" if meant else "r_vit_ti_16")


@pytest.mark.parametrize("config", [
    ViTConfig(image_size=(15, 20), patch_size=5, in_channels=1, num_classes=7, num_layers=3, embedding_dim=12,
              num_heads=2, mlp_size=17), SMALL, replace(SMALL, num_layers=1, in_channels=1)])
def test_parameters_are_counted_as_the_network_has_them(config):
    """On sizes that all differ, for images that are not square."""
    model = make_model(config)
    assert type(model) is (ViT if type(config) is ViTConfig else HybridViT)
    assert count_parameters(config) == sum(p.numel() for p in model.parameters())


def test_absurd_sizes_are_counted_without_allocating_anything():
    huge = configure("r50_vit_b_16", num_layers=1000, embedding_dim=2**16, num_heads=1, mlp_size=2**18)
    assert count_parameters(huge) > 5e13
