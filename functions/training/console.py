"""Console output of the training scripts: the header, one line per epoch, the final results."""

from argparse import Namespace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from functions.config.recipes import describe
from functions.config.settings import SCRATCH, TRANSFER, Script
from functions.epoch_metrics import EpochScores
from functions.evaluation.evaluation import Metrics
from functions.reports.evaluation_text import score_lines, summary_lines
from functions.runtime.device import autocast
from functions.runtime.errors import printable
from functions.training.collapse import collapse_warning
from functions.training.start import Start
from functions.training.throughput import Speed, format_seconds, seconds_per_image

DEMO = "PHANTOM DEMO: generated brains with a known answer, not patients"
RANDOM = "RANDOM WEIGHTS"


def frame(caveats: list[str]) -> list[str]:
    """The caveats in a frame of asterisks; no lines if there are none."""
    if not caveats:
        return []
    width = max(map(len, caveats)) + 2
    return ["*" * (width + 2), *(f"*{caveat:^{width}}*" for caveat in caveats), "*" * (width + 2)]


def describe_model(model: nn.Module) -> str:
    """The size of a hand-written ViT or hybrid as text."""
    config: Any = model.config
    parameters = sum(p.numel() for p in model.parameters())
    return (f"{parameters:,} parameters, {config.num_layers} layers of width {config.embedding_dim}, "
            f"{config.tokens}")


def print_start(begun: Start, model: nn.Module, description: str, data, notes: list[str], caveats: list[str],
                steps_per_epoch: int) -> None:
    """Prints the header: settings, model, device, and the patients and slices by class and split."""
    settings = begun.settings
    for line in (
        *frame(caveats),
        f"settings (* from a flag, the rest from {settings.recipe.name} or the defaults)",
        *describe(settings, begun.sources, begun.script),
        f"model    {settings.model}: {description}",
        f"device   {begun.hardware}",
        *(f"data     {note}" for note in notes),
        *(f"         {line}" for line in data.counts.to_string().splitlines()),
    ):
        print(printable(line))
    print_few_steps(len(data.train.dataset), steps_per_epoch, settings)
    if settings.summary:
        print_summary(model, begun.device)


FEW_STEPS = 500            # the paper's shortest fine-tuning, on some thousand images (Table 4)
FEW_PER_EPOCH = 10
FEWEST_STEPS = 200         # in all, however many there are per epoch (docs/training.md, "Few images")


