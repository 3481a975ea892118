import io
import pickle

import numpy as np
import pandas as pd
import pytest
import torch

from functions import helper_functions
from functions.evaluation_plots import plot_roc, plot_score_by_stage
from functions.plots import plain_text, plot_confusion_matrix, plot_loss_curves, plot_prediction

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
    assert marked == ["best epoch 3 (kept by the run)"]


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


@pytest.mark.parametrize("name", [r"$\frac$", "$a$b", "$", r"a\$b$", "_hidden", "x" * 100, "漢字", "0.5"])
def test_any_class_name_is_drawn_letter_for_letter(name):
    names = ["AD", name]
    drawn = [plot_confusion_matrix(np.eye(2, dtype=int), names),
             plot_prediction(np.zeros((4, 5)), [0.3, 0.7], names, name),
             plot_score_by_stage(np.array([0.2, 0.9]), np.array([0, 1]), names, name),
             plot_roc({f"{name} or not": (np.arange(12.0), np.arange(12) % 3 > 0)}, np.arange(12), name, 20)]
    for figure in drawn:
        figure.savefig(io.BytesIO(), format="png", dpi=30)       # matplotlib reads formulas only here
    label = drawn[0].axes[0].get_yticklabels()[1]
    shown, is_formula = label._preprocess_math(label.get_text())
    assert not is_formula
    assert shown == (name if len(name) < 28 else "x" * 27 + "…")


def test_prediction_bars_keep_classes_apart_whose_labels_look_alike():
    names = ["y" * 40 + "1", "y" * 40 + "2"]
    assert plain_text(names[0]) == plain_text(names[1])
    bars = plot_prediction(np.zeros((4, 5)), [0.3, 0.7], names).axes[1].patches
    assert [bar.get_width() for bar in bars] == [0.3, 0.7]
    assert len({bar.get_y() for bar in bars}) == 2
