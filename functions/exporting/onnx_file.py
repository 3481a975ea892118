"""The network as an ONNX file."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.export import ExportedProgram

from functions.runtime.atomic_files import write_atomically

KEY = "description"            # of the metadata_props entry that holds the description
MAX_BYTES = 2**31 - 2**24      # an ONNX file is one protobuf message of less than 2 GiB


def too_large(model: torch.nn.Module) -> str:
    """Why the weights do not fit into one ONNX file; "" if they do."""
    size = sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
    return f"the weights take {size / 2**30:.1f} GiB, one ONNX file holds less than 2" if size > MAX_BYTES else ""


def write_onnx(program: ExportedProgram, file: Path, description: str) -> int:
    """Writes a traced network with input "images" (batch, C, H, W) and output "logits" (batch, K); returns the opset.
    """
    made = torch.onnx.export(program, program.example_inputs[0], input_names=["images"], output_names=["logits"],
                             dynamic_shapes=({0: "batch"},), dynamo=True, verbose=False)
    made.model.metadata_props[KEY] = description
    content = made.model_proto.SerializeToString()
    write_atomically(file, lambda opened: opened.write(content))
    return made.model.opset_imports[""]


def load_onnx(file: Path) -> tuple[Callable[[Tensor], Tensor], str]:
    """(images → logits on the CPU, the description) of a file, run by onnxruntime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])

    def run(images: Tensor) -> Tensor:
        return torch.from_numpy(np.asarray(session.run(["logits"], {"images": images.numpy()})[0]))

    return run, session.get_modelmeta().custom_metadata_map[KEY]
