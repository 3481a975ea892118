"""The folder that transformers' ViTForImageClassification.from_pretrained loads."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import save
from torch import Tensor

from functions.exporting.preparation import Preparation
from functions.runtime.atomic_files import write_atomically, write_json


def write_folder(folder: Path, tensors: dict[str, Tensor], architecture: dict, class_names: Sequence[str],
                 preparation: Preparation) -> None:
    """Writes model.safetensors, config.json and preprocessor_config.json.

    `tensors` and `architecture` are models.pretrained's `to_huggingface` and `huggingface_config`.
    """
    content = save({name: tensor.contiguous() for name, tensor in tensors.items()}, metadata={"format": "pt"})
    write_atomically(folder / "model.safetensors", lambda opened: opened.write(content))
    write_json(folder / "config.json", architecture | {
        "id2label": {str(number): name for number, name in enumerate(class_names)},
        "label2id": {name: number for number, name in enumerate(class_names)},
        "problem_type": "single_label_classification", "dtype": "float32"})
    write_json(folder / "preprocessor_config.json", preparation.processor())


def load_folder(folder: Path) -> Callable[[Tensor], Tensor]:
    """images → logits of transformers' own network; RuntimeError if it does not use every tensor of the file."""
    import torch
    from transformers import ViTForImageClassification
    from transformers.utils import logging

    logging.disable_progress_bar()
    loaded: Any = ViTForImageClassification.from_pretrained(folder, output_loading_info=True, local_files_only=True)
    net, info = loaded
    if unused := {name: found for name, found in info.items() if found}:
        raise RuntimeError(f"transformers loads {folder} with {unused}")

    def run(images: Tensor) -> Tensor:
        with torch.inference_mode():
            return net.eval()(pixel_values=images).logits

    return run


def processed(folder: Path, images: Sequence[np.ndarray]) -> list[Tensor]:
    """8-bit images (H, W, C) as transformers' image processor prepares them, each (C, height, width)."""
    from PIL import Image
    from transformers import AutoImageProcessor

    processor = AutoImageProcessor.from_pretrained(folder, local_files_only=True)
    opened = [Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image) for image in images]
    return [processor(image, return_tensors="pt")["pixel_values"][0] for image in opened]
