"""Public re-exports for notebooks, under the replicated repository's names. Nothing is defined here."""

from functions.checkpointing.checkpoint import load_model
from functions.evaluation.predictions import predict_image
from functions.reports.plots import make_title, plot_confusion_matrix, plot_loss_curves, pred_and_plot_image
from functions.runtime.device import set_seeds

__all__ = [
    "load_model",
    "make_title",
    "plot_confusion_matrix",
    "plot_loss_curves",
    "pred_and_plot_image",
    "predict_image",
    "set_seeds",
]
