import hashlib
import json
import urllib.error

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn
from torchvision.models import ResNet18_Weights, ViT_B_16_Weights
from transformers import ResNetConfig, ResNetModel

from functions.runtime.errors import UserError
from models import VARIANTS
from models.config import ViTConfig
from models.pretrained import sources as transfer_weights
from models.pretrained.sources import find_pretrained, load_transfer
from models.vit import ViT
from tests.models.pretrained.families.networks import timm_vit

TINY = ViTConfig(patch_size=4, num_layers=2, embedding_dim=12, num_heads=3, mlp_size=20)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(VARIANTS, "vit_b_16", TINY)


@pytest.fixture
def theirs():
    """torchvision's network of that size for images of 16x16, nothing in it trivial."""
    torch.manual_seed(0)
    net = torchvision.models.VisionTransformer(16, 4, 2, 3, 12, 20, num_classes=7)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += 0.2 * torch.randn(parameter.shape)
    return net.eval()


@pytest.fixture
def file(theirs, tmp_path):
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    return tmp_path / "weights.pth"


def images(channels=3, size=(16, 16)):
    return torch.randn(2, channels, *size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("backbone", ["torchvision", "ours"])
def test_features_are_those_of_the_network_the_file_is_of(theirs, file, backbone):
    found = find_pretrained("vit_b_16", file, backbone, None, 3)
    model = load_transfer(found, 5).eval()
    theirs.heads = nn.Identity()
    with torch.no_grad():
        torch.testing.assert_close(model.backbone(images()), theirs(images()), atol=1e-5, rtol=0)
    assert model.head.weight.shape == (5, 12)
    assert not model.head.weight.any()
    assert found.config.image_size == (16, 16), "the grid of the positions says so"
    assert found.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert any("head" in note for note in found.notes), "that the old head is dropped is said"


def test_another_size_interpolates_positions_as_torchvision_does(theirs, file):
    found = find_pretrained("vit_b_16", file, "torchvision", (32, 32), 3)
    expected = torchvision.models.vision_transformer.interpolate_embeddings(32, 4, theirs.state_dict())
    torch.testing.assert_close(found.weights["encoder.pos_embedding"], expected["encoder.pos_embedding"])
    model = load_transfer(find_pretrained("vit_b_16", file, "torchvision", (24, 16), 3), 2).eval()
    assert model(images(size=(24, 16))).shape == (2, 2)


@pytest.mark.parametrize(("mean", "std"), [(None, None), ((0.2,), None), (None, (0.3, 0.2, 0.1)), ((0.5,), (0.5,))])
def test_gray_images_are_seen_as_their_rgb_copies(theirs, file, mean, std):
    found = find_pretrained("vit_b_16", file, "torchvision", None, 1, mean, std)
    of_copies = find_pretrained("vit_b_16", file, "torchvision", None, 3, mean, std)
    model = load_transfer(found, 2).eval()
    theirs.heads = nn.Identity()
    pixels = images(channels=1)
    of_channels = (torch.tensor(values).view(-1, 1, 1) for values in (of_copies.mean, of_copies.std))
    with torch.no_grad():
        torch.testing.assert_close(model.backbone((pixels - found.mean[0]) / found.std[0]),
                                   theirs((pixels.repeat(1, 3, 1, 1) - next(of_channels)) / next(of_channels)),
                                   atol=1e-5, rtol=0)
    assert found.mean == pytest.approx([sum(of_copies.mean) / 3])
    assert any("channel" in note for note in found.notes)


def test_images_are_prepared_as_the_weights_were_trained(file):
    found = find_pretrained("vit_b_16", file, "torchvision", None, 3)
    preset = ViT_B_16_Weights.IMAGENET1K_V1.transforms()
    assert found.frame == {"mode": "crop", "share": 224 / 256, "interpolation": "bilinear"}
    assert (found.mean, found.std) == (preset.mean, preset.std)


def test_a_known_files_name_decides_between_weights_of_one_network(theirs, tmp_path, monkeypatch):
    """SWAG's weights want bicubic interpolation and no crop."""
    swag = ViT_B_16_Weights.IMAGENET1K_SWAG_LINEAR_V1
    monkeypatch.setattr("models.pretrained.weight_files.file_hash", lambda path: "4e70ced5" + "0" * 56)
    torch.save(theirs.state_dict(), path := tmp_path / swag.url.rsplit("/", 1)[1])
    found = find_pretrained("vit_b_16", path, "torchvision", None, 3)
    assert found.frame == {"mode": "crop", "share": 1.0, "interpolation": "bicubic"}
    assert "SWAG_LINEAR" in found.source


def test_the_hash_in_a_known_files_name_is_checked(file, tmp_path):
    with pytest.raises(ValueError, match=r"vit_b_16-c867db91.pth.*c867db91"):
        find_pretrained("vit_b_16", file.rename(tmp_path / "vit_b_16-c867db91.pth"), "torchvision", None, 3)


def test_without_internet_one_sentence_says_what_to_do(monkeypatch, tmp_path):
    def refuse(*_, **__):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(ValueError, match=r"cannot download vit_b_16-c867db91.pth .*not known.*get "
                       r"https://download.pytorch.org/models/vit_b_16-c867db91.pth.*--weights PATH/") as refusal:
        find_pretrained("vit_b_16", "DEFAULT", "torchvision", None, 3)
    assert "\n" not in str(refusal.value)


def test_a_download_is_made_once_and_by_its_hash(file, monkeypatch, tmp_path):
    asked = []

    def download(url, dst, hash_prefix, progress):
        asked.append((url, hash_prefix))
        torch.save(torch.load(file), dst)

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr("models.pretrained.weight_files.file_hash", lambda path: "c867db91" + "0" * 56)
    for _ in range(2):
        found = find_pretrained("vit_b_16", "IMAGENET1K_V1", "torchvision", None, 3)
    assert asked == [("https://download.pytorch.org/models/vit_b_16-c867db91.pth", "c867db91")]
    assert "IMAGENET1K_V1" in found.source


def test_the_authors_and_others_normalise_by_one_half(tmp_path):
    import timm
    from safetensors.torch import save_file

    torch.manual_seed(0)
    net = timm.models.vision_transformer.VisionTransformer(16, 4, embed_dim=12, depth=2, num_heads=3, mlp_ratio=20 / 12,
                                                           num_classes=4)
    save_file(net.state_dict(), tmp_path / "model.safetensors")
    found = find_pretrained("vit_b_16", tmp_path / "model.safetensors", "torchvision", None, 3)
    assert (found.mean, found.std) == ([0.5] * 3, [0.5] * 3)
    assert found.frame["share"] == 16 / 17, "of 0.9, in whole pixels"
    net.reset_classifier(0)
    with torch.no_grad():
        torch.testing.assert_close(load_transfer(found, 2).eval().backbone(images()), net.eval()(images()),
                                   atol=1e-5, rtol=0)


def test_resnets_load_strictly_and_gray_images_too(tmp_path):
    torch.manual_seed(0)
    net = torchvision.models.resnet18().eval()
    torch.save(net.state_dict(), tmp_path / "r.pth")
    found = find_pretrained("resnet18", tmp_path / "r.pth", "torchvision", None, 3)
    assert found.config.image_size == (224, 224)
    model, net.fc = load_transfer(found, 3).eval(), nn.Identity()
    with torch.no_grad():
        assert torch.equal(model.backbone(images(size=(64, 64))), net(images(size=(64, 64))))
        gray = load_transfer(find_pretrained("resnet18", tmp_path / "r.pth", "torchvision", (64, 64), 1), 3).eval()
        picture = images(1, (64, 64))
        torch.testing.assert_close(gray.backbone(picture), net(picture.repeat(1, 3, 1, 1)), atol=1e-4, rtol=1e-4)
    for change, complaint in (({"layer1.0.conv1.weight": None}, "layer1.0.conv1.weight is missing"),
                              ({"extra": torch.ones(2)}, "extra is unexpected")):
        state = {k: v for k, v in (torch.load(tmp_path / "r.pth") | change).items() if v is not None}
        torch.save(state, tmp_path / "changed.pth")
        with pytest.raises(ValueError, match=complaint):
            find_pretrained("resnet18", tmp_path / "changed.pth", "torchvision", None, 3)
    preset = ResNet18_Weights.DEFAULT.transforms()
    assert found.mean == preset.mean


@pytest.mark.parametrize(
    ("model", "source", "complaint"),
    [
        ("vit_b_16", "IMAGENET22K", 'no weights "IMAGENET22K" for vit_b_16; it has IMAGENET1K_V1'),
        ("vit_b_16", "nowhere.pth", "nowhere.pth"),
        ("vit_ti_16", "DEFAULT", "torchvision has no weights of vit_ti_16: give a file, --weights FILE"),
        ("vit_q_16", "random", 'unknown pretrained model "vit_q_16"'),
    ],
)
def test_what_is_not_there_is_refused_in_one_line(model, source, complaint, tmp_path, monkeypatch):
    from functions.config.settings import weights_source

    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=complaint) as refusal:
        find_pretrained(model, weights_source(source), "torchvision", None, 3)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("backbone", ["torchvision", "ours"])
