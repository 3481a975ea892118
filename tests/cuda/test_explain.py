"""Attention maps, their tests and figures of a network on a simulated GPU: no tensor is left on the wrong device.

Relevance needs a backward pass, which is not simulated.
"""

import pytest
import torch

from functions.explain.faithfulness import faithfulness
from functions.explain.figures import figure_6, figure_7
from functions.explain.inspection import attention_distance
from tests.cuda.simulated import simulated_cuda
from tests.functions.explain.conftest import make, pictures  # noqa: F401 - fixtures


def test_maps_and_figures_are_those_of_the_cpu(make, pictures):  # noqa: F811
    model, images = make("ours"), pictures("ours", 1)
    expected, distances = faithfulness(model, images, "rollout", orders=19, copies=2), attention_distance(model, images)
    with simulated_cuda():
        moved, there = model.to("cuda"), images.to("cuda")
        maps, tests = faithfulness(moved, there, "rollout", orders=19, copies=2)
        assert maps.is_cuda
        torch.testing.assert_close(maps.cpu(), expected[0])
        for ours, theirs in zip(tests, expected[1], strict=True):
            assert ours.random == pytest.approx(theirs.random, abs=1e-6)
            assert ours.similarity == pytest.approx(theirs.similarity)
        torch.testing.assert_close(attention_distance(moved, there), distances)
        figure_6(there, ["a"], {"rollout": maps}, {"rollout": [test.caveat for test in tests]})
        figure_7(moved, there)
