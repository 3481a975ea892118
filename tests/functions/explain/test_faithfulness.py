import itertools

import numpy as np
import pytest
import torch

from functions.explain import faithfulness as module
from functions.explain.faithfulness import (
    Faithfulness,
    faithfulness,
    map_order,
    order_areas,
    randomised,
    rank_correlation,
    shown_curves,
)
from models import ViT, ViTConfig
from tests.functions.explain.conftest import SIZES, plant

BRIGHT = (1, 4), (6, 2), (3, 3)      # patches of the 8×6 grid


@pytest.fixture(scope="module")
def planted():
    """A network whose class 1 is the brightness of patches, and an image with three bright ones."""
    model = plant(ViT(ViTConfig(image_size=(32, 24), patch_size=4, in_channels=1, **SIZES)).eval())
    image = torch.zeros(1, 32, 24)
    for r, c in BRIGHT:
        image[:, 4 * r:4 * r + 4, 4 * c:4 * c + 4] = 2
    return model, image


def bright_map():
    shares = torch.zeros(8, 6)
    for r, c in BRIGHT:
        shares[r, c] = 1 / 3
    return shares


def test_a_map_passes_only_if_it_passes_each_of_the_three_tests():
    random = tuple(np.linspace(0.4, 0.6, 39))
    for insertion, deletion, similar in itertools.product((0.7, 0.5), (0.3, 0.5), (0.1, 0.8)):
        result = Faithfulness(insertion, deletion, random, (similar, similar + 0.01))
        each = (result.passes_insertion, result.passes_deletion, result.passes_randomisation)
        assert each == (insertion == 0.7, deletion == 0.3, similar == 0.1)
        assert result.passes == all(each) == (result.caveat == "")


def test_the_curves_show_the_first_patches_of_each_order(make):
    """Against pixels set one patch at a time, on a non-square grid."""
    model, image = make("ours"), torch.randn(1, 8, 12)
    orders = torch.stack([torch.randperm(6) for _ in range(3)])
    found = shown_curves(model, image, 2, orders)
    assert found.shape == (3, 7)
    for order, level in itertools.product(range(3), range(7)):
        shown = torch.zeros_like(image)
        for r, c in (divmod(int(patch), 3) for patch in orders[order, :level]):
            shown[:, 4 * r:4 * r + 4, 4 * c:4 * c + 4] = image[:, 4 * r:4 * r + 4, 4 * c:4 * c + 4]
        expected = model(shown[None]).softmax(1)[0, 2].item()
        assert found[order, level] == pytest.approx(expected, abs=1e-6)


def test_the_right_order_passes_and_the_reversed_order_fails(planted):
    model, image = planted
    generator = torch.Generator().manual_seed(0)
    right = map_order(bright_map(), generator)
    for order, passes in ((right, True), (right.flip(0), False)):
        insertion, deletion, random = order_areas(model, image, 1, order, 39, generator)
        assert len(random) == 39
        assert (insertion > np.mean(random) > deletion) == passes
        result = Faithfulness(insertion, deletion, random, (0.0, 0.1))
        assert result.passes_insertion == result.passes_deletion == passes


def test_random_maps_pass_no_more_often_than_the_level_says(planted):
    """200 random maps: at 5 % each of the two tests passes 10 ± 3; more than 21 has probability 0.0005."""
    model, image = planted
    generator = torch.Generator().manual_seed(1)
    random = order_areas(model, image, 1, torch.randperm(48, generator=generator), 400, generator)[2]
    passed = np.zeros(2, dtype=int)
    for i in range(200):
        others = tuple(np.random.default_rng(i).choice(random[200:], 39, replace=False))
        result = Faithfulness(random[i], random[i], others, (0.0, 0.1))
        passed += result.passes_insertion, result.passes_deletion
    assert (passed <= 21).all()


