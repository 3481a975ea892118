"""Pretrained weights of any library in the hand-written ViT, and the way back."""

from models.pretrained.load import load_pretrained, to_torchvision

__all__ = ["load_pretrained", "to_torchvision"]
