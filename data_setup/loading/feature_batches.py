"""Batches of precomputed features instead of images, in the same order and with the same labels."""

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from data_setup.loading.batches import Batches
from data_setup.loading.dataloaders import Data
from data_setup.loading.dataset import SliceDataset


class FeatureDataset(Dataset):
    """The slices of a SliceDataset as features (n, V, D), V views each; paths, subjects and labels are unchanged."""

    def __init__(self, slices: SliceDataset, features: Tensor):
        self.paths, self.subjects, self.labels = slices.paths, slices.subjects, slices.labels
        self.features = features

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.features[index], self.labels[index]

    def __getitems__(self, indices: list[int]) -> tuple[Tensor, Tensor]:
        """A whole batch (B, V, D), (B,): DataLoader calls this method if it exists."""
        return self.features[indices], self.labels[indices]


class OneView(nn.Module):
    """(B, V, D) → (B, D): one of the V views of each slice, drawn at random in every call."""

    def forward(self, features: Tensor) -> Tensor:
        batch, views, _ = features.shape
        if views == 1:
            return features[:, 0]
        rows = torch.arange(batch, device=features.device)
        return features[rows, torch.randint(views, (batch,), device=features.device)]


def with_features(data: Data, features: dict[str, Tensor]) -> Data:
    """The data with each split's images replaced by features (n, V, D); all else is unchanged."""
    def batches(old: Batches, shuffle: bool, new: Tensor) -> Batches:
        features = FeatureDataset(old.dataset, new.to(old.dataset.labels.device))
        return Batches(features, old.batch_size, shuffle, OneView(), old.device)

    return replace(data, train=batches(data.train, True, features["train"]),
                   val=batches(data.val, False, features["val"]), test=batches(data.test, False, features["test"]))
