from argparse import Namespace

import pytest
import torch

from data_setup.images.resize import Frame
from data_setup.loading.dataloaders import create_dataloaders
from functions.checkpointing.checkpoint import frozen_digest
from functions.runtime.device import set_seeds
from functions.runtime.errors import UserError
from functions.training import feature_cache as features_module
from functions.training.feature_cache import Seeded, cached_features, extract, frozen_features
from models import VARIANTS
from models.config import ViTConfig
from models.transfer import TransferConfig, TransferModel

IMAGES = torch.arange(24.0).view(8, 3)


def computed_by(calls):
    def compute(rows):
        calls.append(list(rows))
        return IMAGES[rows] * 10

    return compute


def names(count):
    return [f"pixels{i}" for i in range(count)]


def test_what_is_known_is_not_computed_again(tmp_path):
    calls = []
    file = tmp_path / "deep" / "features.pt"
    first, new = cached_features(file, names(5), computed_by(calls))
    assert new == 5
    again, new = cached_features(file, names(5), computed_by(calls))
    assert new == 0
    assert torch.equal(first, again)
    assert torch.equal(first, IMAGES[:5] * 10)
    assert calls == [[0, 1, 2, 3, 4]]


def test_only_new_images_are_computed_and_each_comes_back_in_its_place(tmp_path):
    calls = []
    file = tmp_path / "features.pt"
    cached_features(file, ["b", "d"], lambda rows: torch.tensor([[1.0], [3.0]])[rows])
    values = {"a": 0.0, "b": 1.0, "c": 2.0, "d": 3.0}
    wanted = ["d", "a", "b", "c", "a"]

    def compute(rows):
        calls.append([wanted[row] for row in rows])
        return torch.tensor([[values[wanted[row]]] for row in rows])

    found, new = cached_features(file, wanted, compute)
    assert found[:, 0].tolist() == [3, 0, 1, 2, 0]
    assert (new, calls) == (2, [["a", "c"]]), "the same pixels twice are one image"


def test_blocks_are_added_one_after_another_and_survive_an_interruption(tmp_path, monkeypatch):
    monkeypatch.setattr("time.monotonic", iter(range(0, 10**6, 40)).__next__)      # half a minute passes each block
    file, calls = tmp_path / "features.pt", []
    compute = computed_by(calls)

    def interrupted(rows):
        if len(calls) == 2:
            raise KeyboardInterrupt
        return compute(rows)

    with pytest.raises(KeyboardInterrupt):
        cached_features(file, names(8), interrupted, block=3)
    found, new = cached_features(file, names(8), compute, block=3)
    assert new == 2, "six of eight were kept"
    assert torch.equal(found, IMAGES * 10)


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"no features"])
def test_a_damaged_file_is_made_again(tmp_path, damage):
    file = tmp_path / "features.pt"
    cached_features(file, names(4), computed_by([]))
    file.write_bytes(damage(file.read_bytes()))
    found, new = cached_features(file, names(4), computed_by([]))
    assert new == 4
    assert torch.equal(found, IMAGES[:4] * 10)


SIZES = ViTConfig(patch_size=4, num_layers=1, embedding_dim=12, num_heads=3, mlp_size=20)
PREPARED = Frame((16, 12)).describe() | {"channels": 1, "mean": [0.4], "std": [0.2]}


@pytest.fixture
def features_of(slices, monkeypatch, tmp_path):
    """`frozen_features` of the tiny slices, kept in one folder; what is named is not as usual."""
    monkeypatch.setitem(VARIANTS, "vit_b_16", SIZES)
    monkeypatch.chdir(tmp_path)

    def compute(seed=0, weights=0, precision="fp32", augment=False, views=1, folder=None, **prepared):
        monkeypatch.setattr(features_module, "FOLDER", tmp_path / (folder or "kept"))
        preprocessing = PREPARED | prepared
        size = tuple(preprocessing["image_size"])
        set_seeds(weights)
        model = TransferModel(TransferConfig(image_size=size, in_channels=1, num_classes=2))
        data = create_dataloaders(slices / "train", slices / "test", 16, image_size=size, channels=1, seed=1,
                                  device=torch.device("cpu"), preprocessing=preprocessing, augment=augment)
        settings = Namespace(augment=augment, views=views, seed=seed)
        return frozen_features(model, data, settings, torch.device("cpu"), frozen_digest(model), precision)[0]

    return compute


@pytest.mark.parametrize("change", [
    {"weights": 1}, {"mean": [0.3]}, {"std": [0.3]}, {"precision": "bf16"}, {"image_size": [12, 16]},
    {"augment": True}, {"augment": True, "seed": 3}], ids=str)
def test_kept_features_are_never_those_of_another_backbone_or_of_other_images(features_of, change):
    """Whatever the features depend on: with other features in the same folder they are what they are alone."""
    features_of(**{"augment": True} if change.get("seed") else {})
    found, alone = features_of(**change), features_of(**change, folder="alone")
    for split in ("train", "val", "test"):
        assert torch.equal(found[split], alone[split]), split
    usual = features_of(**{"augment": True} if change.get("seed") else {})
    assert not torch.equal(found["train"], usual["train"]), "the change changes something"


