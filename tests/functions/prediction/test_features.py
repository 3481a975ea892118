import pytest
import torch

from functions.prediction.features import FeatureExtractor
from models import build
from models.transfer import TransferConfig, TransferModel

CPU = torch.device("cpu")
TINY = {"image_size": (16, 12), "patch_size": 4, "in_channels": 1, "num_classes": 3, "num_layers": 3,
        "embedding_dim": 12, "num_heads": 3, "mlp_size": 20}


@pytest.fixture
def vit():
    torch.manual_seed(0)
    model = build("vit_ti_16", **TINY).eval()
    torch.nn.init.normal_(model.classifier.weight)
    return model


def test_features_are_the_patches_after_the_middle_block_and_the_class_token(vit):
    images = torch.randn(5, 1, 16, 12)
    probabilities, features = FeatureExtractor(vit, CPU, "fp32")(images)
    with torch.no_grad():
        torch.testing.assert_close(probabilities, vit(images).softmax(dim=1))
        z = vit.patch_embedding(images)
        for block in list(vit.encoder)[:2]:                              # the middle of three
            z = block(z)
        y = vit.norm(vit.encoder[2](z)[:, 0])
    torch.testing.assert_close(features, torch.cat([z[:, 1:].mean(dim=1), y], dim=1), rtol=1e-4, atol=1e-5)


def test_a_vit_of_one_block_has_the_class_token_only():
    model = build("vit_ti_16", **TINY | {"num_layers": 1}).eval()
    features = FeatureExtractor(model, CPU, "fp32")(torch.randn(5, 1, 16, 12))[1]
    assert features.shape == (5, 12)
    assert features.isfinite().all()


def test_mirrored_views_are_averaged_and_features_are_those_of_the_image(vit):
    images = torch.randn(2, 1, 16, 12)
    plain, features = FeatureExtractor(vit, CPU, "fp32")(images)
    other, _ = FeatureExtractor(vit, CPU, "fp32")(images.flip(3))
    mean, same = FeatureExtractor(vit, CPU, "fp32", mirrored=True)(images)
    torch.testing.assert_close(mean, (plain + other) / 2)
    assert torch.equal(features, same)


@pytest.mark.parametrize("backbone", ["torchvision", "ours"])
def test_a_frozen_backbone_that_works_in_padded_chunks(backbone, monkeypatch):
    from models import VARIANTS, ViTConfig

    monkeypatch.setitem(VARIANTS, "vit_b_16", ViTConfig(**TINY | {"in_channels": 3}))
    torch.manual_seed(0)
    model = TransferModel(TransferConfig("vit_b_16", backbone, image_size=(16, 12), num_classes=3)).eval()
    images = torch.randn(5, 3, 16, 12)
    whole = FeatureExtractor(model, CPU, "fp32")(images)[1]
    model.unfreeze("head", in_chunks=True)
    model.chunk = 2
    chunked = FeatureExtractor(model, CPU, "fp32")(images)[1]
    assert chunked.shape == (5, 24)
    torch.testing.assert_close(chunked, whole, rtol=1e-4, atol=1e-5)


def test_no_hook_stays_and_a_resnet_has_features_too(vit):
    FeatureExtractor(vit, CPU, "fp32")(torch.randn(1, 1, 16, 12))
    assert not any(module._forward_hooks for module in vit.modules())
    resnet = TransferModel(TransferConfig("resnet18", num_classes=2, image_size=(32, 32)))
    assert FeatureExtractor(resnet, CPU, "fp32")(torch.randn(2, 3, 32, 32))[1].shape == (2, 512)
