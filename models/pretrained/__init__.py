"""Loading pretrained weights of several libraries into the hand-written ViT, and exporting them to torchvision and
Hugging Face.
"""

from models.pretrained.load import load_pretrained, to_huggingface, to_torchvision

__all__ = ["load_pretrained", "to_huggingface", "to_torchvision"]