def test_augmented_views_of_a_slice_differ_and_validation_has_one(features_of):
    found = features_of(augment=True, views=3)
    assert [found[split].shape[1] for split in ("train", "val", "test")] == [3, 1, 1]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        different = (found["train"][:, first] != found["train"][:, second]).any(dim=1)
        assert different.float().mean() > 0.9
    assert torch.equal(found["train"], features_of(augment=True, views=3, folder="again")["train"]), "by the seed"


def test_extracting_keeps_order_and_leaves_no_graph():
    layer = torch.nn.Linear(3, 2)
    batches = [(IMAGES[:5], None), (IMAGES[5:], None)]
    rows = extract(layer, batches, torch.device("cpu"), "fp32")
    torch.testing.assert_close(rows, layer(IMAGES).detach())
    assert not rows.requires_grad


def test_an_interruption_loses_only_the_block_being_computed(tmp_path):
    file, calls = tmp_path / "features.pt", []
    compute = computed_by(calls)

    def interrupted(rows):
        if 4 in rows:
            raise KeyboardInterrupt
        return compute(rows)

    with pytest.raises(KeyboardInterrupt, match="features of [1-4] images are saved in"):
        cached_features(file, names(8), interrupted, block=1)
    found, new = cached_features(file, names(8), compute, block=1)
    assert 4 <= new < 8
    assert torch.equal(found, IMAGES * 10)


def test_blocks_grow_while_they_are_fast_and_are_multiples_of_the_first(tmp_path):
    calls = []
    cached_features(tmp_path / "features.pt", names(8), computed_by(calls), block=1)
    assert [len(rows) for rows in calls] == [1, 2, 4, 1]


@pytest.mark.parametrize("change", [
    {"features": torch.full((4, 3), float("nan"))}, {"features": torch.ones(3, 3)}, {"features": torch.ones(4)},
    {"features": torch.ones(4, 3, dtype=torch.complex64)}, {"features": torch.ones(4, 3, dtype=torch.int8)},
    {"features": torch.ones(4, 3, dtype=torch.float64)}, {"features": [1, 2, 3, 4]}, {"digests": [1, 2, 3, 4]},
    {"digests": ["pixels0"] * 4}, {"digests": "abcd"}, {"extra": 1}, {"features": torch.ones(4, 7)},
    {"features": torch.ones(()).expand(4, 3)}, {"features": torch.ones(4, 3).to_sparse()}])
def test_a_file_that_holds_anything_else_is_computed_again_and_that_is_said(tmp_path, capsys, change):
    file = tmp_path / "features.pt"
    torch.save({"digests": names(4), "features": torch.ones(4, 3)} | change, file)
    found, new = cached_features(file, names(4), computed_by([]), width=3)
    assert new == 4
    assert torch.equal(found, IMAGES[:4] * 10)
    assert f"{file}: unreadable cache; recomputing" in capsys.readouterr().out


def test_a_flipped_bit_is_noticed_and_computed_again(tmp_path, capsys):
    file = tmp_path / "features.pt"
    cached_features(file, names(4), computed_by([]))
    content = bytearray(file.read_bytes())
    content[content.index((IMAGES[:4] * 10).numpy().tobytes()) + 9] ^= 8
    file.write_bytes(content)
    found, new = cached_features(file, names(4), computed_by([]))
    assert new == 4
    assert torch.equal(found, IMAGES[:4] * 10)
    assert "checksum" in capsys.readouterr().out


def test_a_batchs_random_numbers_follow_from_its_place_alone():
    class Noise(torch.nn.Module):
        def forward(self, images):
            return images + torch.rand(len(images), 1)

    batches = IMAGES.split(2)
    whole = Seeded(Noise(), seed=3, first=0)
    expected = [whole(batch) for batch in batches]
    torch.rand(5)
    later = Seeded(Noise(), seed=3, first=2)
    assert torch.equal(later(batches[2]), expected[2])
    assert torch.equal(later(batches[3]), expected[3])
    assert not torch.equal(Seeded(Noise(), seed=4, first=2)(batches[2]), expected[2])


def test_a_file_where_the_features_folder_belongs_is_said_before_any_is_computed(tmp_path, monkeypatch):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / ".features").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"runs/\.features is a file.*--no_cache"):
        frozen_features(None, None, None, None, "", "fp32")


def test_features_that_are_not_finite_name_the_weights_and_are_not_kept(slices, tmp_path, monkeypatch):
    monkeypatch.setitem(VARIANTS, "vit_b_16", SIZES)
    monkeypatch.setattr(features_module, "FOLDER", tmp_path / "kept")
    size = tuple(PREPARED["image_size"])
    model = TransferModel(TransferConfig(image_size=size, in_channels=1, num_classes=2))
    torch.nn.init.constant_(model.backbone.conv_proj.weight, 3e38)
    data = create_dataloaders(slices / "train", slices / "test", 16, image_size=size, channels=1,
                              device=torch.device("cpu"), preprocessing=PREPARED, augment=False)
    settings = Namespace(augment=False, views=1, seed=0, weights=tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"are not finite: the weights, --weights .*w\.pth, are the cause"):
        frozen_features(model, data, settings, torch.device("cpu"), frozen_digest(model), "fp32")
    assert not (tmp_path / "kept").exists()
