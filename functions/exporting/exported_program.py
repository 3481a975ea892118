"""The network as a program of torch.export, in a .pt2 file."""

import io
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from functions.runtime.atomic_files import write_atomically

NAME = "description.json"      # the extra file that holds the description
TRACED = 2                     # images: torch.export takes 1 for a constant


def trace(model: nn.Module, channels: int, height: int, width: int) -> ExportedProgram:
    """images (B, C, H, W) → logits (B, K) as a graph for any B; channels, height and width are fixed.

    Traced in eval mode with zeros: a program keeps its example inputs, and no slice of a patient may be in a file. The
    source paths of this machine are removed, too.
    """
    images = torch.zeros(TRACED, channels, height, width)
    with torch.no_grad():
        program = torch.export.export(model.eval(), (images,), dynamic_shapes=({0: Dim("batch", min=1)},))
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    return program


def write_program(program: ExportedProgram, file: Path, description: str) -> None:
    """Writes the program, with the description as the extra file NAME."""
    content = io.BytesIO()
    torch.export.save(program, content, extra_files={NAME: description})
    write_atomically(file, lambda opened: opened.write(content.getbuffer()))


def load_program(file: Path) -> tuple[Callable[[Tensor], Tensor], str]:
    """(images → logits, the description) of a file; loading runs code of a file that was made for that purpose."""
    extra = {NAME: ""}
    module = torch.export.load(file, extra_files=extra).module()

    def run(images: Tensor) -> Tensor:
        with torch.no_grad():
            return module(images)

    return run, extra[NAME]
