import numpy as np
import pytest
import torch

from benchmarks import attention
from benchmarks.attention import BEST, Measured, best_maps, draw, on_structures, pass_table, ratio, ratios, share_table
from functions.explain.faithfulness import Faithfulness
from functions.explain.maps import METHODS


@pytest.fixture
def data():
    """Two patients with two slices each of 4×6 pixels in 2×3 patches; ventricles fill patch (0, 1), sulci half (1, 2).
    """
    found = {name: torch.zeros(4, 4, 6, dtype=torch.float64) for name in ("ventricles", "sulci", "head")}
    found["ventricles"][:, :2, 2:4] = 1
    found["sulci"][:, 2:, 4:] = 0.5
    found["head"][:, :, 2:] = 1
    found[attention.STRUCTURES[0]] = found["ventricles"] + found["sulci"]
    return attention.DemoSlices(torch.zeros(4, 1, 4, 6), np.array([3, 3, 8, 8]), [], found)


def test_attention_is_summed_over_the_structures(data):
    """A uniform map has exactly the shares of area; a map on one patch has what covers the patch."""
    uniform = on_structures(torch.full((4, 2, 3), 1 / 6), data)
    assert uniform.shape == (2, 8)
    assert uniform[0].tolist() == pytest.approx([4 / 6, 1.5 / 6, 1 / 6, 0.5 / 6] * 2)
    assert [r[0] for r in ratios(uniform).values()] == pytest.approx([1] * 5)
    one = torch.zeros(4, 2, 3)
    one[:2, 1, 2] = one[2:, 0, 0] = 1
    found = on_structures(one, data)
    assert found[0, :4].tolist() == [1, 0.5, 0, 0.5]
    assert found[1, :4].tolist() == [0, 0, 0, 0]
    best = on_structures(best_maps(data, (2, 3)), data)
    assert best[:, :4].tolist() == [[1, 1, 1, 0]] * 2
    assert ratios(best)["both"][0] == pytest.approx(4)
    assert ratios(best)["both, within the head"][0] == pytest.approx(4 * 4 / 6)


def test_the_interval_of_a_ratio_covers_it():
    """The delta method's interval of E[top] / E[bottom] in 400 samples of 40: 95 % ± 1.1 %, within 4 standard errors.
    """
    random, covered = np.random.default_rng(0), 0
    for _ in range(400):
        bottom = random.normal(1, 0.2, 40)
        top = 1.5 * bottom + random.normal(0, 0.3, 40)
        _, low, high = ratio(top, bottom)
        covered += low <= 1.5 <= high
    assert 0.906 <= covered / 400 <= 0.994


def test_the_tables_and_the_figure(data):
    maps = {name: on_structures(torch.rand(4, 2, 3), data) for name in ("a", "b")}
    on = {(network, method): maps["a"] for network in ("trained", "randomised") for method in METHODS}
    on |= {BEST: maps["b"]}
    passing, failing = Faithfulness(0.9, 0.1, (0.5,) * 39, (0.0, 0.1)), Faithfulness(0.4, 0.1, (0.5,) * 39, (0.9, 0.9))
    runs = [Measured(on, {method: [passing, failing] for method in METHODS})] * 2
    lines = share_table(runs).splitlines()
    assert len(lines) == 2 + 7
    assert all("± 0.00" in line for line in lines[2:])
    rows = [line.strip("| ").split(" | ") for line in pass_table(runs).splitlines()[2:]]
    cells = ["4", "50% ± 0%", "100% ± 0%", "50% ± 0%", "50% ± 0%"]
    assert [row[:6] for row in rows] == [[method, *cells] for method in METHODS]
    draw(runs).canvas.draw()


def test_only_demo_runs_have_known_structures(finished, capsys):
    with pytest.raises(SystemExit, match="2"):
        attention.main([str(finished)])
    assert "is not a run of train.py --demo" in capsys.readouterr().err
