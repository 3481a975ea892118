from dataclasses import replace

import torch
from torch import nn

from benchmarks import replicated_loop
from benchmarks.jobs import SMALL
from benchmarks.slices import generate, some_slices
from models import ViT

CONFIG = replace(SMALL, image_size=(16, 12), patch_size=4, embedding_dim=12, num_heads=3, mlp_size=20, num_layers=2,
                 num_classes=3, norm_eps=1e-5)


def test_its_model_is_ours_but_for_the_epsilon():
    """The same weights, in the same order, give the same logits: what differs in speed is the code around them."""
    model, theirs = ViT(CONFIG), replicated_loop.ReplicatedViT(CONFIG)
    with torch.no_grad():
        for ours, other in zip(model.parameters(), theirs.parameters(), strict=True):
            ours.copy_(other)
    images = torch.randn(2, 3, 16, 12)
    torch.testing.assert_close(model(images), theirs(images))


def test_a_pass_learns_and_a_frozen_part_does_not(tmp_path):
    torch.manual_seed(0)
    folder = generate(tmp_path, 24) / "train"
    paths = [str(path) for path in sorted(folder.glob("*/*"))]
    batches = replicated_loop.loader(folder, paths[:20], (16, 12), 8, shuffle=True)
    assert [len(labels) for _, labels in batches] == [8, 8, 4]
    model = replicated_loop.ReplicatedViT(CONFIG)
    model.project.requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = replicated_loop.make_optimizer(model)
    losses = [replicated_loop.train_epoch(model, batches, optimizer, torch.device("cpu")) for _ in range(30)]
    assert losses[-1] < losses[0]
    same = {name for name, value in model.state_dict().items() if torch.equal(value, before[name])}
    assert same == {"project.weight", "project.bias"}
    nn.init.zeros_(model.classifier[1].weight)
    model.classifier[1].bias.data = torch.tensor([0.0, 9.0, 0.0])            # always the second class
    one_class = [path for path in paths if "/NonDemented/" in path]
    scored = replicated_loop.loader(folder, one_class, (16, 12), 8, shuffle=False)
    assert replicated_loop.test_epoch(model, scored, torch.device("cpu")) in (0.0, 1.0)


def test_generated_slices_are_as_many_as_asked_and_of_one_class_a_person(tmp_path):
    files = sorted((generate(tmp_path / "a", 31) / "train").glob("*/*.png"))
    assert len(files) == 31
    people = {}
    for file in files:
        people.setdefault(file.name.split("_")[0], set()).add(file.parent.name)
    assert len(people) >= 12
    assert all(len(classes) == 1 for classes in people.values())
    assert len({file.read_bytes() for file in files}) == 31
    chosen = sorted((some_slices(tmp_path / "a", 10, tmp_path / "b") / "train").glob("*/*.png"))
    assert len(chosen) == 10
    assert {file.resolve() for file in chosen} <= set(files)
    assert len({file.parent.name for file in chosen}) == 3
