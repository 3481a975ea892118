import json

import numpy as np
import pytest
import torch

from functions.exporting import exported_program
from functions.exporting.files import Source, write_files
from functions.exporting.preparation import Preparation

SHAPE = (1, 4, 3)


def source():
    preparation = Preparation((4, 3), "fit", 1.0, "bilinear", (0.3,), (0.2,))
    images = torch.randn(5, *SHAPE, generator=torch.Generator().manual_seed(0))
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3))
    return Source(net, {"class_names": ["A", "B", "C"]}, preparation, images, [np.zeros((8, 6, 1), np.uint8)] * 5)


def test_each_file_is_loaded_again_and_its_difference_told(tmp_path):
    """The other formats, and all together, in tests/tools/test_export.py."""
    written = write_files(tmp_path, ["torch"], source())
    names = ["description.json", "model.pt2"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(written.files) == names
    assert json.loads((tmp_path / "description.json").read_text()) == {"class_names": ["A", "B", "C"]}
    remark = written.files["model.pt2"]
    assert "torch.export, 0.0 MB; logits of 1, 3 and 33 images differ from PyTorch's by at most " in remark
    assert float(remark.split()[-1]) < 1e-6
    assert written.deviations == []


def test_a_file_with_other_logits_is_an_error(tmp_path, monkeypatch):
    """As an exporter's fault would be: the program is of a network whose bias is 0.001 larger."""
    real = exported_program.trace

    def trace(model, *shape):
        program = real(model, *shape)
        next(tensor for name, tensor in program.state_dict.items() if name.endswith("bias")).data += 1e-3
        return program

    monkeypatch.setattr(exported_program, "trace", trace)
    with pytest.raises(RuntimeError, match="model.pt2: logits of 1 images differ from PyTorch's by .*, more than"):
        write_files(tmp_path, ["torch"], source())


def test_a_description_that_is_changed_on_the_way_is_an_error(tmp_path, monkeypatch):
    real = exported_program.write_program
    monkeypatch.setattr(exported_program, "write_program", lambda program, file, text: real(program, file, text + " "))
    with pytest.raises(AssertionError, match="model.pt2 holds another description"):
        write_files(tmp_path, ["torch"], source())
