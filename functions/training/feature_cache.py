"""What a frozen backbone makes of each image, computed once and kept on disk."""

import hashlib
import json
import time
from argparse import Namespace
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

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
BLOCK_SECONDS = 4.0        # what a block should take at least: longer ones cost more when the program is interrupted


def frozen_features(model: nn.Module, data, settings: Namespace, device: torch.device, frozen: str,
                    precision: str) -> tuple[dict[str, Tensor], float]:
    """(each split's features (n, V, D), seconds it took): from disk where they are known, else computed, once.

    `model.features` maps images to features; `frozen` is the hash of its weights. V is 1, or `settings.views` augmented
    views of each training slice. A view is kept for these very slices and seed: each of its batches has a seed of its
    own, so that a view which was interrupted goes on as if it had not been.
    """
    check_writable(FOLDER, "leave features unkept with --no_cache")
    started, features, total, new = time.perf_counter(), {}, 0, 0
    model.eval()
    depends_on = {"weights": frozen, "model": config_to_plain(model.config), "preprocessing": data.preprocessing,
                  "precision": precision, "device": device.type, "chunk": model.chunk}
    step = model.chunk * world_size()                                    # images a batch
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
                raise UserError(f"the frozen network's features are not finite: the weights, --weights "
                                f"{format_value(settings.weights)}, make them so: begin with others, or try "
                                "--precision fp32")
            return found

        views = []
        for view in range(settings.views if augmented else 1):
            own = {"view": view, "seed": settings.seed, "slices": digests} if augmented else {}
            own |= {"processes": world_size()} if augmented and world_size() > 1 else {}
            what = f"features, {split}" + (f", view {view + 1} of {settings.views}" if augmented else "")
            found, computed = cached_features(
                FOLDER / f"{cache_key(**depends_on, **own)}.pt", digests,
                partial(compute, seed=settings.seed + view if augmented else None), step, what, model.head.in_features)
            views.append(found)
            total, new = total + len(found), new + computed
        features[split] = torch.stack(views, dim=1)                      # (n, V, D)
    seconds = time.perf_counter() - started
    print(f"features {new:,} of {total:,} computed in {seconds:.1f} s, the others known; all are kept in {FOLDER}")
    return features, seconds


class Seeded(nn.Module):
    """A transform whose random numbers in batch n, counted from `first`, follow from `seed`, n and the process."""

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
    """features(images (B, C, H, W)) → (B, D) over all batches, in their order: (n, D) float32 on the CPU.

    Of several processes each computes its share, and all get all rows, fillers of the last batch at the end.
    """
    rows = []
    for images, _ in dataloader:
        with autocast(precision, device):
            rows.append(features(images).float())
    return all_gather(torch.cat(rows)).cpu()


def cache_key(**parts) -> str:
    """A name for whatever the features depend on beside the pixels: a hash of `parts`, which are plain types."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def cached_features(file: Path, digests: Sequence[str], compute: Callable[[list[int]], Tensor], block: int = 1024,
                    what: str = "features", width: int | None = None) -> tuple[Tensor, int]:
    """(features (n, D) of the images whose pixels have these digests, how many of them had to be computed).

    The file holds every image's features under its digest, whatever set or split it came in; `compute(indices)` is
    asked for those it lacks, each once, `block` at a time, or a multiple of it while that takes under BLOCK_SECONDS.
    They are added at least every half minute, and when the program is interrupted: only the block being computed is
    lost. A damaged file counts as empty, which is printed.
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
        raise KeyboardInterrupt(f"features of {len(place):,} images are kept in {file.parent}; the same command goes "
                                "on from there") from None
    finally:
        progress.close()
    return features[[place[digest] for digest in digests]], len(missing)


def _read(file: Path, width: int | None) -> tuple[list[str], Tensor]:
    """(digests, features) of a file of this cache; both empty if it is not there or cannot be used."""
    empty = [], torch.empty(0)
    if not file.is_file():
        return empty
    try:
        content = read_plain(file)
        cached = CachedFeatures(**content) if isinstance(content, dict) and content.keys() == CACHED else None
        if cached is None or width not in (None, cached.features.shape[1]):
            raise UserError("it holds other things than features of this width by digest")
    except UserError as error:
        print(f"{file} cannot be used and is computed again: {error}")
        return empty
    return cached.digests, cached.features


@dataclass(frozen=True)
class CachedFeatures:
    """What a file of the cache holds: features (n, D) in fp32, finite, one row for each of n different digests."""

    digests: list[str]
    features: Tensor

    def __post_init__(self):
        digests, features = self.digests, self.features
        if type(digests) is not list or any(type(digest) is not str for digest in digests):
            raise UserError("digests are not a list of texts")
        if type(features) is not Tensor or features.dtype != torch.float32 or features.layout != torch.strided:
            raise UserError("features are not a tensor of float32")
        if features.ndim != 2 or len(features) != len(digests) or len(set(digests)) < len(digests):
            raise UserError("features are not one row for each of the digests, all different")
        if not features.is_contiguous() or features.is_meta or not features.isfinite().all():
            raise UserError("features are not all finite numbers")


CACHED = CachedFeatures.__dataclass_fields__.keys()