def test_relevance_passes_and_a_map_that_ignores_the_weights_fails(planted, monkeypatch):
    model, image = planted
    maps, [result] = faithfulness(model, image[None], "relevance", target=1)
    assert maps.shape == (1, 8, 6)
    assert result.passes
    assert result.caveat == ""
    assert len(result.similarity) == 10
    monkeypatch.setattr(module, "explain", lambda *args, **options: bright_map()[None])
    _, [result] = faithfulness(model, image[None], "rollout", target=None)
    assert not result.passes_randomisation
    assert result.similarity == pytest.approx([1.0] * 10)
    assert "randomisation" in result.caveat


def test_randomised_copies_explain_the_same_class(planted, monkeypatch):
    """Each copy would predict a class of its own."""
    model, image = planted
    asked = []

    def noted(*given, target, **options):
        asked.append(target)
        return bright_map()[None]

    monkeypatch.setattr(module, "explain", noted)
    faithfulness(model, image[None], "relevance", orders=19, copies=3)
    assert asked[0] is None
    assert [target.tolist() for target in asked[1:]] == [[1]] * 3
    faithfulness(model, image[None], "relevance", target=4, orders=19, copies=3)
    assert [int(target) for target in asked[4:]] == [4] * 4


def test_the_caveat_names_what_failed():
    random = tuple(np.linspace(0.4, 0.6, 39))
    assert Faithfulness(0.7, 0.3, random, (0.1, 0.2)).caveat == ""
    assert Faithfulness(0.5, 0.3, random, (0.1, 0.2)).caveat == "fails the insertion test"
    assert Faithfulness(0.5, 0.5, random, (0.1, 0.2)).caveat == "fails the insertion and deletion tests"
    every = Faithfulness(0.5, 0.5, random, (0.8, 0.9)).caveat
    assert every == "fails the insertion, deletion and randomisation tests"
    one_above = Faithfulness(0.599, 0.401, random, (0.1, 0.2))
    assert (one_above.p_insertion, one_above.p_deletion) == (0.05, 0.05)
    assert one_above.passes
    two_above = Faithfulness(0.594, 0.406, random, (0.1, 0.2))
    assert (two_above.p_insertion, two_above.p_deletion) == (0.075, 0.075)
    equal = Faithfulness(random[-1], random[0], random, (0.1, 0.2))
    assert (equal.p_insertion, equal.p_deletion) == (0.05, 0.05), "an equal area counts against the map"
    wide = Faithfulness(0.7, 0.3, random, (0.0, 0.9))
    assert np.mean(wide.similarity) < 0.5, "below the limit, but not shown to be"
    assert wide.caveat == "fails the randomisation test"


def test_randomised_weights_are_the_same_values_elsewhere(make):
    for kind in ("ours", "torchvision", "transfer"):
        model = make(kind)
        before = {name: p.clone() for name, p in model.named_parameters()}
        copy = randomised(model, torch.Generator().manual_seed(0))
        for name, p in copy.named_parameters():
            assert torch.equal(model.get_parameter(name), before[name])
            assert torch.equal(p.flatten().sort().values, before[name].flatten().sort().values)
            assert p.numel() < 6 or not torch.equal(p, before[name]), name


def test_equal_shares_are_in_random_order():
    """A constant map that always began at the top left would show the background first."""
    orders = [map_order(torch.full((2, 3), 1 / 6), torch.Generator().manual_seed(seed)).tolist() for seed in range(20)]
    assert all(sorted(order) == list(range(6)) for order in orders)
    assert len({order[0] for order in orders}) > 3
    shares = torch.tensor([[0.1, 0.4, 0.1], [0.0, 0.3, 0.1]])
    order = map_order(shares, torch.Generator().manual_seed(0)).tolist()
    assert order[:2] == [1, 4]
    assert order[5] == 3


def test_the_rank_correlation_of_constant_maps():
    shares, constant = torch.rand(2, 3), torch.full((2, 3), 1 / 6)
    assert rank_correlation(shares, 2 * shares**2) == pytest.approx(1)
    assert rank_correlation(shares, -shares) == pytest.approx(-1)
    assert rank_correlation(constant, shares) == 1
    assert rank_correlation(shares, constant) == 0
