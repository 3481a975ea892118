from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks.transfer import attention_head
from benchmarks.transfer.attention_head import GatedAttention, in_order
from benchmarks.transfer.cohort import Cohort, Results, check_inputs, read_cohort
from benchmarks.transfer.command import each_fold, head_fold, main, weight_files
from benchmarks.transfer.features import features as feature_file
from benchmarks.transfer.features import token_statistics
from benchmarks.transfer.fine_tuning import Training
from benchmarks.transfer.heads import HEADS, in_slabs
from benchmarks.transfer.rows import Source
from benchmarks.transfer.table import write_table
from data_setup.phantom.generate import make_phantom
from data_setup.splits.folds import patient_folds
from functions.runtime.errors import UserError
from models import ViT, ViTConfig

NAMES = ["AD", "CN"]


@pytest.fixture
def cohort():
    """20 patients of two classes with 8 slices each."""
    rows = [(f"{NAMES[n % 2]}/sub-{n:02d}_z{z}.png", NAMES[n % 2], f"sub-{n:02d}") for n in range(20) for z in range(8)]
    table = pd.DataFrame(rows, columns=["path", "class", "subject"])
    labels = np.array([NAMES.index(name) for name in table["class"]])
    return Cohort(table, NAMES, labels, patient_folds(table["class"].tolist(), table["subject"].tolist(), 4, 2, 0), 1)


def features(cohort, signal=1.0):
    noise = np.random.default_rng(0).normal(size=(len(cohort.labels), 5))
    noise[:, 2] += signal * cohort.labels
    return noise


@pytest.mark.parametrize("head", [*HEADS.values(), attention_head.attention_pooling])
def test_a_head_finds_a_signal_and_never_reads_test_labels(head, cohort, monkeypatch):
    monkeypatch.setattr(attention_head, "STEPS", 150)
    monkeypatch.setattr(attention_head, "SEEDS", 1)
    x, tested = features(cohort, 2.0), cohort.folds[0] == 1
    found = head(x, cohort)(tested, 0)
    _, labels, ids = cohort.patients(x)
    truth = labels[np.isin(ids, cohort.subjects[tested])]
    assert found.shape == (5, 2)
    assert found.sum(axis=1) == pytest.approx(np.ones(5))
    assert (found.argmax(axis=1) == truth).mean() >= 0.8
    swapped = cohort._replace(labels=np.where(tested, 1 - cohort.labels, cohort.labels))
    assert head(x, swapped)(tested, 0) == pytest.approx(found)


def test_slabs_are_stacks_of_neighbouring_slices_of_each_patient(cohort):
    z = np.tile(np.arange(8.0), 20)[:, None]
    assert in_slabs(z, cohort).tolist() == [[0.5, 2.5, 4.5, 6.5]] * 20


def test_attention_reads_slices_from_low_to_high_and_all_of_them(cohort):
    z = np.random.default_rng(0).permutation(160)
    shuffled = cohort._replace(table=cohort.table.iloc[z].reset_index(drop=True), labels=cohort.labels[z])
    position = shuffled.table["path"].str[-5].astype(float).to_numpy()[:, None]
    assert in_order(position, shuffled)[:, :, 0].tolist() == [list(range(8))] * 20
    torch.manual_seed(0)
    model = GatedAttention(8, 5, 2).eval()
    x = torch.randn(3, 8, 5)
    with torch.no_grad():
        first = model(x)
        assert model(x[:, torch.randperm(8)]) == pytest.approx(first, abs=1e-5), "positions are zero before training"
        model.positions[2] = 1.0
        assert (model(x) - first).abs().min() > 1e-4
        model.w.weight.fill_(0)
        assert model(x) == pytest.approx(model.classifier((x + model.positions).mean(dim=1)), abs=1e-5)


def test_the_last_class_token_is_that_of_equation_4():
    torch.manual_seed(0)
    vit = ViT(ViTConfig(image_size=(16, 8), patch_size=4, embedding_dim=12, num_heads=3, mlp_size=16, num_layers=3,
                        num_classes=2)).eval()
    images = torch.randn(2, 3, 16, 8)
    vit.classifier = torch.nn.Identity()
    with torch.no_grad():
        found = token_statistics(vit, images, (2, 3))
        z = vit.encoder(vit.patch_embedding(images))
        assert found["3_class"] == pytest.approx(vit(images), abs=1e-5)
        assert found["3_mean"] == pytest.approx(vit.norm(z)[:, 1:].mean(dim=1), abs=1e-5)
        assert found["3_sd"] == pytest.approx(vit.norm(z)[:, 1:].std(dim=1), abs=1e-5)
    assert set(found) == {f"{block}_{what}" for block in (2, 3) for what in ("class", "mean", "sd")}


