import pytest
import torch

from functions.runtime.errors import UserError
from models.small import SMALL, small_network, token_size


@pytest.mark.parametrize("name", SMALL)
def test_every_network_maps_gray_images_to_logits_and_is_trained_wholly(name):
    torch.manual_seed(0)
    net = small_network(name, (48, 40), 3).eval()
    assert net(torch.randn(2, 1, 48, 40)).shape == (2, 3)
    assert all(parameter.requires_grad for parameter in net.parameters())


def test_the_vit_and_the_hybrid_have_the_same_tokens():
    vit, hybrid = (small_network(name, (48, 40), 3) for name in ("vit", "hybrid"))
    assert vit.config.grid == hybrid.config.grid == (6, 5)
    assert type(hybrid).__name__ == "HybridViT"


@pytest.mark.parametrize(("size", "side"), [((48, 40), 8), ((96, 80), 16), ((104, 88), 8), ((64, 64), 8),
                                            ((208, 176), 16)])
def test_tokens_are_larger_in_larger_images(size, side):
    assert token_size(size) == side


@pytest.mark.parametrize("size", [(32, 40), (48, 36), (40, 44)])
def test_sizes_that_a_network_cannot_take_are_refused(size):
    with pytest.raises(UserError, match="multiples of 8 and at least 40"):
        token_size(size)