def test_a_size_without_weights_of_torchvision_takes_a_file(backbone, theirs, file, monkeypatch):
    monkeypatch.setitem(VARIANTS, "vit_ti_16", TINY)
    found = find_pretrained("vit_ti_16", file, backbone, None, 3)
    assert (found.config.image_size, found.mean) == ((16, 16), [0.485, 0.456, 0.406])
    images = torch.randn(2, 3, 16, 16)
    theirs.heads = nn.Identity()
    torch.testing.assert_close(load_transfer(found, 2).eval().backbone(images), theirs(images), rtol=1e-5, atol=1e-5)
    assert find_pretrained("vit_ti_16", "random", backbone, None, 3).config.image_size == (224, 224)


def test_weights_of_another_network_are_refused(file, monkeypatch):
    monkeypatch.setitem(VARIANTS, "vit_b_16", ViTConfig(patch_size=4, num_layers=3, embedding_dim=12, num_heads=3,
                                                        mlp_size=20))
    with pytest.raises(ValueError, match="weights.pth for --model vit_b_16: .* have 2 layers, the model has 3"):
        find_pretrained("vit_b_16", file, "torchvision", None, 3)


def test_our_own_checkpoints_are_no_weights_to_fine_tune_unless_they_say_how_images_were_prepared(tmp_path):
    torch.save(ViT(ViTConfig(16, 4, num_layers=2, embedding_dim=12, num_heads=3, mlp_size=20)).state_dict(),
               tmp_path / "ours.pth")
    with pytest.raises(ValueError, match="does not say how its images were prepared"):
        find_pretrained("vit_b_16", tmp_path / "ours.pth", "torchvision", None, 3)


