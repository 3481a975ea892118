import pytest
import torch

from functions.runtime.errors import UserError
from functions.training.optimisation import CrossEntropy, make_optimizer
from models import ViT, ViTConfig


@pytest.fixture
def model():
    return ViT(ViTConfig(image_size=16, patch_size=8, num_layers=2, embedding_dim=12, num_heads=3, num_classes=4))


def test_decay_touches_matrices_and_nothing_else(model):
    """With a zero gradient AdamW only decays: what moves is exactly the kernels."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1.0)
            parameter.grad = torch.zeros_like(parameter)
    make_optimizer(model, "adamw", lr=0.1, weight_decay=0.5).step()
    moved = {name for name, parameter in model.named_parameters() if (parameter != 1).any()}
    kernels = {"patch_embedding.project.weight", "classifier.weight"}
    for i in range(2):
        attention, mlp = f"encoder.{i}.msa_block.attention", f"encoder.{i}.mlp_block.mlp"
        kernels |= {f"{attention}.in_proj_weight", f"{attention}.out_proj.weight", f"{mlp}.0.weight", f"{mlp}.3.weight"}
    assert moved == kernels
    assert model.classifier.weight.unique().item() == pytest.approx(1 - 0.1 * 0.5)


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
def test_every_parameter_is_handed_over_once(model, name):
    optimizer = make_optimizer(model, name, lr=1e-3, weight_decay=0.03)
    handed = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(handed) == sorted(map(id, model.parameters()))
    settings = optimizer.param_groups[0]
    assert settings["momentum"] == 0.9 if name == "sgd" else settings["betas"] == (0.9, 0.999)


def test_adam_is_the_replicated_repositorys_l2_and_not_adamws_decay(model):
    """With a zero gradient Adam's L2 term is the whole gradient: every parameter moves by about the rate."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1.0)
            parameter.grad = torch.zeros_like(parameter)
    make_optimizer(model, "adam", lr=0.1, weight_decay=0.03).step()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter, torch.full_like(parameter, 0.9), msg=name)


def test_frozen_parameters_are_not_handed_over(model):
    model.patch_embedding.requires_grad_(False)
    optimizer = make_optimizer(model, "adamw", lr=1e-3, weight_decay=0.03)
    handed = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert not handed & set(map(id, model.patch_embedding.parameters()))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weight", [None, torch.tensor([0.2, 1.0, 2.5])])
def test_the_loss_of_a_mixed_image_is_the_mixture_of_its_two_losses(smoothing, weight):
    """λ CE(a) + (1 - λ) CE(b), as Zhang et al. 2018 have it, with class weights and label smoothing, too."""
    logits, a, b = torch.randn(6, 3), torch.tensor([0, 1, 2, 0, 1, 2]), torch.tensor([1, 1, 0, 2, 0, 1])
    loss_fn = CrossEntropy(weight, reduction="none", label_smoothing=smoothing)
    one, other = (torch.nn.functional.one_hot(labels, 3) for labels in (a, b))
    expected = 0.3 * loss_fn(logits, a) + 0.7 * loss_fn(logits, b)
    torch.testing.assert_close(loss_fn(logits, 0.3 * one + 0.7 * other), expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_padding_has_no_loss_and_no_gradient_whether_labels_are_hard_or_soft(smoothing):
    loss_fn, found = CrossEntropy(torch.tensor([0.2, 1.0, 2.5]), reduction="none", label_smoothing=smoothing), []
    for labels in (torch.tensor([1, 2, -100]), torch.tensor([[0.0, 1, 0], [0, 0, 1], [0, 0, 0]])):
        logits = torch.linspace(-1, 1, 9).view(3, 3).requires_grad_()
        loss = loss_fn(logits, labels)
        loss.sum().backward()
        found.append((loss, logits.grad))
        assert not loss[2]
        assert not logits.grad[2].any()
    torch.testing.assert_close(*found)


def test_unknown_optimizer_is_refused(model):
    with pytest.raises(ValueError, match="sgdx.*adamw"):
        make_optimizer(model, "sgdx", 1e-3, 0)


def test_sgd_is_the_papers_momentum(model):
    """Two steps of a gradient of one: the second is 1 + 0.9 times as long as the first."""
    optimizer = make_optimizer(model, "sgd", lr=0.1, weight_decay=0.0)
    parameter = model.classifier.bias
    moved = []
    for _ in range(2):
        before = parameter.detach().clone()
        parameter.grad = torch.ones_like(parameter)
        optimizer.step()
        moved.append((before - parameter).detach().mean().item())
    assert moved == pytest.approx([0.1, 0.19])


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
def test_every_parameter_learns_at_its_own_rate(model, name):
    rates = {n: 0.5 if n.startswith("encoder.0") else 1.0 for n, _ in model.named_parameters()}
    optimizer = make_optimizer(model, name, lr=0.2, weight_decay=0.03, rates=rates)
    given = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert {n: given[id(p)] for n, p in model.named_parameters()} == pytest.approx(
        {n: 0.2 * rate for n, rate in rates.items()})


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
def test_all_parameters_are_updated_in_one_pass(model, name):
    assert all(group["fused"] for group in make_optimizer(model, name, 1e-3, 0.1).param_groups)


def test_decay_leaves_out_the_positions_and_class_token_of_torchvisions_vit_too():
    import torchvision

    net = torchvision.models.VisionTransformer(16, 8, 1, 3, 12, 20, num_classes=4)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(1.0)
            parameter.grad = torch.zeros_like(parameter)
    make_optimizer(net, "adamw", lr=0.1, weight_decay=0.5).step()
    moved = {name for name, parameter in net.named_parameters() if (parameter != 1).any()}
    attention, mlp = "encoder.layers.encoder_layer_0.self_attention", "encoder.layers.encoder_layer_0.mlp"
    assert moved == {"conv_proj.weight", "heads.head.weight", f"{attention}.in_proj_weight",
                     f"{attention}.out_proj.weight", f"{mlp}.0.weight", f"{mlp}.3.weight"}


def test_a_decay_that_no_weight_survives_is_refused():
    model = torch.nn.Linear(3, 5)
    make_optimizer(model, "adamw", 0.1, 9.9)
    make_optimizer(model, "sgd", 1.0, 1.0)
    with pytest.raises(UserError, match=r"weight_decay 10 times lr 0\.1 is 1"):
        make_optimizer(model, "adamw", 0.1, 10.0)
