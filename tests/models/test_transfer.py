import pytest
import torch
import torchvision
from torch import nn

from functions.checkpointing.checkpoint import config_from_plain, config_to_plain
from functions.runtime.errors import UserError
from models import VARIANTS
from models.config import ViTConfig
from models.pretrained.load import library_names
from models.transfer import TransferConfig, TransferModel, layer_lr_factors
from models.vit import ViT

TINY = ViTConfig(patch_size=4, num_layers=3, embedding_dim=12, num_heads=3, mlp_size=20)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """vit_b_16 at a size that a test can afford; the ResNets are small enough as they are."""
    monkeypatch.setitem(VARIANTS, "vit_b_16", TINY)


def make(model="vit_b_16", seed=0, **fields):
    torch.manual_seed(seed)
    made = TransferModel(TransferConfig(model, **{"image_size": (16, 12), "num_classes": 5} | fields))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.1 * torch.randn(parameter.shape)
    return made


def images(count=3, channels=3, size=(16, 12), seed=9):
    return torch.randn(count, channels, *size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", ["vit_b_32", "vit_l_16", "vit_h_14"])
def test_the_backbone_is_torchvisions_own_network(name):
    """Every parameter of torchvision's builder but the head is there, under its name and in its shape."""
    with torch.device("meta"):
        ours = TransferModel(TransferConfig(name)).backbone.state_dict()
        theirs = getattr(torchvision.models, name)().state_dict()
    expected = {n: t.shape for n, t in theirs.items() if not n.startswith("heads.")}
    assert {n: t.shape for n, t in ours.items()} == expected


def test_a_square_image_goes_through_it_as_through_torchvisions():
    model = make(image_size=(16, 16)).eval()
    theirs = torchvision.models.VisionTransformer(16, 4, 3, 3, 12, 20, num_classes=5)
    theirs.load_state_dict({**model.backbone.state_dict(), "heads.head.weight": model.head.weight,
                            "heads.head.bias": model.head.bias})
    with torch.no_grad():
        torch.testing.assert_close(model(images(size=(16, 16))), theirs.eval()(images(size=(16, 16))))


@pytest.mark.parametrize("channels", [1, 3])
def test_the_hand_written_vit_with_the_same_weights_gives_the_same_numbers(channels):
    ours = make(backbone="ours", in_channels=channels, norm_eps=1e-3).eval()
    theirs = make(backbone="torchvision", in_channels=channels, norm_eps=1e-3).eval()
    theirs.backbone.load_state_dict(library_names("torchvision", ours.backbone.state_dict()))
    theirs.head.load_state_dict(ours.head.state_dict())
    with torch.no_grad():
        pictures = images(channels=channels)
        torch.testing.assert_close(ours(pictures), theirs(pictures), atol=1e-5, rtol=0)


@pytest.mark.parametrize("backbone", ["ours", "torchvision"])
def test_as_a_hand_written_vit_it_has_the_same_logits(backbone):
    model = make(backbone=backbone, in_channels=1, norm_eps=1e-3, gelu="tanh").eval()
    with torch.no_grad():
        torch.testing.assert_close(model.as_vit()(images(channels=1)), model(images(channels=1)), atol=1e-5, rtol=0)


@pytest.mark.parametrize("fields", [{"pool": "mean"}, {"pool": "mean_then_norm"}, {"pre_norm": True, "gelu": "quick"}])
def test_pooling_and_clips_norm_and_gelu_reach_the_hand_written_vit_and_the_checkpoint(fields):
    model = make(backbone="ours", **fields).eval()
    written = config_from_plain(config_to_plain(model.config))
    assert written == model.config
    with torch.no_grad():
        logits = model(images())
        torch.testing.assert_close(model.as_vit()(images()), logits, atol=1e-5, rtol=0)
        assert (make(backbone="ours").eval()(images()) - logits).abs().max() > 1e-2
    with pytest.raises(UserError, match="needs the hand-written ViT, --backbone ours: torchvision's vit_b_16"):
        make(backbone="torchvision", **fields)
    old = {name: value for name, value in config_to_plain(make().config).items() if name not in ("pool", "pre_norm")}
    assert config_from_plain(old) == make().config, "checkpoints from before these settings"


def test_a_resnet_is_no_vit():
    with pytest.raises(UserError, match="--pool mean has no effect on resnet18"):
        make("resnet18", pool="mean")
    with pytest.raises(UserError, match="resnet18 is no Vision Transformer"):
        make("resnet18").as_vit()


def test_stochastic_depth_leaves_out_the_same_branches_in_both_backbones():
    ours, theirs = (make(backbone=backbone, drop_path=0.6) for backbone in ("ours", "torchvision"))
    plain = make(backbone="torchvision")
    assert list(theirs.state_dict()) == list(plain.state_dict())
    for model in (theirs, plain):
        model.backbone.load_state_dict(library_names("torchvision", ours.backbone.state_dict()))
        model.head.load_state_dict(ours.head.state_dict())
    pictures, results = images(8), []
    for model in (ours, theirs, plain):
        model.unfreeze("all")
        torch.manual_seed(4)
        results.append(model.train()(pictures))
    torch.testing.assert_close(results[0], results[1], atol=1e-5, rtol=0)
    assert (results[1] - results[2]).abs().max() > 1e-3
    with torch.no_grad():
        assert torch.equal(theirs.eval()(pictures), plain.eval()(pictures))


def test_stochastic_depth_is_for_the_trained_blocks_of_a_vit():
    model = make(drop_path=0.6)
    model.unfreeze("last:1")
    model.train()
    blocks = model.backbone.encoder.layers
    assert [block.dropout.training for block in blocks] == [block.mlp[-1].training for block in blocks] == [
        False, False, True]
    with pytest.raises(ValueError, match=r"drop_path 0\.1 has no effect on resnet18"):
        TransferConfig("resnet18", image_size=32, drop_path=0.1)


def test_a_new_head_is_zero():
    model = TransferModel(TransferConfig("vit_b_16", image_size=(16, 12), num_classes=5))
    assert not model.head.weight.any()
    assert not model.head.bias.any()


def test_an_image_of_another_size_is_refused():
    with pytest.raises(ValueError, match="images are .*12, 16.*takes .*16, 12"):
        make()(images(size=(12, 16)))


@pytest.mark.parametrize("name", ["vit_b_16", "resnet18"])
def test_features_do_not_depend_on_the_batch_an_image_comes_in(name):
    """To the last bit: alone, in a batch of 5 or of 70, first or last."""
    size = (64, 48) if name == "resnet18" else (16, 12)
    model, pictures = make(name, image_size=size).eval(), images(70, size=size)
    whole = model.features(pictures)
    assert torch.equal(model.features(pictures[40:45]), whole[40:45])
    assert torch.equal(model.features(pictures[69:]), whole[69:])
    order = torch.randperm(70, generator=torch.Generator().manual_seed(1))
    assert torch.equal(model.features(pictures[order]), whole[order])


def learn(model):
    """One step of AdamW, which moves every parameter that it is given; who moved."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01, weight_decay=0.1)
    size = model.config.image_size
    nn.functional.cross_entropy(model(images(6, size=size)), torch.arange(6) % 5).backward()
    assert all((p.grad is not None) == p.requires_grad for p in model.parameters())
    optimizer.step()
    return {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}


@pytest.mark.parametrize("backbone", ["torchvision", "ours"])
@pytest.mark.parametrize(("part", "blocks"), [("head", []), ("last:1", [2]), ("last:2", [1, 2]), ("all", [0, 1, 2])])
def test_frozen_means_frozen_in_a_vit(part, blocks, backbone):
    model = make(backbone=backbone)
    model.unfreeze(part)
    moved = learn(model)
    names = set(dict(model.named_parameters()))
    norm, block = ("norm", "encoder.{}.") if backbone == "ours" else ("encoder.ln", "encoder.layers.encoder_layer_{}.")
    expected = {"head.weight", "head.bias"}
    if blocks:
        starts = tuple(f"backbone.{block.format(i)}" for i in blocks) + (f"backbone.{norm}.",)
        expected |= {name for name in names if name.startswith(starts)}
    assert moved == (names if part == "all" else expected)


@pytest.mark.parametrize(("part", "stages"), [("head", ()), ("last:1", ("layer4",)), ("last:2", ("layer3", "layer4"))])
def test_frozen_means_frozen_in_a_resnet_running_statistics_too(part, stages):
    model = make("resnet18", image_size=(32, 32))
    model.unfreeze(part)
    moved = learn(model)
    starts = tuple(f"backbone.{stage}." for stage in stages)
    state = model.state_dict()
    expected = {name for name in state if name.startswith(starts)} if starts else set()
    assert moved == {"head.weight", "head.bias"} | expected
    for name, module in model.backbone.named_modules():
        assert module.training == name.startswith(stages or ("nothing",)), name
    assert not any(module.training for module in model.eval().modules())


def test_more_blocks_than_there_are_is_refused():
    with pytest.raises(ValueError, match="--train last:4, but vit_b_16 has 3 blocks"):
        make().unfreeze("last:4")


@pytest.mark.parametrize("backbone", ["torchvision", "ours"])
def test_each_block_learns_slower_than_the_one_above_it(backbone):
    model = make(backbone=backbone)
    rates = layer_lr_factors(model, 0.5)
    assert set(rates) == set(dict(model.named_parameters()))
    assert rates["head.weight"] == 1
    by_block = {0: set(), 1: set(), 2: set()}
    for name, rate in rates.items():
        for i, seen in by_block.items():
            if f"encoder_layer_{i}." in name or f"encoder.{i}." in name:
                seen.add(rate)
    assert by_block == {0: {0.125}, 1: {0.25}, 2: {0.5}}
    before = {name: rate for name, rate in rates.items() if "conv_proj" in name or "patch_embedding" in name
              or name.endswith(("class_token", "pos_embedding"))}
    assert len(before) == 4
    assert set(before.values()) == {0.0625}
    assert [rates[n] for n in rates if n.endswith(("backbone.norm.weight", "encoder.ln.weight"))] == [1]


def test_a_resnets_stages_are_its_blocks():
    rates = layer_lr_factors(make("resnet18"), 0.5)
    assert rates["backbone.layer4.1.bn2.weight"] == 0.5
    assert rates["backbone.conv1.weight"] == 0.5**5


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"model": "vit_q_16"}, 'unknown pretrained model "vit_q_16"; known: vit_ti_16'),
        ({"model": "resnet18", "backbone": "ours"}, "resnet18 is not"),
        ({"image_size": (15, 12)}, "image size 15x12 is not a multiple of the patch size 4"),
    ],
)
def test_what_cannot_be_built_is_refused(fields, complaint):
    with pytest.raises(ValueError, match=complaint):
        TransferConfig(**fields)


def test_the_hand_written_backbone_is_the_vit_up_to_its_last_norm():
    model = make(backbone="ours").eval()
    vit = ViT(model.config.vit())
    vit.load_state_dict({**model.backbone.state_dict(), "classifier.weight": model.head.weight,
                         "classifier.bias": model.head.bias})
    with torch.no_grad():
        torch.testing.assert_close(vit.eval()(images()), model(images()))


@pytest.mark.parametrize("backbone", ["torchvision", "ours"])
def test_a_batch_costs_its_own_images_and_gradients_reach_the_input(backbone):
    """Of a frozen network too, and whatever is frozen in it: attributions need the gradient."""
    model, sizes = make(backbone=backbone).eval(), []
    model.backbone.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    for count in (1, 5, 40):
        pictures = images(count).requires_grad_()
        model(pictures)[:, 0].sum().backward()
        assert pictures.grad.abs().sum() > 0
    assert sizes == [1, 5, 40]
    assert all(p.grad is None for p in model.backbone.parameters())


def test_in_chunks_a_frozen_network_takes_batches_of_one_size_alone():
    model, pictures = make().eval(), images(40)
    model.unfreeze("head", in_chunks=True)
    sizes = []
    model.backbone.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    torch.testing.assert_close(model(pictures), model.head(model.backbone(pictures)))
    assert sizes == [32, 32, 40]
    model.unfreeze("last:1", in_chunks=True)
    model(pictures[:3])
    assert sizes[3:] == [3], "what is trained is never filled up"


@pytest.mark.parametrize(("wrong", "complaint"), [
    ({"backbone": 3}, "backbone is"), ({"image_size": "x"}, "image_size x"), ({"image_size": 10**6}, "image_size is"),
    ({"num_classes": 2.0}, "num_classes is"), ({"norm_eps": "x"}, "norm_eps is"), ({"model": ["vit_b_16"]}, "unknown")])
@pytest.mark.parametrize("model", ["vit_b_16", "resnet18"])
def test_settings_of_wrong_types_and_sizes_are_refused(model, wrong, complaint):
    with pytest.raises(ValueError, match=complaint):
        TransferConfig(**{"model": model} | wrong)
