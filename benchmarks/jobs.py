"""Rows 3 and 4: whole jobs, data loading included, compared with the replicated repository's loop at the same model."""

import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator
from contextlib import chdir
from dataclasses import replace
from pathlib import Path

import torch
import torchvision
from torch import nn

from benchmarks import replicated_loop
from benchmarks.slices import some_slices
from benchmarks.timing import alternate, ratios, summarise, table
from data_setup import create_dataloaders
from data_setup.images.resize import Frame
from data_setup.loading.dataloaders import Data
from data_setup.loading.feature_batches import with_features
from data_setup.resources import available_memory
from functions import engine
from functions.checkpointing.checkpoint import frozen_digest, make_checkpoint
from functions.checkpointing.writer import CheckpointWriter
from functions.runtime.device import resolve_precision
from functions.training.feature_cache import frozen_features
from functions.training.optimisation import make_optimizer
from models import VARIANTS, ViT, ViTConfig
from models.pretrained.sources import find_pretrained, load_transfer

THEIRS = "the replicated loop"
BATCH = 32       # theirs
# recipes/mri_cpu.yaml's network, but for RGB, which is what the replicated loop reads
SMALL = replace(VARIANTS["vit_ti_16"], image_size=(96, 80), num_layers=4, embedding_dim=64, num_heads=4, mlp_size=256)


class Waited:
    """A wrapper of batches; `seconds` sums the time waited for them, `total` the time of whole passes."""

    def __init__(self, batches: Iterable):
        self.batches, self.seconds, self.total = batches, 0.0, 0.0

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator:
        began, batches = time.perf_counter(), iter(self.batches)
        while True:
            asked = time.perf_counter()
            batch = next(batches, None)
            self.seconds += time.perf_counter() - asked
            if batch is None:
                break
            yield batch
        self.total += time.perf_counter() - began


def ours(config: ViTConfig, data: Data, device: torch.device, precision: str,
         folder: Path) -> tuple[Callable[[], None], Waited]:
    """(an epoch of engine.train_step and test_step and its checkpoint in `folder`, its training batches).

    The checkpoint is written by a thread while the next epoch runs; what the loop waits for it counts.
    """
    model = ViT(config).to(device)
    optimizer = make_optimizer(model, "adamw", 3e-4, 0.1)
    loss_fn, train = nn.CrossEntropyLoss(reduction="none"), Waited(data.train)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
    facts = {"class_names": data.class_names, "preprocessing": data.preprocessing, "split_hash": "", "stamps": [],
             "fingerprint": data.fingerprint, "history": {}, "best": {"epoch": 1}}
    folder.mkdir()
    writer = CheckpointWriter(folder, available_memory)
    if device.type == "cuda":
        model.compile()

    def epoch() -> None:
        engine.train_step(model, train, loss_fn, optimizer, device, precision=precision)
        engine.test_step(model, data.test, loss_fn, device, precision=precision)
        writer.submit(make_checkpoint(model, optimizer, scheduler, scaler, epoch=1, **facts), True)

    return epoch, train


def theirs(config: ViTConfig, data: Data, folder: Path, batch_size: int,
           device: torch.device) -> tuple[Callable[[], None], Waited]:
    """(an epoch of the replicated loop over the same files, its training batches): fp32, TF32 off, as torch begins."""
    def files(split, shuffle: bool):
        return replicated_loop.loader(folder, split.dataset.paths, config.image_size, batch_size, shuffle)

    model = replicated_loop.ReplicatedViT(config).to(device)
    optimizer = replicated_loop.make_optimizer(model)
    train, test = Waited(files(data.train, True)), files(data.test, False)

    def epoch() -> None:
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")
        replicated_loop.train_epoch(model, train, optimizer, device)
        replicated_loop.test_epoch(model, test, device)
        torch.set_float32_matmul_precision(before)

    return epoch, train


