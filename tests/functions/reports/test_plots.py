import io
import pickle

import numpy as np
import pandas as pd
import pytest
import torch

from functions import helper_functions
from functions.reports.plots import plot_confusion_matrix, plot_curve, plot_loss_curves
from functions.runtime.errors import UserError

CURVES = {
    "train_loss": [1.4, 1.1, 0.9, 0.7], "train_acc": [0.3, 0.5, 0.6, 0.7],
    "val_loss": [1.4, 1.0, 1.1, 1.2], "val_acc": [0.2, 0.5, 0.5, 0.4],
    "test_loss": [1.5, 1.2, 1.0, 1.3], "test_acc": [0.2, 0.4, 0.5, 0.4],
}


def lines_of(axis):
    return {line.get_label(): line.get_ydata() for line in axis.get_lines()}


def test_loss_and_accuracy_stand_side_by_side_with_the_best_epoch_marked(tmp_path):
    with open(tmp_path / "run_losses.pkl", "wb") as file:
        pickle.dump(CURVES, file)
    figure = helper_functions.plot_loss_curves(pd.read_pickle(tmp_path / "run_losses.pkl"), title="run")
    loss, accuracy = figure.axes
    for split in ("train", "val", "test"):
        assert list(lines_of(loss)[split]) == CURVES[f"{split}_loss"]
        assert list(lines_of(accuracy)[split]) == CURVES[f"{split}_acc"]
    marked = [label for label in lines_of(loss) if "best" in label]
    assert marked == ["best epoch 2 (lowest val loss)"], "validation's lowest loss, not test's"
    assert loss.get_xlabel() == "epoch"
    assert (loss.get_ylabel(), accuracy.get_ylabel()) == ("loss", "accuracy")
    figure.savefig(io.BytesIO(), format="png")
    marked = [label for label in lines_of(plot_loss_curves(CURVES, best_epoch=3).axes[0]) if "best" in label]
    assert marked == ["best epoch 3 (selected by the run)"]


@pytest.mark.parametrize(("metric", "k"), [("loss", 0), ("acc", 1)])
def test_one_panel_is_that_of_both(metric, k):
    [axis] = plot_curve(CURVES, metric, best_epoch=3).axes
    both = plot_loss_curves(CURVES, best_epoch=3).axes[k]
    assert axis.get_ylabel() == both.get_ylabel()
    assert {name: list(values) for name, values in lines_of(axis).items()} == {
        name: list(values) for name, values in lines_of(both).items()}


def test_older_pickles_with_four_keys_draw_too():
    older = {key: values for key, values in CURVES.items() if not key.startswith("val")}
    loss, _ = plot_loss_curves(older).axes
    assert set(lines_of(loss)) == {"train", "test"}, "nothing is chosen on the test set"


def test_one_epoch_can_be_seen():
    loss, _ = plot_loss_curves({key: values[:1] for key, values in CURVES.items()}).axes
    assert all(line.get_marker() != "None" for line in loss.get_lines() if line.get_label() in ("train", "val", "test"))


def test_confusion_matrix_shows_every_count():
    figure = plot_confusion_matrix(np.array([[5, 1], [0, 1234]]), ["AD", "CN"], "title")
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == ["5\n83%", "1\n17%", "0\n0%", "1,234\n100%"]
    plot_confusion_matrix(np.array([[0, 0], [0, 3]]), ["AD", "CN"]).savefig(io.BytesIO(), format="png")


def test_rows_of_too_few_patients_are_hatched_and_have_counts_alone():
    figure = plot_confusion_matrix(np.array([[5, 1], [2, 1]]), ["AD", "CN"], few=[1])
    [axis] = figure.axes
    [hatched] = axis.patches
    assert (hatched.get_hatch(), hatched.get_xy(), hatched.get_width(), hatched.get_height()) == (
        "///", (-0.5, 0.5), 2, 1)
    assert [text.get_text() for text in axis.texts] == ["5\n83%", "1\n17%", "2", "1"]
    assert figure.legends[0].get_texts()[0].get_text() == "fewer than 5 patients: counts only"
    assert not plot_confusion_matrix(np.eye(2), ["AD", "CN"]).legends


