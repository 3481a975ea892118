import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from benchmarks.combination.command import main, on_slabs
from benchmarks.combination.gaussian_process import stage_probabilities
from benchmarks.combination.white_matter import WHITE, normalised_numbers, white_level
from benchmarks.pretraining.network import untrained
from benchmarks.transfer.heads import in_slabs
from data_setup.audit.baseline_features import four_numbers
from data_setup.splits.folds import patient_folds
from functions.cross_validation.cohort import Cohort

NAMES = ["MildDemented", "NonDemented", "VeryMildDemented"]         # stages 2, 0, 1


@pytest.fixture
def cohort():
    """30 patients of three stages with 8 slices each."""
    rows = [(f"{NAMES[n % 3]}/{n:02d}_z{z}.png", NAMES[n % 3], f"{n:02d}") for n in range(30) for z in range(8)]
    table = pd.DataFrame(rows, columns=["path", "class", "subject"])
    labels = np.array([NAMES.index(name) for name in table["class"]])
    return Cohort(table, NAMES, labels, patient_folds(table["class"].tolist(), table["subject"].tolist(), 3, 1, 0), 1)


def test_a_process_finds_the_stage_and_never_reads_test_labels(cohort):
    stage = np.array([2, 0, 1])[cohort.labels]
    x = np.random.default_rng(0).normal(size=(len(stage), 3))
    x[:, 1] += 3 * stage
    tested = cohort.tested(0, 1)
    ids, found = on_slabs(in_slabs(x, cohort), cohort, tested, 0, 1)
    truth = [NAMES.index(cohort.table.set_index("subject")["class"].loc[subject].iloc[0]) for subject in ids]
    assert set(ids) == set(cohort.subjects[tested])
    assert found.sum(axis=1) == pytest.approx(np.ones(len(ids)))
    assert found.argmax(axis=1).tolist() == truth
    swapped = cohort._replace(labels=np.where(tested, (cohort.labels + 1) % 3, cohort.labels))
    assert on_slabs(in_slabs(x, swapped), swapped, tested, 0, 1)[1] == pytest.approx(found)


def test_without_a_signal_every_patient_gets_the_shares_of_the_stages():
    generator = np.random.default_rng(1)
    stages = np.repeat([0, 1], [40, 20])
    found = stage_probabilities(generator.normal(size=(60, 5)), stages, generator.normal(size=(7, 5)), 2)
    assert found[:, 1] == pytest.approx(np.full(7, 1 / 3), abs=0.1)


def two_tissues(gray, white, scale=1.0):
    """A disc of white matter in a ring of gray matter with a hole of fluid, noisy."""
    y, x = np.mgrid[-40:40, -30:30]
    distance = np.hypot(y / 36, x / 26)
    image = np.select([distance < 0.2, distance < 0.7, distance < 1], [40, white, gray], 0)
    noise = np.random.default_rng(0).normal(0, 3, image.shape) * (image > 0)
    return np.clip((image + noise) * scale, 0, 255).astype(np.uint8)


def test_normalised_numbers_do_not_depend_on_the_brightness_of_the_slice():
    image, darker = two_tissues(130, 220), two_tissues(130, 220, 0.6)
    assert white_level(image) == pytest.approx(220, abs=3)
    assert white_level(darker) == pytest.approx(132, abs=3)
    assert normalised_numbers(darker) == pytest.approx(normalised_numbers(image), abs=0.02)
    assert np.abs(four_numbers(darker) - four_numbers(image)).max() > 0.2
    assert WHITE == 200
    assert normalised_numbers(np.zeros((8, 8), np.uint8)).tolist() == [0, 0, 0, 0]


def test_the_command_writes_every_row_and_sum_beside_four_numbers(tmp_path, capsys):
    for number, name in enumerate(["MildDemented", "NonDemented", "VeryMildDemented"] * 4):
        for z in range(4):
            file = tmp_path / "data" / "train" / name / f"sub-{number:02d}_z{z}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(two_tissues(130, 180 + 3 * number)).save(file)
    save_file({"9_sd": torch.rand(48, 6)}, tmp_path / "features.safetensors")
    save_file(untrained().state_dict(), tmp_path / "network.safetensors")
    main(["--data", str(tmp_path / "data"), "--features", str(tmp_path / "features.safetensors"), "--networks",
          str(tmp_path / "network.safetensors"), "--folds", "2", "--repeats", "1", "--out", str(tmp_path / "out")])
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("| numbers + brightness |")
    assert len([line for line in lines if line.startswith("|")]) == 2 + 6 + 6
