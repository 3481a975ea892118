from dataclasses import replace

import onnxruntime
import pytest
import torch
from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet

from functions.exporting.exported_program import trace
from functions.exporting.onnx_file import KEY, load_onnx, too_large, write_onnx
from models import VARIANTS, build
from models.config import HybridConfig
from models.hybrid import HybridViT
from models.transfer import TransferConfig, TransferModel
from tests.conftest import ROOT
from tests.models import parity

HEIGHT, WIDTH = 32, 48
TINY = {"num_layers": 1, "embedding_dim": 12, "num_heads": 3, "mlp_size": 20}
DESCRIPTION = '{"class_names": ["A", "ä"]}'


class Every(nn.Module):
    """RGB images → the logits of all networks side by side; networks of one channel get the first."""

    def __init__(self, networks):
        super().__init__()
        self.networks = nn.ModuleDict(networks)

    def forward(self, images):
        return torch.cat([net(images[:, :net.config.in_channels]) for net in self.networks.values()], dim=1)


def short_resnet(weights):
    """torchvision's ResNet with one residual unit instead of eight."""
    net = ResNet(BasicBlock, [1, 1, 1, 1])
    net.layer2 = net.layer3 = net.layer4 = nn.Identity()
    net.fc = nn.Linear(64, 1000)
    return net


@pytest.fixture(scope="module")
def every():
    """Small graphs, for exporting takes a time per node whatever the sizes.

    A ViT from scratch is exported in tests/tools/test_export.py, one as a backbone in test_exported_program.py.
    """
    torch.manual_seed(0)
    size = {"image_size": (HEIGHT, WIDTH), "num_classes": 3}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(VARIANTS, "vit_b_16", replace(VARIANTS["vit_b_16"], **TINY))
        patch.setattr("torchvision.models.resnet18", short_resnet)
        networks = {
            "hybrid": HybridViT(HybridConfig(patch_size=16, units=(), stem_patch=4, stem_width=32, **size, **TINY)),
            "torchvision": TransferModel(TransferConfig("vit_b_16", in_channels=1, gelu="tanh", **size)),
            "resnet": TransferModel(TransferConfig("resnet18", **size))}
    return Every({name: parity.perturbed(net, seed) for seed, (name, net) in enumerate(networks.items())}).eval()


@pytest.fixture(scope="module")
def program(every):
    return trace(every, 3, HEIGHT, WIDTH)


@pytest.fixture(scope="module")
def images():
    return torch.randn(33, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(4))


@pytest.fixture(scope="module")
def file(program, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    assert write_onnx(program, path, DESCRIPTION) >= 18
    return path


def test_every_kind_of_network_has_its_logits_at_any_batch(every, images, file):
    run, description = load_onnx(file)
    assert description == DESCRIPTION
    with torch.no_grad():
        expected = every(images)
    assert expected.std() > 0.3
    for count in (1, 2, 3, 33):
        torch.testing.assert_close(run(images[:count]), expected[:count], atol=1e-4, rtol=0)


def test_input_and_output_have_names_and_a_dynamic_batch(file):
    session = onnxruntime.InferenceSession(file)
    [images], [logits] = session.get_inputs(), session.get_outputs()
    assert (images.name, images.shape, images.type) == ("images", ["batch", 3, HEIGHT, WIDTH], "tensor(float)")
    assert (logits.name, logits.shape) == ("logits", ["batch", 3 * 3])
    assert KEY in session.get_modelmeta().custom_metadata_map
    assert list(file.parent.iterdir()) == [file], "the weights are inside"


def test_no_path_of_this_machine_is_in_the_file(file):
    content = file.read_bytes()
    assert str(ROOT).encode() not in content
    assert torch.__path__[0].encode() not in content


def test_weights_beyond_two_gibibytes_do_not_fit_in_one_file():
    with torch.device("meta"):
        assert too_large(build("vit_l_16")) == ""
        assert too_large(build("vit_h_14")) == "the weights take 2.4 GiB, one ONNX file holds less than 2"
