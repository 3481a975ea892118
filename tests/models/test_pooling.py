import pytest
import torch
from torch import nn

from functions.runtime.errors import UserError
from models import ViT, ViTConfig, make_model
from models.pooling import MeanPoolViT, mean_of_patches

SMALL = ViTConfig(image_size=(8, 12), patch_size=4, num_layers=2, embedding_dim=12, num_heads=3, mlp_size=20,
                  num_classes=4)


def norm():
    made = nn.LayerNorm(5)
    nn.init.normal_(made.weight), nn.init.normal_(made.bias)
    return made


def test_the_norm_is_after_or_before_the_mean_and_the_class_token_in_neither():
    z, last = torch.randn(3, 7, 5) * torch.rand(3, 7, 1), norm()
    after = torch.stack([last(z[:, i]) for i in range(1, 7)]).mean(dim=0)
    before = last(sum(z[:, i] for i in range(1, 7)) / 6)
    torch.testing.assert_close(mean_of_patches(z, last, "mean"), after)
    torch.testing.assert_close(mean_of_patches(z, last, "mean_then_norm"), before)
    assert (after - before).abs().max() > 1e-2
    assert torch.equal(mean_of_patches(z, last, "mean"), mean_of_patches(torch.cat([z[:, :1] + 9, z[:, 1:]], 1), last,
                                                                         "mean"))


@pytest.mark.parametrize("pool", ["mean", "mean_then_norm"])
def test_a_vit_classifies_the_mean_of_its_patches(pool):
    torch.manual_seed(0)
    model = make_model(ViTConfig(**{**vars(SMALL), "pool": pool})).eval()
    assert type(model) is MeanPoolViT
    nn.init.normal_(model.classifier.weight)
    images = torch.randn(2, 3, 8, 12)
    with torch.no_grad():
        z = model.encoder(model.patch_embedding(images))
        expected = model.classifier(mean_of_patches(z, model.norm, pool))
        torch.testing.assert_close(model(images), expected)
        assert (model.classifier(model.norm(z[:, 0])) - expected).abs().max() > 1e-2


def test_the_network_of_another_pooling_is_refused():
    with pytest.raises(UserError, match="pool mean is not one of ViT, which has cls: models.build and"):
        ViT(ViTConfig(**{**vars(SMALL), "pool": "mean"}))
    with pytest.raises(UserError, match="pool cls is not one of MeanPoolViT"):
        MeanPoolViT(SMALL)


def test_a_norm_of_the_embedded_patches_is_applied_before_the_first_block():
    model = ViT(ViTConfig(**{**vars(SMALL), "pre_norm": True})).eval()
    nn.init.normal_(model.patch_embedding.norm.weight)
    images = torch.randn(2, 3, 8, 12)
    z = model.patch_embedding(images)
    model.patch_embedding.norm, last = nn.Identity(), model.patch_embedding.norm
    torch.testing.assert_close(z, last(model.patch_embedding(images)))
    assert "patch_embedding.norm.weight" not in ViT(SMALL).state_dict(), "the paper has none"