def test_random_weights_are_drawn_from_the_seed():
    made = []
    for _ in range(2):
        torch.manual_seed(4)
        made.append(load_transfer(find_pretrained("vit_b_16", "random", "torchvision", (16, 16), 3), 2))
    assert all(torch.equal(a, b) for a, b in zip(made[0].parameters(), made[1].parameters(), strict=True))
    assert transfer_weights.find_pretrained("vit_b_16", "random", "torchvision", None, 3).weights is None


def test_images_are_prepared_as_each_library_prepares_them(tmp_path):
    """timm's default configuration, transformers' own image processor, and the authors' input pipeline."""
    import numpy as np
    import timm
    from transformers import ViTConfig as TheirConfig
    from transformers import ViTImageProcessor, ViTModel

    from tests.models.jax_reference import make_arrays

    torch.manual_seed(0)
    cfg = timm.models.vision_transformer._cfg()
    net = timm.models.vision_transformer.VisionTransformer(16, 4, embed_dim=12, depth=2, num_heads=3, mlp_ratio=20 / 12)
    torch.save(net.state_dict(), tmp_path / "timm.pth")
    net = ViTModel(TheirConfig(hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=20,
                               image_size=16, patch_size=4))
    torch.save(net.state_dict(), tmp_path / "huggingface.bin")
    np.savez(tmp_path / "jax.npz", **make_arrays(4, 12, 3, 20, 2, (4, 4), 5))
    processor = ViTImageProcessor()
    assert (processor.do_resize, processor.size["height"], processor.size["width"]) == (True, 224, 224)
    assert int(processor.resample) == 2, "Pillow's bilinear"
    half = [0.5] * 3
    expected = {
        "timm.pth": ("crop", cfg["crop_pct"], cfg["interpolation"], list(cfg["mean"]), list(cfg["std"])),
        "huggingface.bin": ("stretch", 1.0, "bilinear", list(processor.image_mean), list(processor.image_std)),
        "jax.npz": ("stretch", 1.0, "bilinear", half, half)}
    for name, wanted in expected.items():
        found = find_pretrained("vit_b_16", tmp_path / name, "torchvision", None, 3)
        share = 16 / int(16 / wanted[1]) if name == "timm.pth" else wanted[1]      # timm rounds the larger side down
        wanted = (wanted[0], share, *wanted[2:])
        frame = tuple(found.frame[key] for key in ("mode", "share", "interpolation"))
        assert (*frame, list(found.mean), list(found.std)) == wanted, name