def test_a_prediction_is_drawn_beside_its_probabilities():
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(6, 2, bias=False))
    torch.nn.init.zeros_(model[1].weight)
    with torch.no_grad():
        model[1].weight[1] = 1.0
    figure = helper_functions.pred_and_plot_image(model, "slice.png", ["AD", "CN"],
                                                  transform=lambda path: torch.full((1, 2, 3), 0.25), label="AD")
    picture, bars = figure.axes
    expected = torch.tensor([0.0, 1.5]).softmax(0)
    assert [bar.get_width() for bar in bars.patches] == [p.item() for p in expected]
    assert "predicted: CN" in picture.get_title()
    assert "true: AD" in picture.get_title()


def sixteen_bits(value):
    return torch.tensor(value, dtype=torch.bfloat16)


@pytest.mark.parametrize("kind", [
    lambda value: torch.tensor(value, requires_grad=True), lambda value: torch.tensor([value], requires_grad=True) * 1,
    sixteen_bits, np.float32, np.float64, np.array, lambda value: np.array([value]), lambda value: [value], str])
def test_older_pickles_hold_tensors_and_numpy_scalars(kind):
    curves = {name: [kind(value) for value in values] for name, values in CURVES.items()}
    for axis, what in zip(plot_loss_curves(curves).axes, ("loss", "acc"), strict=True):
        for split in ("train", "val", "test"):
            assert list(lines_of(axis)[split]) == pytest.approx(CURVES[f"{split}_{what}"], abs=5e-3)
        assert "best epoch 2 (lowest val loss)" in lines_of(axis)


class OnGPU:
    """As a CUDA tensor with a graph: neither NumPy nor float() takes it before it is detached and on the CPU."""

    def __init__(self, value, device="cuda", graph=True):
        self.value, self.device, self.graph = value, device, graph

    def detach(self):
        return OnGPU(self.value, self.device, graph=False)

    def cpu(self):
        return OnGPU(self.value, "cpu", self.graph)

    def tolist(self):
        assert (self.device, self.graph) == ("cpu", False)
        return self.value

    def __array__(self, *_, **__):
        raise TypeError("can't convert cuda:0 device type tensor to numpy")

    __float__ = __array__


def test_values_on_a_gpu_are_fetched():
    curves = {name: [OnGPU(value) for value in values] for name, values in CURVES.items()}
    assert list(lines_of(plot_loss_curves(curves).axes[0])["train"]) == CURVES["train_loss"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_values_on_a_real_gpu_are_fetched():
    curves = {name: [torch.tensor(value, device="cuda", requires_grad=True) for value in values]
              for name, values in CURVES.items()}
    assert list(lines_of(plot_loss_curves(curves).axes[0])["train"]) == pytest.approx(CURVES["train_loss"])


def test_whole_curves_may_be_tensors_arrays_or_a_table():
    for make in (torch.tensor, np.array, tuple, pd.Series):
        curves = {name: make(values) for name, values in CURVES.items()}
        assert list(lines_of(plot_loss_curves(curves).axes[1])["test"]) == pytest.approx(CURVES["test_acc"])
    assert "val" in lines_of(plot_loss_curves(pd.DataFrame(CURVES)).axes[0])


def test_a_diverged_epoch_is_never_the_best_and_ragged_curves_draw():
    curves = CURVES | {"val_loss": [float("nan"), 1.3, float("inf"), 1.2], "test_loss": [1.0], "test_acc": [0.3]}
    loss, _ = plot_loss_curves(curves).axes
    assert "best epoch 4 (lowest val loss)" in lines_of(loss)
    assert list(lines_of(loss)["test"]) == [1.0]
    nothing = {name: [float("nan")] for name in CURVES}
    assert not any("best" in label for label in lines_of(plot_loss_curves(nothing).axes[0]))


@pytest.mark.parametrize(("curves", "best", "complaint"), [
    ({}, None, "lack train_"), ({"train_loss": [1.0]}, None, "lack train_acc"),
    (CURVES | {"val_acc": [0.1, "x", 0.2, 0.3]}, None, "val_acc holds 'x', which is not a number"),
    (CURVES | {"val_acc": [0.1, None, 0.2, 0.3]}, None, "val_acc holds None"),
    (CURVES | {"val_acc": [torch.ones(2)] * 4}, None, "val_acc holds"),
    (CURVES, 5, "the best epoch is 5, but the curves have 4 epochs"), (CURVES, -1, "the best epoch is -1")])
def test_what_are_no_curves_is_said_in_one_line(curves, best, complaint):
    with pytest.raises(UserError, match=complaint):
        plot_loss_curves(curves, best_epoch=best)
