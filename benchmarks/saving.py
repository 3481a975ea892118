"""Row saving: cost of a checkpoint after every epoch, written synchronously and by a thread."""

import tempfile
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from unittest import mock

import torch
from torch import nn

from benchmarks.timing import alternate, ratios, summarise, table
from data_setup.resources import available_memory
from functions import engine
from functions.checkpointing import writer as checkpoint_writer
from functions.checkpointing.checkpoint import make_checkpoint
from functions.checkpointing.retention import retain
from functions.checkpointing.writer import CheckpointWriter, tensor_bytes
from functions.runtime.device import resolve_precision
from functions.training.optimisation import make_optimizer
from models import VARIANTS, ViT

EPOCHS, STEPS, BATCH = 5, 6, 8


class Job:
    """EPOCHS short epochs of a large model on small images: the checkpoint is large beside the arithmetic."""

    def __init__(self, name: str, size: int, device: torch.device):
        config = replace(VARIANTS[name], num_classes=4, image_size=size)
        self.device, self.precision = device, resolve_precision("auto", device)
        self.model = ViT(config).to(device)
        self.optimizer = make_optimizer(self.model, "adamw", 1e-4, 0.1)
        images = torch.randn(BATCH, config.in_channels, *config.image_size)
        self.batches = [(images, torch.zeros(BATCH, dtype=torch.long))] * STEPS

    def epoch(self) -> None:
        """STEPS training steps."""
        engine.train_step(self.model, self.batches, nn.CrossEntropyLoss(reduction="none"), self.optimizer, self.device,
                          precision=self.precision)

    def state(self, epoch: int) -> dict:
        """The checkpoint of an epoch."""
        scheduler = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda step: 1.0)
        return make_checkpoint(self.model, self.optimizer, scheduler, torch.amp.GradScaler(self.device.type),
                               epoch=epoch, history={}, best={"epoch": epoch}, class_names=[], preprocessing={},
                               split_hash="", fingerprint="", stamps=[])

    def without(self) -> None:
        """Epochs without checkpoints."""
        for _ in range(EPOCHS):
            self.epoch()

    def in_the_loop(self) -> None:
        """Every epoch waits until its checkpoint is on the disk."""
        with tempfile.TemporaryDirectory(dir=".") as folder:
            for epoch in range(1, EPOCHS + 1):
                self.epoch()
                retain(Path(folder), self.state(epoch), True)

    def every_epoch_in_a_thread(self) -> None:
        """As many files as in the loop: the clock is switched off."""
        with mock.patch.object(checkpoint_writer, "SECONDS", 0.0):
            self.in_a_thread()

    def in_a_thread(self) -> None:
        """Every epoch waits for a copy; the end waits for the disk. By the clock, not every epoch is written."""
        with tempfile.TemporaryDirectory(dir=".") as folder, CheckpointWriter(Path(folder), available_memory) as writer:
            for epoch in range(1, EPOCHS + 1):
                self.epoch()
                writer.submit(self.state(epoch), True)


def row_saving(options: Namespace) -> str:
    """Wall clock of five epochs with a checkpoint each, until the last one is on the disk; the variants alternate."""
    rows = []
    for name in options.model or ["vit_b_16"]:
        job = Job(name, (options.image_size or [32])[0], options.device)
        parties = {"no checkpoints": job.without, "written in the loop": job.in_the_loop,
                   "written by a thread": job.every_epoch_in_a_thread, "by a thread and by the clock": job.in_a_thread}
        job.epoch()
        seconds = alternate(parties, options.rounds, options.device, warmup=0)
        size = tensor_bytes(job.state(1)) / 1e9
        for who, times in seconds.items():
            rows.append([name, f"{size:.2f}", who, summarise(times).text(".1f"),
                         ratios(seconds, "written in the loop", who).text(".2f")])
    return table(["model", "GB a checkpoint", "checkpoints", f"{EPOCHS} epochs and the last file, s", "times as fast"],
                 rows)