@pytest.mark.parametrize("head", ["arc.margin.weight", "classifier_out.weight", "head_drop.fc.weight", "arc_margin"])
@pytest.mark.parametrize("own", [True, False])
def test_a_resnets_linear_heads_under_any_name_are_left_out_and_said(tmp_path, head, own):
    state = torchvision.models.resnet18().state_dict() | {head: torch.ones(5, 512)}
    torch.save({name: value for name, value in state.items() if own or not name.startswith("fc.")}, tmp_path / "r.pth")
    notes = find_pretrained("resnet18", tmp_path / "r.pth", "torchvision", None, 3).notes
    assert f"the weights' own head, {head.removesuffix('.weight')} of 5 classes, is left out" in notes
    assert ("the weights' own head, fc of 1000 classes, is left out" in notes) == own


@pytest.mark.parametrize("extra", [{"layer4.adapter.weight": torch.ones(5, 512)}, {"neck.weight": torch.ones(5, 9)}])
def test_whatever_else_a_resnet_has_too_much_stays_an_error(tmp_path, extra):
    torch.save(torchvision.models.resnet18().state_dict() | extra, tmp_path / "r.pth")
    with pytest.raises(ValueError, match=f"tensor .*{min(extra)} is unexpected|tensor fc.bias is unexpected"):
        find_pretrained("resnet18", tmp_path / "r.pth", "torchvision", None, 3)


def test_hugging_faces_resnets_are_named(tmp_path):
    config = ResNetConfig(depths=[2, 2, 2, 2], layer_type="basic", hidden_sizes=[64, 128, 256, 512], embedding_size=64)
    torch.save(ResNetModel(config).state_dict(), tmp_path / "r.pth")
    with pytest.raises(UserError, match=r"r.pth.*a ResNet in Hugging Face's layout.*give torchvision's file"):
        find_pretrained("resnet18", tmp_path / "r.pth", "torchvision", None, 3)


def test_a_variance_below_zero_is_refused_by_its_name(tmp_path):
    """Its root is NaN: the loss of the first step would be, and the learning rate be blamed."""
    state = torchvision.models.resnet18().state_dict()
    state["layer2.0.bn1.running_var"][3] = -0.5
    torch.save(state, tmp_path / "r.pth")
    with pytest.raises(ValueError, match=r"r.pth .*layer2.0.bn1.running_var holds a variance of -0.5, below 0"):
        find_pretrained("resnet18", tmp_path / "r.pth", "torchvision", None, 3)


@pytest.mark.parametrize(("backbone", "pool", "expected"), [
    ("auto", None, "torchvision"), ("auto", "cls", "torchvision"), ("auto", "mean", "ours"), ("ours", None, "ours")])
def test_torchvisions_code_runs_what_it_has_and_ours_the_rest(backbone, pool, expected, file, monkeypatch):
    monkeypatch.setitem(VARIANTS, "vit_s_14", TINY)
    for source in (file, "random"):
        assert find_pretrained("vit_b_16", source, backbone, (16, 16), 3, pool=pool).config.backbone == expected
        assert find_pretrained("vit_s_14", source, backbone, (16, 16), 3, pool=pool).config.backbone == "ours"
    assert find_pretrained("resnet18", "random", "auto", (32, 32), 3).config.backbone == "torchvision"


def test_the_quick_gelu_is_run_by_the_hand_written_vit(tmp_path):
    """torchvision's code has none; a LayerNorm before the first block, which CLIP has too, is not needed for this."""
    save_file(timm_vit(mlp_ratio=20 / 12).state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "vit_base_patch4_quickgelu"}))
    found = find_pretrained("vit_b_16", tmp_path, "auto", None, 3).config
    assert (found.backbone, found.gelu, found.pre_norm) == ("ours", "quick", False)
    with pytest.raises(ValueError, match="the quick GELU needs the hand-written ViT, --backbone ours"):
        find_pretrained("vit_b_16", tmp_path, "torchvision", None, 3)


