"""Features of a frozen backbone, computed once per image and cached on disk."""

import hashlib
import json
import time
from argparse import Namespace
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from functions.checkpointing.checkpoint import config_to_plain, read_plain
from functions.checkpointing.run_names import check_writable
from functions.config.settings import format_value
from functions.runtime.atomic_files import write_atomically
from functions.runtime.device import autocast
from functions.runtime.distributed import all_gather, broadcast, is_main, rank, world_size
from functions.runtime.errors import UserError
from functions.runtime.progress import Progress

FOLDER = Path("runs/.features")
BLOCK_SECONDS = 4.0        # target time per block: an interruption loses at most one block


def frozen_features(model: Any, data, settings: Namespace, device: torch.device, frozen: str,
                    precision: str) -> tuple[dict[str, Tensor], float]:
    """(features (n, V, D) of each split, seconds): read from the cache, or computed and added to it.

    `model` is a TransferModel: `model.features` maps images to features; `frozen` is the hash of its weights. V is 1,
    or `settings.views` augmented views of each training slice. An augmented view is cached for its exact slices and
    seed. Each of its batches has its own seed, so that an interrupted view resumes with the same random numbers.
    """
    check_writable(FOLDER, "disable the cache with --no_cache")
    started, features, total, new = time.perf_counter(), {}, 0, 0
    model.eval()
    config = {name: value for name, value in config_to_plain(model.config).items() if name != "drop_path"}   # 0 here
    depends_on = {"weights": frozen, "model": config, "preprocessing": data.preprocessing,
                  "precision": precision, "device": device.type, "chunk": model.chunk}
    step = model.chunk * world_size()                                    # images per batch
    for split in ("train", "val", "test"):
        batches = getattr(data, split)
        digests = batches.dataset.digests
        augmented = settings.augment and split == "train"

        place = {digest: row // step for row, digest in enumerate(dict.fromkeys(digests))}      # number of its batch

        def compute(rows: list[int], seed: int | None = None, batches=batches, digests=digests, place=place) -> Tensor:
            in_order = batches.in_order(rows, model.chunk)
            if seed is not None:
                in_order.transform = Seeded(in_order.transform, seed, place[digests[rows[0]]])
            found = extract(model.features, in_order, device, precision)[:len(rows)]
            if not found.isfinite().all():
                raise UserError(f"the features of the frozen network are not finite: the weights, --weights "
                                f"{format_value(settings.weights)}, are the cause; use others, or try "
                                "--precision fp32")
            return found

        views = []
        for view in range(settings.views if augmented else 1):
            own = {"view": view, "seed": settings.seed, "slices": digests} if augmented else {}
            own |= {"processes": world_size()} if augmented and world_size() > 1 else {}
            title = f"features, {split}" + (f", view {view + 1} of {settings.views}" if augmented else "")
            found, computed = cached_features(
                FOLDER / f"{cache_key(**depends_on, **own)}.pt", digests,
                partial(compute, seed=settings.seed + view if augmented else None), step, title, model.head.in_features)
            views.append(found)
            total, new = total + len(found), new + computed
        features[split] = torch.stack(views, dim=1)                      # (n, V, D)
    seconds = time.perf_counter() - started
    print(f"features {new:,} of {total:,} computed in {seconds:.1f} s, the others read from the cache {FOLDER}")
    return features, seconds


class Seeded(nn.Module):
    """A transform that seeds torch for batch n, counted from `first`, from `seed`, n and the process."""

    def __init__(self, transform: nn.Module, seed: int, first: int):
        super().__init__()
        self.transform, self.seed, self.batch = transform, seed, first

    def forward(self, images: Tensor) -> Tensor:
        numbers = hashlib.sha256(f"{self.seed} {self.batch} {rank()}".encode()).digest()
        torch.manual_seed(int.from_bytes(numbers[:7], "big"))
        self.batch += 1
        return self.transform(images)


@torch.inference_mode()
def extract(features: Callable[[Tensor], Tensor], dataloader: Iterable, device: torch.device,
            precision: str) -> Tensor:
    """Applies features(images (B, C, H, W)) → (B, D) to all batches in order: (n, D) float32 on the CPU.

    Several processes divide each batch; all of them get all rows, with the padding of the last batch at the end.
    """
    rows = []
    for images, _ in dataloader:
        with autocast(precision, device):
            rows.append(features(images).float())
    return all_gather(torch.cat(rows)).cpu()


def cache_key(**parts) -> str:
    """A hash of `parts` (plain types): everything that the features depend on besides the pixels."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def cached_features(file: Path, digests: Sequence[str], compute: Callable[[list[int]], Tensor], block: int = 1024,
                    what: str = "features", width: int | None = None) -> tuple[Tensor, int]:
    """(features (n, D) of the images with these pixel digests, number of images computed).

    The file maps digests to features, independent of data set and split. `compute(indices)` computes the missing ones,
    `block` images at a time; the block is doubled while it takes less than BLOCK_SECONDS. The file is saved at least
    every 30 s and on interruption, so that only the current block is lost. A damaged file is reported and recomputed.
    """
    known, features = broadcast(_read(file, width) if is_main() else None)
    place = {digest: row for row, digest in enumerate(known)}
    missing = {digest: index for index, digest in enumerate(digests) if digest not in place}
    lacking, saved, done, size = list(missing), time.monotonic(), 0, block
    progress = Progress(what, len(lacking))

    def save() -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        content = {"digests": list(place), "features": features}
        write_atomically(file, lambda out: torch.save(content, out))

    try:
        while done < len(lacking):
            part, started = lacking[done:done + size], time.monotonic()
            computed = compute([missing[digest] for digest in part])
            features = torch.cat([features, computed]) if place else computed
            place |= {digest: len(place) + row for row, digest in enumerate(part)}
            done += len(part)
            progress.update(len(part))
            if time.monotonic() - saved > 30 or done == len(lacking):
                save()
                known, saved = list(place), time.monotonic()
            size = broadcast(2 * size if time.monotonic() - started < BLOCK_SECONDS else size)
    except KeyboardInterrupt:
        if len(features) == len(place) > len(known):
            save()
        raise KeyboardInterrupt(f"features of {len(place):,} images are saved in {file.parent}; the same command "
                                "continues from there") from None
    finally:
        progress.close()
    return features[[place[digest] for digest in digests]], len(missing)


def _read(file: Path, width: int | None) -> tuple[list[str], Tensor]:
    """(digests, features) of a cache file; both empty if it does not exist or is unreadable."""
    empty: tuple[list[str], Tensor] = [], torch.empty(0)
    if not file.is_file():
        return empty
    try:
        content = read_plain(file)
        cached = CachedFeatures(**content) if isinstance(content, dict) and content.keys() == CACHED else None
        if cached is None or width not in (None, cached.features.shape[1]):
            raise UserError("it does not hold features of this width by digest")
    except UserError as error:
        print(f"{file}: unreadable cache; recomputing ({error})")
        return empty
    return cached.digests, cached.features


@dataclass(frozen=True)
class CachedFeatures:
    """The content of a cache file: finite fp32 features (n, D), one row for each of n different digests."""

    digests: list[str]
    features: Tensor

    def __post_init__(self):
        digests, features = self.digests, self.features
        if type(digests) is not list or any(type(digest) is not str for digest in digests):
            raise UserError("digests are not a list of strings")
        if type(features) is not Tensor or features.dtype != torch.float32 or features.layout != torch.strided:
            raise UserError("features are not a tensor of float32")
        if features.ndim != 2 or len(features) != len(digests) or len(set(digests)) < len(digests):
            raise UserError("features are not one row for each of the digests, all different")
        if not features.is_contiguous() or features.is_meta or not features.isfinite().all():
            raise UserError("features are not all finite numbers")


CACHED = CachedFeatures.__dataclass_fields__.keys()
