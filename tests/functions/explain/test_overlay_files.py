import pytest
import torch
from PIL import Image

from functions.explain import overlay_files
from functions.explain.maps import explain
from functions.explain.overlay import overlay_figure
from functions.explain.overlay_files import OverlayFiles
from functions.runtime.errors import UserError
from models import build
from models.transfer import TransferConfig, TransferModel


def test_files_are_numbered_in_order_and_the_same_again(tmp_path):
    torch.manual_seed(0)
    model = build("vit_ti_16", image_size=16, patch_size=4, in_channels=1, num_classes=2, num_layers=2,
                  embedding_dim=12, num_heads=3, mlp_size=20).eval()
    images, probabilities = torch.randn(2, 1, 16, 16), torch.tensor([[0.2, 0.8], [0.6, 0.4]])
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        files = OverlayFiles(tmp_path / folder, model, ["AD", "CN"]).write(["x/a b.png", "y/é:c.tif"], images,
                                                                          probabilities)
        assert files == [str(tmp_path / folder / "000001_a_b.png"), str(tmp_path / folder / "000002_é_c.png")]
    first, second = ((tmp_path / folder / "000001_a_b.png").read_bytes() for folder in ("one", "two"))
    assert first == second
    assert min(Image.open(tmp_path / "one" / "000002_é_c.png").size) > 200


def test_a_map_is_of_the_class_in_its_caption(tmp_path, monkeypatch, make, pictures):
    """Averaged views can have another most probable class than the image itself."""
    drawn = []
    monkeypatch.setattr(overlay_files, "overlay_figure", lambda *of: drawn.append(of[1:]) or overlay_figure(*of))
    model, images = make("ours"), pictures("ours")
    probabilities = torch.eye(5)[[4, 0]]
    OverlayFiles(tmp_path, model, list("ABCDE")).write(["a", "b"], images, probabilities)
    maps = explain(model, images, "relevance", target=torch.tensor([4, 0]))
    for (_, caption, caveat), name in zip(drawn, "EA", strict=True):
        assert caption == f"{name} 1.000, relevance{'' if caveat else ', passes all tests'}"
    torch.testing.assert_close(torch.stack([shares for shares, *_ in drawn]), maps)
    assert not torch.allclose(maps, explain(model, images, "relevance"), atol=1e-3)


def test_a_network_without_attention_is_refused_at_once(tmp_path):
    with pytest.raises(UserError, match="no self-attention"):
        OverlayFiles(tmp_path, TransferModel(TransferConfig("resnet18", num_classes=2, image_size=32)), ["A", "B"])