def print_few_steps(slices: int, steps_per_epoch: int, settings: Namespace) -> None:
    """Prints a warning, naming the flags, if there are too few optimiser steps to learn anything."""
    steps = getattr(settings, "steps", None) or steps_per_epoch * settings.epochs
    if steps >= (FEWEST_STEPS if steps_per_epoch >= FEW_PER_EPOCH else FEW_STEPS):
        return
    longer = "--steps" if getattr(settings, "steps", None) else "--epochs"
    batches, advice = f"{settings.batch_size} (--batch_size)", [f"a larger {longer}"]
    smaller = max(1, settings.batch_size * steps_per_epoch // (2 * FEW_PER_EPOCH))
    if settings.accumulation > 1:
        batches += f", {settings.accumulation} batches per step (--accumulation)"
        advice.insert(0, "--accumulation 1")
    elif smaller < settings.batch_size and steps_per_epoch < FEW_PER_EPOCH:
        advice.insert(0, f"--batch_size {smaller}")
    print(f"WARNING  {slices:,} training slices in batches of {batches} give {steps_per_epoch} steps per epoch, "
          f"{steps:,} in total, too few to learn from; try {' or '.join(advice)}")


def describe_transfer(model: nn.Module, part: str, weights: str) -> str:
    """The size of a pretrained network, its trained part and the source of its weights, as text."""
    parameters = list(model.parameters())
    trained = sum(p.numel() for p in parameters if p.requires_grad)
    config: Any = model.config
    code = "the hand-written ViT" if config.backbone == "ours" else "torchvision's code"
    return (f"{sum(p.numel() for p in parameters):,} parameters, {trained:,} trained ({part}), {code}, "
            f"images {'x'.join(map(str, config.image_size))}, weights {weights}")


SMALLER = {SCRATCH.run_name: "a smaller model: --model vit_ti_16, or --recipe recipes/mri_cpu.yaml",
           TRANSFER.run_name: "a smaller model: --model resnet18; less to train: --train head"}


def epoch_estimate(model: nn.Module, data, hide_test: bool, precision: str, script: Script, count: int = 8) -> str:
    """An estimate of the time per epoch from one batch of `count`; if long, with the flag for a smaller model."""
    scored = [data.val] if hide_test else [data.val, data.test]
    images, _ = next(iter(scored[0]))
    with autocast(precision, images.device):
        step, forward = seconds_per_image(model, images[:count])
    seconds = step * len(data.train.dataset) + forward * sum(len(batches.dataset) for batches in scored)
    advice = f"; {SMALLER[script.run_name]}" if seconds > 300 else ""
    return f"time     about {format_seconds(seconds)} per epoch{advice}"


def epoch_head(hide_test: bool) -> str:
    """The two lines above those of `epoch_line`."""
    splits = "train/val" if hide_test else "train/val/test"
    return (f"{'epoch':>9}  {'loss':^17}  {'accuracy':^20}  {'balanced accuracy':^20}  {'lr':>7}  {'img/s':>8} "
            f"data wait   MFU  ETA\n"
            f"{'':9}  {splits:^17}  {splits:^20}  {splits:^20}")


def epoch_line(epoch: int, epochs: int, scores: dict[str, EpochScores], lr: float, speed: Speed | None,
               seconds: float) -> str:
    """One epoch: loss, accuracy, balanced accuracy of each of `scores`, learning rate, throughput, remaining time.

    Throughput is given as images per second, the share of time spent waiting for data, and the model FLOPs utilisation
    (MFU); `seconds` is the time of a whole epoch: training, scoring and saving.
    """
    loss = "/".join(f"{result.loss:.3f}" for result in scores.values())
    acc = "/".join(f"{result.acc:.1%}" for result in scores.values())
    balanced = "/".join(f"{result.balanced_acc:.1%}" for result in scores.values())
    train = scores["train"]
    throughput, data_wait = train.images_per_second, f"{train.data_wait / train.seconds:.1%}"
    mfu = f"{speed.mfu(throughput):.0%}" if speed else "-"
    eta = format_seconds((epochs - epoch) * seconds)
    return (f"{f'{epoch}/{epochs}':>9}  {loss:^17}  {acc:^20}  {balanced:^20}  {lr:7.1e}  {throughput:8,.0f} "
            f"{data_wait:>9} {mfu:>5}  {eta}")


def print_epoch(epoch: int, settings: Namespace, scores: dict[str, EpochScores], lr: float, class_names: list[str],
                from_scratch: bool, speed: Speed | None, seconds: float) -> None:
    """Prints one epoch's line, and a warning if nearly all predictions are one class."""
    print(epoch_line(epoch, settings.epochs, scores, lr, speed, seconds))
    warning = collapse_warning(
        scores["train"].confusion, scores["val"].confusion, scores["train"].loss, class_names,
        lr=settings.lr, warmup_share=settings.warmup_share, clip_norm=settings.clip_norm,
        class_weights=settings.class_weights,
        soft_targets=bool(settings.label_smoothing or settings.mixup or settings.cutmix),
        warming_up=epoch <= settings.warmup_share * settings.epochs, from_scratch=from_scratch)
    if warning:
        print(f"WARNING  {warning}")


def print_end(folder: Path, metrics: Metrics, caveats: list[str], left_out: list[str]) -> None:
    """Prints the test scores of the selected epoch with intervals, the run folder, and the files left out."""
    probe = [] if metrics.probe is None else [
        "", "closed-form probe on the frozen features (regularised least squares, the paper's few-shot protocol)",
        *score_lines(metrics.probe)]
    for line in (
        *frame(caveats),
        f"test, epoch {metrics.best_epoch} (selected by the one-standard-error rule on validation loss)",
        *summary_lines(metrics.test),
        *probe,
        f"{folder} holds the curves, predictions, metrics and checkpoints",
        *([f"{len(left_out)} files were left out:"] if left_out else []),
        *(f"  {file}" for file in left_out),
    ):
        print(printable(line))


def ceiling_line(ceiling: dict) -> str:
    """The scores of the Bayes-optimal classifier on the phantom's true anatomy, an upper bound in expectation.

    With few patients a network can exceed it by chance.
    """
    sample = ("" if not ceiling["test_people"] else
              f"balanced accuracy {ceiling['test_balanced_accuracy']:.1%}, AUROC {ceiling['test_macro_auroc']:.1%} on "
              f"these {ceiling['test_people']} test patients; ")
    return (f"phantom ceiling (Bayes-optimal classifier on the true anatomy): {sample}in expectation "
            f"{ceiling['balanced_accuracy']:.1%} and {ceiling['macro_auroc']:.1%}; a higher score "
            "indicates chance or leakage")


def print_summary(model: nn.Module, device: torch.device) -> None:
    """Prints torchinfo's table of the model for a batch of one image."""
    from torchinfo import summary

    config: Any = model.config
    print(summary(model, (1, config.in_channels, *config.image_size), device=device, depth=3, verbose=0,
                  col_names=("input_size", "output_size", "num_params"), row_settings=("var_names",)))
