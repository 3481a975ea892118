from dataclasses import replace

import pytest
import torch

from functions.exporting.exported_program import NAME, load_program, trace, write_program
from models import VARIANTS
from models.transfer import TransferConfig, TransferModel
from tests.conftest import ROOT
from tests.functions.exporting.test_onnx_file import TINY
from tests.models import parity

SHAPE = (1, 32, 48)


@pytest.fixture(scope="module")
def network():
    """A fine-tuned hand-written ViT; other networks are exported in test_onnx_file.py, which begins with `trace`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(VARIANTS, "vit_b_16", replace(VARIANTS["vit_b_16"], **TINY))
        return parity.perturbed(TransferModel(TransferConfig("vit_b_16", "ours", SHAPE[1:], 1, 3)), 0)


@pytest.fixture(scope="module")
def program(network):
    return trace(network, *SHAPE)


@pytest.fixture(scope="module")
def file(program, tmp_path_factory):
    path = tmp_path_factory.mktemp("torch") / "model.pt2"
    write_program(program, path, '{"use": "ä"}')
    return path


def test_a_loaded_program_has_the_networks_logits_at_any_batch(network, file):
    run, description = load_program(file)
    assert description == '{"use": "ä"}'
    images = torch.randn(33, *SHAPE, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        expected = network(images)
    assert expected.std() > 0.2
    for count in (1, 2, 3, 33):
        torch.testing.assert_close(run(images[:count]), expected[:count], atol=1e-4, rtol=0)
    assert not run(images[:3]).requires_grad


def test_neither_an_image_nor_a_path_of_this_machine_is_in_the_file(program, file):
    """A program keeps the inputs that it was traced with."""
    content = file.read_bytes()
    assert NAME.encode() in content
    assert str(ROOT).encode() not in content
    assert torch.__path__[0].encode() not in content
    [[kept], _] = program.example_inputs
    assert kept.shape == (2, *SHAPE)
    assert not kept.any()


def test_a_network_in_training_mode_is_traced_without_dropout():
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Dropout(0.5)).train()
    assert torch.equal(trace(net, 1, 2, 3).module()(torch.ones(4, 1, 2, 3)), torch.ones(4, 6))
