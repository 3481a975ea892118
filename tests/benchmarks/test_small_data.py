import functools
from argparse import Namespace

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks.small_data import command
from benchmarks.small_data.masked_autoencoding import MaskedAutoencoder
from benchmarks.small_data.shifted_patches import ShiftedPatches
from functions.cross_validation.cohort import Cohort
from models.config import ViTConfig
from models.vit import ViT
from tests.phantoms import make_phantom


@pytest.fixture
def autoencoder():
    torch.manual_seed(0)
    vit = ViT(ViTConfig(image_size=(16, 12), patch_size=4, in_channels=1, num_layers=2, embedding_dim=8, num_heads=2,
                        mlp_size=16, num_classes=3)).eval()
    return MaskedAutoencoder(vit, torch.Generator().manual_seed(0)).eval()


def test_a_shifted_patch_is_its_pixels_and_those_of_four_shifted_images():
    torch.manual_seed(0)
    module, images = ShiftedPatches(2, 5, 4), torch.randn(3, 2, 8, 12)
    torch.nn.init.normal_(module.norm.weight)
    outside = np.pad(images.numpy(), ((0, 0), (0, 0), (2, 2), (2, 2)))
    tokens = module(images)
    assert tokens.shape == (3, 5, 2, 3)
    for row in range(2):
        for column in range(3):
            seen = [outside[:, :, 2 + 4 * row + down:6 + 4 * row + down, 2 + 4 * column + right:6 + 4 * column + right]
                    for down, right in ((0, 0), (-2, -2), (-2, 2), (2, -2), (2, 2))]
            pixels = torch.from_numpy(np.concatenate(seen, axis=1)).flatten(1)
            expected = module.project(torch.nn.functional.layer_norm(pixels, (160,)) * module.norm.weight)
            torch.testing.assert_close(tokens[:, :, row, column], expected)


def test_hidden_pixels_are_predicted_unseen(autoencoder):
    images = torch.rand(2, 1, 16, 12)
    order = torch.rand(2, 12).argsort(dim=1)
    hidden = torch.zeros(2, 12, dtype=torch.bool).scatter(1, order[:, autoencoder.kept:], True)
    assert hidden.sum(dim=1).tolist() == [9, 9], "three quarters of twelve patches"
    where = hidden.view(2, 1, 4, 3).repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    others = torch.where(where, torch.rand(2, 1, 16, 12), images)
    with torch.no_grad():
        found, again = autoencoder.predict(images, order), autoencoder.predict(others, order)
        moved = autoencoder.predict(torch.where(where, images, torch.rand(2, 1, 16, 12)), order)
    torch.testing.assert_close(found, again)
    assert (found - moved).abs().max() > 1e-3, "and from the visible ones"
    wanted = autoencoder.wanted(images)
    patch = images[1, 0, 4:8, 8:12]                          # patch 5 of 3 a row
    torch.testing.assert_close(wanted[1, 5], ((patch - patch.mean()) / patch.std()).flatten(), atol=1e-4, rtol=1e-4)


def test_the_loss_is_of_hidden_patches_only(autoencoder, monkeypatch):
    images, drawn = torch.rand(4, 1, 16, 12), []

    def predict(images, order):
        """Right where a patch is hidden, off by `error` elsewhere."""
        drawn.append(order)
        found = autoencoder.wanted(images)
        return found.scatter_add(1, order[:, :autoencoder.kept, None].expand(-1, -1, 16), torch.full((4, 3, 16), 9.0))

    monkeypatch.setattr(autoencoder, "predict", predict)
    assert autoencoder(images).item() == pytest.approx(0, abs=1e-9)
    assert len({tuple(order.tolist()) for order in drawn[0]}) == 4, "every image has a mask of its own"
    monkeypatch.setattr(autoencoder, "predict", lambda images, order: autoencoder.wanted(images) + 2)
    assert autoencoder(images).item() == pytest.approx(4)


class Recorded:
    """The slices of a cohort as random images; remembers the rows of every batch that is trained on."""

    device = torch.device("cpu")

    def __init__(self, labels):
        self.labels, self.trained = torch.from_numpy(labels), set()
        self.images = torch.rand(len(labels), 1, 96, 80)

    def batches(self, rows, size, train=False):
        if train:
            self.trained |= set(rows.tolist())
        return [(self.images[part], self.labels[part]) for part in torch.from_numpy(rows).split(size)]