def test_the_pooling_that_is_asked_for_replaces_the_sources_and_is_said(file, tmp_path):
    found = find_pretrained("vit_b_16", file, "auto", None, 3, pool="mean")
    assert found.config.pool == "mean"
    assert any(note.endswith("the mean over patches, after the last LayerNorm (the source: the class token)")
               for note in found.notes)
    state = timm_vit(global_pool="avg", mlp_ratio=20 / 12).state_dict()
    torch.save(state, tmp_path / "mae.pth")
    asked = {pool: find_pretrained("vit_b_16", tmp_path / "mae.pth", "auto", None, 3, pool=pool).config.pool
             for pool in (None, "mean", "cls")}
    assert asked == {None: "mean_then_norm", "mean": "mean_then_norm", "cls": "cls"}


@pytest.mark.parametrize(("crop", "size"), [(24, (24, 24)), (27, (24, 24)), ({"height": 24, "width": 12}, (24, 12)),
                                            (3, (16, 16))])
def test_images_have_the_size_that_a_configuration_says_in_whole_patches(crop, size, tmp_path):
    save_file(timm_vit(mlp_ratio=20 / 12).state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({
        "do_center_crop": True, "image_mean": [0.5], "image_std": [0.5], "crop_size": crop, "size": 24}))
    if crop == 3:
        (tmp_path / "preprocessor_config.json").unlink()
        (tmp_path / "config.json").write_text(json.dumps({"mean": [0.5], "std": [0.5], "input_size": [3, 3, 3]}))
    assert find_pretrained("vit_b_16", tmp_path, "auto", None, 3).config.image_size == size
    assert find_pretrained("vit_b_16", tmp_path, "auto", (8, 8), 3).config.image_size == (8, 8)


def test_a_folder_and_a_name_on_the_hub_are_read_alike(tmp_path, monkeypatch):
    save_file(timm_vit(mlp_ratio=20 / 12).state_dict(), tmp_path / "model.safetensors")
    asked = []
    monkeypatch.setattr(transfer_weights, "download", lambda name: asked.append(name) or tmp_path)
    found = [find_pretrained("vit_b_16", source, "auto", None, 3) for source in (tmp_path, "hf:facebook/vit")]
    assert asked == ["hf:facebook/vit"]
    assert [one.source.split(",")[0] for one in found] == [tmp_path.name, "hf:facebook/vit"]
    assert found[0].sha256 == found[1].sha256


def test_weights_of_another_size_are_refused_with_its_name(file, monkeypatch):
    monkeypatch.setitem(VARIANTS, "vit_s_14", TINY)
    with pytest.raises(ValueError, match="have 2 layers, the model has 24: they are of vit_s_14"):
        find_pretrained("vit_l_16", file, "auto", None, 3)


def test_weights_of_other_channels_are_refused_with_both_numbers(tmp_path):
    torch.save(timm_vit(mlp_ratio=20 / 12, in_chans=1).state_dict(), tmp_path / "w.pth")
    with pytest.raises(ValueError, match="for images of 1 channel, the model for 3: build it with in_channels=1"):
        find_pretrained("vit_b_16", tmp_path / "w.pth", "auto", None, 3)


def test_weights_of_no_known_size_are_refused_as_such(tmp_path):
    torch.save(timm_vit(mlp_ratio=2).state_dict(), tmp_path / "w.pth")
    with pytest.raises(ValueError, match="24 MLP width, the model has 20: they are of none of the sizes in VARIANTS"):
        find_pretrained("vit_b_16", tmp_path / "w.pth", "auto", None, 3)


def test_open_clips_configuration_says_how_images_are_prepared(tmp_path):
    save_file(timm_vit(mlp_ratio=20 / 12).state_dict(), tmp_path / "open_clip_model.safetensors")
    for mode, frame in (("shortest", "crop"), ("squash", "stretch")):
        (tmp_path / "open_clip_config.json").write_text(json.dumps({"preprocess_cfg": {
            "mean": [0.1, 0.2, 0.3], "std": [0.4], "interpolation": "bicubic", "resize_mode": mode}}))
        found = find_pretrained("vit_b_16", tmp_path, "auto", None, 3)
        assert (found.mean, found.std, found.frame["mode"]) == ([0.1, 0.2, 0.3], [0.4] * 3, frame)
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"preprocess_cfg": {
        "mean": [0.1], "std": [0.4], "resize_mode": "longest"}}))
    with pytest.raises(ValueError, match="open_clip_config.json: crop_mode is 'longest'"):
        find_pretrained("vit_b_16", tmp_path, "auto", None, 3)
