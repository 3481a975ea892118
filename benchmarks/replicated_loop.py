"""The replicated repository's model and loop, reimplemented from a description, as a baseline for speed.

Images are decoded from their files in every epoch, in the process that trains (`ImageFolder`, no workers); two numbers
are fetched from the device with every batch; Adam without a fused step; no mixed precision. Its dropout is left out,
which can only make it faster.
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from models import ViTConfig

IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


class Attention(nn.Module):
    """LayerNorm (epsilon 1e-5), then nn.MultiheadAttention's own forward."""

    def __init__(self, config: ViTConfig):
        super().__init__()
        self.norm = nn.LayerNorm(config.embedding_dim)
        self.attention = nn.MultiheadAttention(config.embedding_dim, config.num_heads, batch_first=True)

    def forward(self, z: Tensor) -> Tensor:
        x = self.norm(z)
        return self.attention(query=x, key=x, value=x, need_weights=False)[0]


class Block(nn.Module):
    def __init__(self, config: ViTConfig):
        super().__init__()
        d = config.embedding_dim
        self.attention = Attention(config)
        self.mlp = nn.Sequential(nn.LayerNorm(d), nn.Linear(d, config.mlp_size), nn.GELU(),
                                 nn.Linear(config.mlp_size, d))

    def forward(self, z: Tensor) -> Tensor:
        z = self.attention(z) + z
        return self.mlp(z) + z


class ReplicatedViT(nn.Module):
    """The same Vision Transformer with its class token and positions drawn from N(0, 1): images → logits."""

    def __init__(self, config: ViTConfig):
        super().__init__()
        d, patch = config.embedding_dim, config.patch_size
        self.project = nn.Conv2d(config.in_channels, d, patch, patch)
        self.class_token = nn.Parameter(torch.randn(1, 1, d))
        self.positions = nn.Parameter(torch.randn(1, config.num_patches + 1, d))
        self.encoder = nn.Sequential(*(Block(config) for _ in range(config.num_layers)))
        self.classifier = nn.Sequential(nn.LayerNorm(d), nn.Linear(d, config.num_classes))

    def forward(self, images: Tensor) -> Tensor:
        patches = self.project(images).flatten(2).permute(0, 2, 1)
        tokens = torch.cat((self.class_token.expand(len(images), -1, -1), patches), dim=1) + self.positions
        return self.classifier(self.encoder(tokens)[:, 0])


def loader(folder: Path, paths: list[str], image_size: tuple[int, int], batch_size: int, shuffle: bool) -> DataLoader:
    """These files of a folder of class folders, decoded whenever they are asked for."""
    transform = v2.Compose([v2.Resize(image_size), v2.ToImage(), v2.ToDtype(torch.float32, scale=True),
                            v2.Normalize(**IMAGENET)])
    images, wanted = ImageFolder(folder, transform), set(paths)
    images.samples = [sample for sample in images.samples if sample[0] in wanted]
    return DataLoader(images, batch_size, shuffle=shuffle, pin_memory=torch.cuda.is_available())


def make_optimizer(model: nn.Module) -> torch.optim.Optimizer:
    """Adam over every parameter, frozen or not."""
    return torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=0.03)


def train_epoch(model: nn.Module, batches, optimizer: torch.optim.Optimizer, device: torch.device) -> float:
    """One training pass; the mean loss over its batches."""
    model.train()
    loss_fn, total, right = nn.CrossEntropyLoss(), 0.0, 0.0
    for images, labels in batches:
        images, labels = images.to(device), labels.to(device)
        logits = model(images)
        loss = loss_fn(logits, labels)
        total += loss.item()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        right += (logits.softmax(dim=1).argmax(dim=1) == labels).sum().item() / len(labels)
    return total / len(batches)


@torch.inference_mode()
def test_epoch(model: nn.Module, batches, device: torch.device) -> float:
    """One evaluation pass; the mean accuracy over its batches."""
    model.eval()
    right = 0.0
    for images, labels in batches:
        images, labels = images.to(device), labels.to(device)
        logits = model(images)
        nn.functional.cross_entropy(logits, labels).item()
        right += (logits.argmax(dim=1) == labels).sum().item() / len(labels)
    return right / len(batches)