@pytest.mark.parametrize("name", command.ROWS)
def test_no_row_trains_on_a_test_patient(name):
    labels = np.tile([0, 0, 1, 1], 6)
    table = pd.DataFrame({"path": [f"{k}.png" for k in range(24)], "class": np.array(["CN", "AD"])[labels],
                          "subject": [f"p{k // 2:02d}" for k in range(24)]})
    cohort = Cohort(table, ["CN", "AD"], labels, np.arange(24)[None] // 2 % 3, 0)
    images, tested = Recorded(labels), cohort.tested(0, 1)
    ids, found = command.one_fold(name, Namespace(epochs=1), cohort, images, tested, 0, 1)
    assert images.trained == set(np.flatnonzero(~tested))
    assert ids.tolist() == sorted(set(cohort.subjects[tested]))
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)


def test_the_row_seeds_is_the_mean_of_networks_that_differ_in_their_seed(monkeypatch):
    labels, seeds = np.tile([0, 1], 12), []
    table = pd.DataFrame({"path": [f"{k}.png" for k in range(24)], "class": np.array(["CN", "AD"])[labels],
                          "subject": [f"p{k:02d}" for k in range(24)]})
    cohort = Cohort(table, ["CN", "AD"], labels, np.arange(24)[None] % 3, 0)

    def trained(name, options, cohort, images, known, seed):
        """A network of which every patient gets the same probabilities."""
        seeds.append(seed)
        model = command.network("scratch", 2)
        torch.nn.init.constant_(model.classifier.bias[0], float(len(seeds)))
        return model

    monkeypatch.setattr(command, "trained", trained)
    images = Recorded(labels)
    ids, found = command.one_fold("seeds", Namespace(epochs=1), cohort, images, cohort.tested(0, 1), 0, 1)
    assert seeds == [1, 101, 201]
    assert len(ids) == 8
    np.testing.assert_allclose(found[:, 0], np.mean(1 / (1 + np.exp([-1, -2, -3]))), atol=1e-6)


def test_masked_autoencoding_changes_the_encoder_and_reads_no_label(capsys):
    labels, found = np.zeros(8, dtype=int), []
    for kind in (0, 1):
        torch.manual_seed(0)
        images, model = Recorded(labels + kind), command.network("masked", 2)
        before = [weight.clone() for weight in model.encoder.parameters()]
        command.pretrain_masked(model, images.batches(np.arange(8), 4, train=True), 1, 0)
        assert all(not torch.equal(a, b) for a, b in zip(before, model.encoder.parameters(), strict=True))
        assert not model.classifier.weight.any()
        found.append([weight.detach() for weight in model.parameters()])
    assert all(map(torch.equal, *found))
    assert "masked autoencoding: 2 steps, loss " in capsys.readouterr().out


def test_a_second_call_computes_nothing(tmp_path, monkeypatch, capsys):
    data, out = make_phantom(tmp_path / "set", people=24, slices=4), tmp_path / "out"
    arguments = ["scratch", "shifted", "--data", str(data), "--out", str(out), "--folds", "2", "--epochs", "1"]
    command.main(arguments)
    lines = (out / "table.md").read_text().splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| four_numbers", "| scratch", "| shifted"]
    monkeypatch.setattr(torch.optim.AdamW, "step", functools.partial(pytest.fail, "trained again"))
    command.main(arguments)
    capsys.readouterr()
    with pytest.raises(SystemExit, match="2"):
        command.main([*arguments[:-1], "2"])
    assert "results with another value of --epochs" in capsys.readouterr().err


@pytest.mark.parametrize("given", [("--epochs", "0"), ("--epochs", "-1"), ("--repeats", "0"), ("--folds", "x")])
def test_numbers_below_one_are_refused_in_one_line(given, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        command.main(["--data", str(tmp_path), *given])
    error = capsys.readouterr().err
    assert f'{given[0]}: "{given[1]}" is not an integer of at least 1' in error
    assert error.count("\n") == 1