def row_job(options: Namespace) -> str:
    """An epoch of training and scoring from files on the disk; all implementations have the same slices and model."""
    device, rows = options.device, []
    cuda, batch_size = device.type == "cuda", (options.batch_size or [BATCH])[0]
    count = (options.slices or [10**6 if options.data else 2000] if cuda else options.slices or [192])[0]
    precisions = options.precision or [resolve_precision("auto", device)]
    if not cuda and not options.precision and torch.cpu._is_amx_tile_supported():
        precisions.append("bf16")                       # --precision auto is fp32 on a CPU
    for name in options.model or (["vit_b_16"] if cuda else ["small", "vit_ti_16", "vit_b_16"]):
        config = SMALL if name == "small" else VARIANTS[name]
        if options.image_size:
            config = replace(config, image_size=options.image_size[0])
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as root:
            folder = some_slices(options.data, count, Path(root)) / "train"
            started = time.perf_counter()
            data = create_dataloaders(folder, None, batch_size, image_size=config.image_size,
                                      channels=config.in_channels, device=device, augment=False)
            decoding = time.perf_counter() - started
            config = replace(config, num_classes=len(data.class_names))
            made = {THEIRS: theirs(config, data, folder, batch_size, device)}
            made |= {f"ours, {precision}": ours(config, data, device, precision, Path(root, precision))
                     for precision in precisions}
            seconds = alternate({who: epoch for who, (epoch, _) in made.items()}, options.rounds, device)
        images = len(data.train.dataset) + len(data.test.dataset)
        for who, (_, train) in made.items():
            rows.append([name, "x".join(map(str, config.image_size)), images, who,
                         "-" if who == THEIRS else f"{decoding:.1f}", summarise(seconds[who]).text(),
                         f"{images / summarise(seconds[who]).median:.0f}", f"{train.seconds / train.total:.1%}",
                         ratios(seconds, THEIRS, who).text(".2f")])
    return table(["model", "pixels", "slices", "implementation", "start-up s, once", "epoch s", "images/s", "data wait",
                  "times as fast"], rows)


def frozen_ours(model_name: str, size: int, folder: Path, epochs: int, device: torch.device) -> None:
    """Everything from files to a trained head: decoding, features once, epochs of the head alone."""
    pretrained = find_pretrained(model_name, "random", "torchvision", (size, size), 3)
    own = Frame(pretrained.config.image_size, **pretrained.frame).describe()
    data = create_dataloaders(folder, None, BATCH, channels=3, device=device, augment=False,
                              preprocessing=own | {"mean": pretrained.mean, "std": pretrained.std})
    model = load_transfer(pretrained, len(data.class_names)).to(device)
    settings = Namespace(precision=resolve_precision("auto", device), augment=False, views=1, seed=0)
    with tempfile.TemporaryDirectory() as empty, chdir(empty):           # where no features are known yet
        features, _ = frozen_features(model, data, settings, device, frozen_digest(model), settings.precision)
    streams = with_features(data, features)
    engine.train(model.head, streams.train, streams.test, make_optimizer(model, "adamw", 1e-3, 0.03),
                 nn.CrossEntropyLoss(reduction="none"), epochs, device, val_dataloader=streams.val)


def frozen_theirs(model_name: str, size: int, folder: Path, paths: tuple[list[str], list[str]], epochs: int,
                  device: torch.device) -> None:
    """The same by the replicated loop: the frozen network runs on every image in every epoch."""
    sized = {"image_size": size} if model_name.startswith("vit") else {}
    model = getattr(torchvision.models, model_name)(weights=None, **sized).requires_grad_(False)
    head = "fc" if hasattr(model, "fc") else "heads"
    width = (model.fc if head == "fc" else model.heads.head).in_features
    setattr(model, head, nn.Linear(width, len(list(folder.iterdir()))))
    model, optimizer = model.to(device), replicated_loop.make_optimizer(model)
    train, test = (replicated_loop.loader(folder, p, (size, size), BATCH, p is paths[0]) for p in paths)
    for _ in range(epochs):
        replicated_loop.train_epoch(model, train, optimizer, device)
        replicated_loop.test_epoch(model, test, device)


def row_frozen(options: Namespace) -> str:
    """Ten epochs of a new head on a frozen network of random weights, from files to the trained head."""
    device, rows = options.device, []
    count, size = (options.slices or [1000 if device.type == "cuda" else 128])[0], (options.image_size or [224])[0]
    epochs = 2 if options.quick else 10
    for name in ["resnet18"] if options.quick else options.model or ["vit_b_16"]:
        with tempfile.TemporaryDirectory() as folder:
            folder = some_slices(options.data, count, Path(folder)) / "train"
            data = create_dataloaders(folder, None, BATCH, image_size=(32, 32), channels=3, device=device)
            train = data.train.dataset.paths + data.val.dataset.paths     # they have no validation
            paths = train, data.test.dataset.paths
            seconds = alternate({
                THEIRS: lambda: frozen_theirs(name, size, folder, paths, epochs, device),      # noqa: B023
                "ours": lambda: frozen_ours(name, size, folder, epochs, device),                    # noqa: B023
            }, options.rounds, device, warmup=0)
        for who in seconds:
            rows.append([name, len(data.table), epochs, who, summarise(seconds[who]).text(),
                         ratios(seconds, THEIRS, who).text(".2f")])
    return table(["model", "slices", "epochs", "implementation", "s, files to head", "times as fast"], rows)
