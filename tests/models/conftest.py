import pytest
import torch

from models import ViTConfig


@pytest.fixture
def config():
    """Sizes that all differ: a swapped axis cannot pass. 2×3 patches and the class token make 7 tokens."""
    return ViTConfig(image_size=(10, 15), patch_size=5, in_channels=3, num_classes=4, num_layers=2, embedding_dim=12,
                     num_heads=3, mlp_size=20)


@pytest.fixture
def randomise():
    """Gives every parameter, biases and norms and positions too, values that matter."""

    def fill(module, seed=0):
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in module.parameters():
                noise = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
                parameter.add_(0.3 * noise)
        return module

    return fill
