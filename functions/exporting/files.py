"""Writes the files of an export, and loads each again to compare its logits with PyTorch's."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from functions.exporting import exported_program, huggingface, onnx_file
from functions.exporting.comparison import BATCHES, largest_difference, pytorch_logits, repeated
from functions.exporting.description import to_json
from functions.exporting.preparation import Preparation
from functions.runtime.atomic_files import write_text

FORMATS = ("onnx", "torch", "huggingface")


@dataclass(frozen=True)
class Source:
    """What is exported: the network, its description, how its images are prepared, and slices to check the files with.

    `images` (n, C, H, W) are prepared, `pixels` the same as 8-bit arrays (H, W, C) before they were resized. `tensors`
    and `architecture` are those of Hugging Face's layout, None for a network that has none.
    """

    model: nn.Module
    description: dict
    preparation: Preparation
    images: Tensor
    pixels: Sequence[np.ndarray]
    tensors: dict[str, Tensor] | None = None
    architecture: dict | None = None


@dataclass
class Written:
    """A remark on each file, and what preprocessor_config.json, if there is one, cannot express."""

    files: dict[str, str] = field(default_factory=dict)
    deviations: list[str] = field(default_factory=list)


def write_files(folder: Path, formats: Collection[str], source: Source) -> Written:
    """Writes description.json and the files of each format of FORMATS into a folder.

    RuntimeError if the logits of a file, loaded again, differ from PyTorch's by more than comparison.TOLERANCE for a
    batch of BATCHES, or if its description is another.
    """
    text = to_json(source.description)
    write_text(folder / "description.json", text)
    images = repeated(source.images)
    logits = pytorch_logits(source.model, images)
    written = Written({"description.json": "input, preprocessing, output, classes and caveats"})
    program = exported_program.trace(source.model, *images.shape[1:]) if {"onnx", "torch"} & {*formats} else None
    for name in tqdm(formats, desc="exporting", leave=False, disable=None):
        if name == "huggingface":
            _write_huggingface(folder, source, images, logits, written)
            continue
        assert program is not None
        if name == "onnx":
            file = folder / "model.onnx"
            kind = f"ONNX opset {onnx_file.write_onnx(program, file, text)}"
            run, kept = onnx_file.load_onnx(file)
        else:
            file, kind = folder / "model.pt2", "torch.export"
            exported_program.write_program(program, file, text)
            run, kept = exported_program.load_program(file)
        assert kept == text, f"{file.name} holds another description"
        written.files[file.name] = f"{kind}, {_remark(file, largest_difference(file.name, run, images, logits))}"
    return written


def _remark(file: Path, difference: float) -> str:
    batches = ", ".join(map(str, BATCHES[:-1])) + f" and {BATCHES[-1]}"
    return (f"{file.stat().st_size / 1e6:.1f} MB; logits of {batches} images differ from PyTorch's by at most "
            f"{difference:.1e}")


def _write_huggingface(folder: Path, source: Source, images: Tensor, logits: Tensor, written: Written) -> None:
    assert source.tensors is not None
    assert source.architecture is not None
    names, preparation = source.description["class_names"], source.preparation
    huggingface.write_folder(folder, source.tensors, source.architecture, names, preparation)
    file = folder / "model.safetensors"
    difference = largest_difference(file.name, huggingface.load_folder(folder), images, logits)
    written.files |= {file.name: f"transformers, {_remark(file, difference)}",
                      "config.json": "the architecture, for transformers",
                      "preprocessor_config.json": "the preprocessing, for transformers, as far as it can express it"}
    written.deviations = preparation.deviations()
    if preparation.can_resize:
        found = torch.stack(huggingface.processed(folder, source.pixels))
        std = torch.tensor(preparation.std).view(-1, 1, 1)
        grey = ((found - source.images) * std * 255).abs().max().item()
        changed = (pytorch_logits(source.model, found) - pytorch_logits(source.model, source.images)).abs().max().item()
        measured = (f"on {len(found)} slices, its grey values differ by up to {round(grey)} of 255 and the logits by "
                    f"up to {changed:.1e}")
        written.deviations.append(f"measured at export, {measured}")
        written.files["preprocessor_config.json"] += f": {measured}"
