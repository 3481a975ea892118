"""Pretraining on generated brains: no label of a real patient is read, and a second call computes nothing."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import save

from benchmarks.pretraining import brains, command, curve, figures, network, readout, tuning
from benchmarks.pretraining.acquisition import acquired, placed, standardise
from benchmarks.pretraining.brains import generated
from benchmarks.pretraining.table import over_seeds
from benchmarks.transfer.cohort import read_cohort
from benchmarks.transfer.table import log_odds
from data_setup.phantom.generate import make_phantom
from functions.cross_validation.fold_training import train_network
from functions.cross_validation.pooled import Pooled, pooled_auroc
from functions.runtime.errors import UserError


def tiny():
    return replace(network.CONFIG, num_layers=1, embedding_dim=32, num_heads=2, mlp_size=32)


def test_brightness_and_contrast_are_removed():
    x = torch.rand(3, 1, 8, 6, generator=torch.Generator().manual_seed(0)) * 0.4 + 0.1
    assert standardise(x) == pytest.approx(standardise(1.5 * x + 0.1), abs=0.02)
    assert standardise(x).mean(dim=(1, 2, 3)) == pytest.approx(torch.zeros(3), abs=1e-5)
    brain = standardise(x[:, :, 2:])
    x[:, :, :2] = 0.0
    assert standardise(x)[:, :, 2:] == pytest.approx(brain, abs=1e-5), "the background is no part of mean and SD"
    x[:, :, 2:] = 0.8 + 0.2 * x[:, :, 2:]
    assert (standardise(x)[:, :, :2] == -3).all(), "nor is it far away"


def test_an_image_is_scaled_turned_mirrored_and_shifted_about_its_centre():
    x = torch.zeros(1, 1, 48, 40)
    x[0, 0, 10:14, 30:34] = 1.0                            # above and on the right of the centre
    one, none = torch.ones(1), torch.zeros(1)

    def where(**changes):
        given = {"scale": one, "angle": none, "stretch": one, "shift": torch.zeros(1, 2), "mirror": one} | changes
        weight = placed(x, **given)[0, 0]
        rows, columns = torch.meshgrid(torch.arange(48.0), torch.arange(40.0), indexing="ij")
        return [round(float((weight * axis).sum() / weight.sum()), 1) for axis in (rows, columns)]

    assert where() == [11.5, 31.5]
    assert where(scale=1.2 * one) == pytest.approx([9.1, 33.9], abs=0.1), "away from (23.5, 19.5) by 1.2"
    assert where(mirror=-one) == [11.5, 7.5]
    assert where(shift=torch.tensor([[0.1, 0.0]])) == [11.5, 29.5]
    assert where(angle=torch.tensor([torch.pi / 2])) == pytest.approx([35.5, 31.5], abs=0.1), "clockwise"


def test_a_varied_acquisition_differs_by_slice_and_a_fixed_one_does_not():
    x = torch.full((2, 1, 96, 80), 0, dtype=torch.uint8)
    x[:, :, 20:70, 20:60] = torch.randint(60, 200, (1, 1, 50, 40), dtype=torch.uint8)
    varied, fixed = (acquired(x, torch.Generator().manual_seed(0), vary=vary) for vary in (True, False))
    assert (varied[0] != varied[1]).any()
    assert (fixed[0] == fixed[1]).all()
    assert torch.isfinite(varied).all()


def test_a_network_learns_its_quantities_and_is_read_again(tmp_path, monkeypatch):
    monkeypatch.setattr(network, "CONFIG", tiny())
    monkeypatch.setattr(network, "BATCH", 16)
    people = generated("stripped", 6, 1, tmp_path)
    model = network.pretrain(people, 30, 0, False, tmp_path / "net.safetensors")
    images = acquired(torch.from_numpy(people.images).flatten(0, 1)[:, None], torch.Generator(), vary=False)
    wanted, shown = people.quantities.reshape(-1, 8), network.outputs(model, images)
    learnt = {name: np.corrcoef(shown[:, i], wanted[:, i])[0, 1] for i, name in enumerate(network.QUANTITIES)}
    assert learnt["ventricle_share"] > 0.6
    assert learnt["csf"] > 0.6
    again = network.load_network(tmp_path / "net.safetensors")
    assert (network.outputs(again, images) == shown).all()
    assert (network.class_tokens(model, images) @ model.classifier.weight.detach().double().numpy().T
            + model.classifier.bias.detach().numpy()) == pytest.approx(shown, abs=1e-4), "y of Eq. 4"


def test_zero_shot_reads_no_real_label_and_a_second_call_computes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(network, "CONFIG", tiny())
    monkeypatch.setattr(brains, "TRAIN_SLICES", 2)
    monkeypatch.setattr(brains, "READOUT_SLICES", 2)
    data, out = make_phantom(tmp_path / "set", people=24, slices=4), tmp_path / "out"
    arguments = ["fine-100", "untrained", "--data", str(data), "--out", str(out), "--steps", "2", "--people", "10",
                 "--folds", "2", "--repeats", "1"]
    command.main(arguments)
    table = (out / "table.md").read_text()
    assert "fine-100" in table
    assert "untrained" in table
    outputs = pd.read_csv(out / "fine-100.outputs.csv")
    assert len(outputs) == 24
    assert outputs[["p_all", "p_visible"]].ge(0).all(axis=None)
    curve.main(["fine-100", "untrained", "--data", str(data), "--out", str(out), "--folds", "2", "--repeats", "1"])
    assert Image.open(out / "curve.png").size > (1000, 500)
    rows = (out / "curve.md").read_text().splitlines()[2:]
    assert len(rows) == 4 * 2, "four methods, of 10 and of all training patients"
    network_of = (out / "fine-100.safetensors").read_bytes()
    with pytest.raises(SystemExit, match="2"):                # a trial's network is not taken for the row's own
        command.main([*arguments[:6], *arguments[8:]])

    def no_training(*_):
        raise AssertionError("trained again")

    monkeypatch.setattr(torch.optim.AdamW, "step", no_training)
    for split in ("train", "test"):                        # other labels of the same patients
        (data / split / "NonDemented").rename(data / split / "aside")
        (data / split / "MildDemented").rename(data / split / "NonDemented")
        (data / split / "aside").rename(data / split / "MildDemented")
    for file in ("brains", "fine-100.safetensors"):        # and other folds, hence another folder
        (tmp_path / "other").mkdir(exist_ok=True)
        (out / file).rename(tmp_path / "other" / file)
    out = out.rename(tmp_path / "before").with_name("other")
    command.main([str(out) if given == arguments[5] else given for given in arguments])
    pd.testing.assert_frame_equal(pd.read_csv(out / "fine-100.outputs.csv"), outputs)
    assert (out / "fine-100.safetensors").read_bytes() == network_of


def test_all_layers_are_trained_on_the_training_patients_only_and_once(tmp_path, monkeypatch):
    monkeypatch.setattr(network, "CONFIG", tiny())
    monkeypatch.setattr(tuning, "STEPS", 2)
    cohort = read_cohort(make_phantom(tmp_path / "set", people=24, slices=2), 2, 1, 0)
    images, tested = readout.read_slices(cohort.table["path"].tolist()), cohort.tested(0, 0)
    begun, calls = network.untrained(5), []
    for folder in ("one", "other"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "net.safetensors").write_bytes(save(begun.state_dict()))

    def recorded(model, batches, *arguments, **options):
        calls.append((model, batches.images))
        return train_network(model, batches, *arguments, **options)

    monkeypatch.setattr(tuning, "train_network", recorded)
    found = tuning.all_layers("net", tmp_path / "one", images, cohort)(~tested, tested, 3)
    assert len(found) == len(set(cohort.subjects[tested]))
    [(model, seen)] = calls
    assert torch.equal(seen, images[torch.from_numpy(~tested)])
    after = model.state_dict()
    assert not any(torch.equal(value, after[name]) for name, value in begun.state_dict().items()
                   if not name.startswith("classifier.")), "all layers, none from another start"
    assert all((value - after[name]).abs().max() < 0.01 for name, value in begun.state_dict().items()
               if not name.startswith("classifier."))
    assert (tuning.all_layers("net", tmp_path / "one", images, cohort)(~tested, tested, 3) == found).all()
    assert len(calls) == 1, "read from disk"
    swapped = cohort._replace(labels=np.where(tested, 2 - cohort.labels, cohort.labels))
    assert tuning.all_layers("net", tmp_path / "other", images, swapped)(~tested, tested, 3) == pytest.approx(found)
    with pytest.raises(UserError, match=r"none.safetensors does not exist"):
        tuning.all_layers("none", tmp_path, images, cohort)


def test_the_visible_outputs_are_compared_within_each_set_of_people():
    """Another mean and SD of every output among the real people changes nothing, unlike for all outputs."""
    draws = np.random.default_rng(0)
    diseased = np.arange(80) % 2 == 1
    known = draws.normal(size=(80, 8)) + diseased[:, None] * np.linspace(0, 1.4, 8)
    real = draws.normal(size=(40, 8)) + (np.arange(40) % 2)[:, None]
    moved = real * np.linspace(0.2, 2, 8) + 3
    assert readout.visible_outputs(known, diseased, moved) == pytest.approx(
        readout.visible_outputs(known, diseased, real))
    assert np.abs(readout.all_outputs(known, diseased, moved) - readout.all_outputs(known, diseased, real)).max() > 0.2
    ignored = [i for i in range(8) if i not in readout.VISIBLE]
    real[:, ignored] = 50.0
    assert readout.visible_outputs(known, diseased, real) == pytest.approx(
        readout.visible_outputs(known, diseased, moved))


def test_an_unknown_row_is_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        command.main(["fine-1", "--data", str(tmp_path)])
    assert stopped.value.code == 2
    assert 'no row "fine-1"' in capsys.readouterr().err


def test_figures_show_every_network_and_both_aurocs():
    found = [figures.People(people, steps, seed, Pooled(0.7 + seed / 100, 0.6, 0.8, np.nan))
             for people, steps, seed in ((100, 800, 0), (8000, 800, 0), (8000, 800, 1), (100_000, 3200, 3))]
    [axis] = figures.plot_people(found, 0.75).axes
    drawn = {line.get_label(): line.lines[0].get_xydata() for line in axis.containers}
    assert drawn["800 steps"][:, 1].tolist() == [0.7, 0.7, 0.71]
    assert drawn["800 steps"][1, 0] < drawn["800 steps"][2, 0] < 8000, "seeds stand side by side"
    assert drawn["3,200 steps"].tolist() == [[pytest.approx(110_000), 0.73]]
    assert [text.get_text() for text in axis.get_xticklabels()] == ["100", "8,000", "100,000"]
    curves = {"four numbers": [(10, Pooled(0.6, 0.5, 0.7, np.nan), 0.65), (127.2, Pooled(0.7, 0.6, 0.8, np.nan), 0.75)]}
    many = figures.plot_curve({str(number): curves["four numbers"] for number in range(8)}).axes[1].lines[:8]
    assert len({(line.get_color(), line.get_linestyle()) for line in many}) == 8, "each has its own style"
    together, within = figures.plot_curve(curves).axes
    assert together.containers[0].lines[0].get_ydata().tolist() == [0.6, 0.7]
    assert within.lines[0].get_ydata().tolist() == [0.65, 0.75]


@pytest.mark.parametrize("given", [("--steps", "-1"), ("--people", "0"), ("--repeats", "0")])
def test_numbers_below_one_are_refused_in_one_line(given, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        command.main(["fine-100", "--data", str(tmp_path), *given])
    error = capsys.readouterr().err
    assert f'{given[0]}: "{given[1]}" is not an integer of at least 1' in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(("given", "message"), [
    ("abc", "expected NAME=FILE:KEY"), ("x=f.safetensors:no", "has no no, but known"),
    ("x=f.safetensors:known", "features of 3 slices, the data has 4"), ("x=missing.safetensors:known", "no such file")])
def test_features_that_do_not_fit_are_named(given, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f.safetensors").write_bytes(save({"known": torch.ones(3, 2)}))
    with pytest.raises(UserError, match=message):
        curve.given_features(given, 4)
    name, x = curve.given_features("x=f.safetensors:known", 3)
    assert (name, x.tolist()) == ("x", [[1, 1]] * 3)


@pytest.mark.parametrize("content", [b"short", save({"a": torch.ones(2)})], ids=["damaged", "another network"])
def test_a_damaged_network_is_named(content, tmp_path):
    (tmp_path / "net.safetensors").write_bytes(content)
    with pytest.raises(UserError, match=r"net\.safetensors is damaged, or no network of this kind"):
        network.load_network(tmp_path / "net.safetensors")


def test_networks_are_averaged_over_seeds_and_compared_at_equal_steps_and_seeds():
    positive = np.arange(40) % 2 == 1
    generator = np.random.default_rng(0)
    right = {key: pd.DataFrame(dict.fromkeys(("p_all", "p_visible"), generator.uniform(0.1, 0.9, 40) * 0.5
                                             + 0.4 * positive)) for key in ((100, 8, 0), (100, 8, 1), (900, 8, 0))}
    others = {(900, 8, 1): right[900, 8, 0] * 0 + 0.5, (900, 32, 1): right[900, 8, 0]}
    rows = over_seeds(right | others, np.full((1, 40), 0.5), positive)
    assert [row[:3] for row in rows] == [["8", "100", "0, 1"], ["8", "900", "0, 1"], ["32", "900", "1"]]
    mean = np.mean([log_odds(right[100, 8, seed]["p_all"].to_numpy()[None]) for seed in (0, 1)], axis=0)
    assert rows[0][3].startswith(f"{pooled_auroc(mean, positive).value:.3f} [")
    alone = pooled_auroc(right[900, 8, 0]["p_visible"].to_numpy()[None], positive).value
    assert rows[1][5].startswith(f"{alone:.3f} ["), "a constant changes no order"
    assert rows[1][7].startswith(f"{alone - pooled_auroc(mean, positive).value:+.3f} [")
    assert rows[0][7] == rows[2][7] == ""
