"""The lines a training script prints: the block at the start, one line an epoch, the end."""

from argparse import Namespace
from pathlib import Path

import torch
from torch import nn

from functions.config.recipes import describe
from functions.config.settings import SCRATCH, TRANSFER, Script
from functions.epoch_metrics import EpochScores
from functions.evaluation.results import result_lines, score_lines
from functions.runtime.device import autocast
from functions.runtime.errors import printable
from functions.training.collapse import collapse_warning
from functions.training.start import Start
from functions.training.throughput import Speed, format_seconds, seconds_per_image

DEMO = "PHANTOM DEMO: generated brains with a known answer, not patients"
RANDOM = "RANDOM WEIGHTS"


def banner(words: list[str]) -> list[str]:
    """A frame around what must not be overlooked; nothing for no words."""
    if not words:
        return []
    width = max(map(len, words)) + 2
    return ["*" * (width + 2), *(f"*{word:^{width}}*" for word in words), "*" * (width + 2)]


def model_words(model: nn.Module) -> str:
    """The size of a hand-written ViT in words."""
    config, (rows, columns) = model.config, model.config.grid
    parameters = sum(p.numel() for p in model.parameters())
    return (f"{parameters:,} parameters, {config.num_layers} layers of width {config.embedding_dim}, "
            f"{rows}x{columns} patches of {config.patch_size}x{config.patch_size} pixels")


def print_start(begun: Start, model: nn.Module, words: str, data, notes: list[str], stamps: list[str],
                steps_per_epoch: int) -> None:
    """The block at the start: what was resolved, the model, the data, patients and slices by class and split."""
    settings = begun.settings
    for line in (
        *banner(stamps),
        f"settings (* from a flag, the rest from {settings.recipe.name} or the defaults)",
        *describe(settings, begun.sources, begun.script),
        f"model    {settings.model}: {words}",
        f"device   {begun.hardware}",
        *(f"data     {note}" for note in notes),
        *(f"         {line}" for line in data.counts.to_string().splitlines()),
    ):
        print(printable(line))
    print_few_steps(len(data.train.dataset), steps_per_epoch, settings)
    if settings.summary:
        print_summary(model, begun.device)


FEW_STEPS = 500            # the paper's shortest fine-tuning, of some thousand images (Table 4)
FEW_AN_EPOCH = 10


