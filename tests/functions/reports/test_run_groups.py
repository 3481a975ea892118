from pathlib import Path

import pytest

from functions.reports.run_groups import describe_seeds, group_runs, network_name, recipe_name, refuse_repeats
from functions.runtime.errors import UserError


def record(seed=0, fingerprint="f", classes=("AD", "CN"), **settings):
    return {"settings": {"model": "vit_b_16", "lr": 1e-3, "seed": seed} | settings, "fingerprint": fingerprint,
            "class_names": list(classes)}


def test_only_runs_that_differ_in_their_seed_alone_are_one_group():
    same = [record(0), record(1, name="x", num_workers=7, cwd="/elsewhere", device="cuda", stop_after=3)]
    others = [record(2, model="resnet18"), record(2, lr=2e-3), record(2, fingerprint="g"),
              record(2, classes=("AD", "MCI")), record(2, split="slice"), record(2, precision="bf16"),
              record(2, train="head")]
    assert group_runs([*same, *others]) == [[0, 1], *([number] for number in range(2, 9))]
    assert group_runs([others[0], same[0], others[0], same[1]]) == [[0, 2], [1, 3]]


def test_networks_are_called_what_they_are():
    assert network_name([record(), record(model="vit_l_16")]) == "ViT"
    assert network_name([record(model="resnet18"), record(model="resnet50")]) == "ResNet"
    assert network_name([record(model="resnet18"), record()]) == "network"
    assert network_name([{"settings": {}}]) == "network"


def test_runs_of_one_seed_are_not_called_seeds():
    assert describe_seeds([record(0), record(1)]) == "2 seeds"
    assert describe_seeds([record(0), record(0)]) == "2 runs, some with the same seed"


def test_a_run_that_is_named_twice_is_refused(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    refuse_repeats([tmp_path / "a", tmp_path / "b"])
    for again in (tmp_path / "a", Path(f"{tmp_path}/b/../a"), tmp_path / "link"):
        with pytest.raises(UserError, match="is given twice"):
            refuse_repeats([tmp_path / "a", again])


def test_a_recipe_is_called_by_its_file():
    assert recipe_name(record(recipe="recipes/mri_cpu.yaml")) == "mri_cpu"
    assert recipe_name(record(recipe=None)) == "vit_b_16"