def test_views_are_means_over_the_slice_and_augmented_copies_in_the_same_order(tmp_path):
    cohort = read_cohort(make_phantom(tmp_path / "set", people=12, slices=2), 2, 1, 0)
    source = Source(Training("vit_ti_16", "random", (32, 32)), blocks=(1,), views=1)

    def found(views):
        return feature_file(source._replace(views=views), {}, cohort, torch.device("cpu"),
                            tmp_path / f"{views}.safetensors")

    one, three = found(1), found(3)
    assert one.keys() == three.keys() == {"1_class", "1_mean", "1_sd"}
    apart = (three["1_mean"] - one["1_mean"]).norm(dim=1)
    assert (apart > 0).all(), "each slice has augmented views"
    assert (torch.cdist(three["1_mean"], one["1_mean"]).argmin(dim=1) == torch.arange(24)).float().mean() > 0.5
    assert torch.equal(found(3)["1_mean"], three["1_mean"])


def test_finished_folds_are_read_again_and_the_table_compares_on_the_same_patients(cohort, tmp_path):
    calls = []

    def predict(tested, repeat, fold):
        calls.append((repeat, fold))
        return head_fold(HEADS["ridge, slices"](features(cohort), cohort), cohort, tested, repeat, fold)

    for name in ("four_numbers", "other"):
        each_fold(cohort, Results(tmp_path, name, cohort), predict)
    each_fold(cohort, Results(tmp_path, "other", cohort), predict)
    assert calls == [(repeat, fold) for repeat in (0, 1) for fold in range(4)] * 2
    assert Results(tmp_path, "other", cohort).complete().probabilities.shape == (2, 20, 2)
    [row] = [line for line in write_table(tmp_path, cohort).splitlines() if line.startswith("| other")]
    assert "+0.000" in row
    fewer = cohort._replace(folds=cohort.folds[:1])                # more repeats are on disk than are asked for
    assert "| other | 2 |" in write_table(tmp_path, fewer)


def test_an_incomplete_repeat_is_not_scored_and_other_data_are_refused(cohort, tmp_path):
    results = Results(tmp_path, "part", cohort)
    fold = cohort.patient_folds()[0, 0]
    results.add(0, fold, np.array(["sub-00"]), np.array([[0.5, 0.5]]), 1.0)
    assert len(Results(tmp_path, "part", cohort).complete().folds) == 0
    assert results.finished(0, fold)
    assert not results.finished(0, fold + 1)
    results.add(0, 1, np.array(["stranger"]), np.array([[0.5, 0.5]]), 1.0)
    with pytest.raises(UserError, match="is of other data"):
        Results(tmp_path, "part", cohort)


def test_results_of_other_folds_are_refused(cohort, tmp_path):
    """Predictions of a network that was trained on the patients would count as tests."""
    results = Results(tmp_path, "row", cohort)
    results.add(0, (cohort.patient_folds()[0, 0] + 1) % 4, np.array(["sub-00"]), np.array([[0.5, 0.5]]), 1.0)
    with pytest.raises(UserError, match="row.csv is of other folds .--folds, --seed.: remove it"):
        Results(tmp_path, "row", cohort)


def test_a_folder_keeps_what_its_results_were_computed_from(tmp_path):
    check_inputs(tmp_path, {"--weights ti": "a"})
    check_inputs(tmp_path, {"--weights s14": "b"})
    check_inputs(tmp_path, {"--weights ti": "a", "--weights s14": "b"})
    with pytest.raises(UserError, match="has results with another value of --weights s14: name another"):
        check_inputs(tmp_path, {"--weights s14": "c"})


def test_a_row_without_its_weights_is_named_before_anything_is_computed(tmp_path):
    assert weight_files(["ti=a.pth"], ["four_numbers", "ti_native", "ti_random_all"]) == {"ti": Path("a.pth")}
    with pytest.raises(UserError, match="the row s14_last2 needs --weights s14=FILE, with weights of vit_s_14"):
        weight_files(["ti=a.pth"], ["ti_224", "s14_last2"])
    with pytest.raises(UserError, match="--weights ti: expected NAME=FILE"):
        weight_files(["ti"], ["four_numbers"])


@pytest.mark.parametrize("flags", [["--repeats", "0"], ["--epochs", "0"]])
def test_nothing_to_compute_is_refused(flags, capsys, tmp_path):
    with pytest.raises(SystemExit) as stopped:
        main(["four_numbers", "--data", str(tmp_path), *flags])
    assert stopped.value.code == 2
    assert "not an integer of at least 1" in capsys.readouterr().err