def print_few_steps(slices: int, steps_per_epoch: int, settings: Namespace) -> None:
    """A warning where so few optimiser steps are taken that next to nothing can be learnt; names the flags."""
    steps = getattr(settings, "steps", None) or steps_per_epoch * settings.epochs
    if steps_per_epoch >= FEW_AN_EPOCH or steps >= FEW_STEPS:
        return
    longer = "--steps" if getattr(settings, "steps", None) else "--epochs"
    batches, advice = f"{settings.batch_size} (--batch_size)", [f"a larger {longer}"]
    smaller = max(1, settings.batch_size * steps_per_epoch // (2 * FEW_AN_EPOCH))
    if settings.accumulation > 1:
        batches += f", {settings.accumulation} of them a step (--accumulation)"
        advice.insert(0, "--accumulation 1")
    elif smaller < settings.batch_size:
        advice.insert(0, f"--batch_size {smaller}")
    print(f"WARNING  {slices:,} training slices in batches of {batches} make {steps_per_epoch} steps an epoch, "
          f"{steps:,} in all: next to nothing is learnt in so few; try {' or '.join(advice)}")


def transfer_words(model: nn.Module, part: str, weights: str) -> str:
    """The size of a pretrained network in words, how much of it is trained, and whose weights it has."""
    parameters = list(model.parameters())
    trained = sum(p.numel() for p in parameters if p.requires_grad)
    code = "the hand-written ViT" if model.config.backbone == "ours" else "torchvision's code"
    return (f"{sum(p.numel() for p in parameters):,} parameters, {trained:,} trained ({part}), {code}, "
            f"images {'x'.join(map(str, model.config.image_size))}, weights {weights}")


SMALLER = {SCRATCH.run_name: "a smaller model: --model vit_ti_16, or --recipe recipes/mri_cpu.yaml",
           TRANSFER.run_name: "a smaller model: --model resnet18; less to train: --train head"}


def epoch_estimate(model: nn.Module, train, scored: list, precision: str, script: Script,
                   count: int = 8) -> str:
    """How long an epoch will take, from one batch of `count`; names the script's flag for a smaller model if long."""
    images, _ = next(iter(scored[0]))
    with autocast(precision, images.device):
        step, forward = seconds_per_image(model, images[:count])
    seconds = step * len(train.dataset) + forward * sum(len(batches.dataset) for batches in scored)
    advice = f"; {SMALLER[script.run_name]}" if seconds > 300 else ""
    return f"time     about {format_seconds(seconds)} an epoch{advice}"


EPOCH_HEAD = f"{'epoch':>9}  {'loss':^17}  {'accuracy':^20}  {'balanced accuracy':^20}  {'rate':>7}  images/s  " \
             f"wait  peak  left\n" \
             f"{'':9}  {'train/val/test':^17}  {'train/val/test':^20}  {'train/val/test':^20}"


def epoch_line(epoch: int, epochs: int, scores: dict[str, EpochScores], lr: float, speed: Speed | None,
               seconds: float) -> str:
    """One epoch: loss, accuracy, balanced accuracy on train/val/test, learning rate, speed of training, time left.

    Speed is images a second, the share of the time that was waited for data, and that of the device's measured peak;
    `seconds` is what a whole epoch takes: training, scoring and saving.
    """
    loss = "/".join(f"{result.loss:.3f}" for result in scores.values())
    acc = "/".join(f"{result.acc:.1%}" for result in scores.values())
    balanced = "/".join(f"{result.balanced_acc:.1%}" for result in scores.values())
    train = scores["train"]
    rate, wait = train.images_per_second, f"{train.data_wait / train.seconds:.1%}"
    peak = f"{speed.used(rate):.0%}" if speed else "-"
    left = format_seconds((epochs - epoch) * seconds)
    return (f"{f'{epoch}/{epochs}':>9}  {loss:^17}  {acc:^20}  {balanced:^20}  {lr:7.1e}  {rate:8,.0f} "
            f"{wait:>5} {peak:>5}  {left}")


def print_epoch(epoch: int, settings: Namespace, scores: dict[str, EpochScores], lr: float, class_names: list[str],
                from_scratch: bool, speed: Speed | None, seconds: float) -> None:
    """One epoch's line, and a warning if one class swallows all predictions."""
    print(epoch_line(epoch, settings.epochs, scores, lr, speed, seconds))
    warning = collapse_warning(
        scores["train"].confusion, scores["val"].confusion, scores["train"].loss, class_names,
        lr=settings.lr, warmup_share=settings.warmup_share, clip_norm=settings.clip_norm,
        class_weights=settings.class_weights, label_smoothing=settings.label_smoothing,
        warming_up=epoch <= settings.warmup_share * settings.epochs, from_scratch=from_scratch)
    if warning:
        print(f"WARNING  {warning}")


def print_end(folder: Path, best_epoch: int, scored: dict, largest: str, patients_known: bool, stamps: list[str],
              left_out: list[str]) -> None:
    """The end: the test scores of the best epoch with intervals, where everything lies, the files left out."""
    probe = [] if "probe" not in scored else [
        "", "closed-form probe on the frozen features (regularised least squares, the paper's few-shot protocol)",
        *score_lines(scored["probe"], patients_known)]
    for line in (
        *banner(stamps),
        f"test, epoch {best_epoch} (the last that validation patients do not clearly speak against)",
        *result_lines(scored["test"], largest, patients_known),
        *probe,
        f"{folder} holds the curves, predictions, metrics and checkpoints",
        *([f"{len(left_out)} files were left out:"] if left_out else []),
        *(f"  {file}" for file in left_out),
    ):
        print(printable(line))


def ceiling_line(ceiling: dict) -> str:
    """What Bayes' rule on the phantom's true anatomy scores on the same test people: no network can be expected above.

    With few people luck can still carry a network over it.
    """
    here = ("" if not ceiling["test_people"] else
            f"balanced accuracy {ceiling['test_balanced_accuracy']:.1%}, AUROC {ceiling['test_macro_auroc']:.1%} on "
            f"these {ceiling['test_people']} people; ")
    return (f"phantom's ceiling, by Bayes' rule on the true anatomy: {here}expected of anybody "
            f"{ceiling['balanced_accuracy']:.1%} and {ceiling['macro_auroc']:.1%}; a score above it is luck or a leak")


def print_summary(model: nn.Module, device: torch.device) -> None:
    """torchinfo's table of the model, for a batch of one image."""
    from torchinfo import summary

    config = model.config
    print(summary(model, (1, config.in_channels, *config.image_size), device=device, depth=3, verbose=0,
                  col_names=("input_size", "output_size", "num_params"), row_settings=("var_names",)))
