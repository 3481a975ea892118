"""What a frozen backbone makes of each image, computed once and kept on disk."""

import hashlib
import json
import time
from argparse import Namespace
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from functions.checkpoints import config_to_plain
from functions.distributed import from_main, is_main, together, world_size
from functions.files import write_atomically
from functions.runtime import autocast, set_seeds

FOLDER = Path("runs/.features")


def frozen_features(model: nn.Module, data, settings: Namespace, device: torch.device, frozen: str,
                    precision: str) -> tuple[dict[str, Tensor], float]:
    """(each split's features (n, V, D), seconds it took): from disk where they are known, else computed, once.

    `model.features` maps images to features; `frozen` is the hash of its weights. V is 1, or `settings.views` augmented
    views of each training slice. A view's random numbers hang on who else is in its batches, so it is computed of all
    training slices in one go, and kept for these very slices and seed.
    """
    started, features, total, new = time.perf_counter(), {}, 0, 0
    model.eval()
    depends_on = {"weights": frozen, "model": config_to_plain(model.config), "preprocessing": data.preprocessing,
                  "precision": precision, "device": device.type, "chunk": model.chunk}
    for split in ("train", "val", "test"):
        batches = getattr(data, split)
        digests = batches.dataset.digests
        augmented = settings.augment and split == "train"

        def compute(rows: list[int], batches=batches, split=split) -> Tensor:
            in_order = batches.in_order(rows, model.chunk)
            return extract(model.features, in_order, device, precision, f"features, {split}")[:len(rows)]

        views = []
        for view in range(settings.views if augmented else 1):
            own = {"view": view, "seed": settings.seed, "slices": digests} if augmented else {}
            own |= {"processes": world_size()} if augmented and world_size() > 1 else {}
            set_seeds(settings.seed + view)
            found, computed = cached_features(FOLDER / f"{cache_key(**depends_on, **own)}.pt", digests, compute,
                                              len(digests) if augmented else 1024)
            views.append(found)
            total, new = total + len(found), new + computed
        features[split] = torch.stack(views, dim=1)                      # (n, V, D)
    seconds = time.perf_counter() - started
    print(f"features {new:,} of {total:,} computed in {seconds:.1f} s, the others known; all are kept in {FOLDER}")
    return features, seconds


@torch.inference_mode()
def extract(features: Callable[[Tensor], Tensor], dataloader: Iterable, device: torch.device, precision: str,
            progress: str) -> Tensor:
    """features(images (B, C, H, W)) → (B, D) over all batches, in their order: (n, D) float32 on the CPU.

    Of several processes each computes its share, and all get all rows, fillers of the last batch at the end.
    """
    rows = []
    for images, _ in tqdm(dataloader, desc=progress, leave=False, disable=None if is_main() else True):
        with autocast(precision, device):
            rows.append(features(images).float())
    return together(torch.cat(rows)).cpu()


def cache_key(**parts) -> str:
    """A name for whatever the features depend on beside the pixels: a hash of `parts`, which are plain types."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def cached_features(file: Path, digests: Sequence[str], compute: Callable[[list[int]], Tensor],
                    block: int = 1024) -> tuple[Tensor, int]:
    """(features (n, D) of the images whose pixels have these digests, how many of them had to be computed).

    The file holds every image's features under its digest, whatever set or split it came in; `compute(indices)` is
    asked for those it lacks, each once, `block` at a time, and they are added at least every half minute: an
    interruption costs no more. A damaged file counts as empty.
    """
    known, features = from_main(_read(file))
    place = {digest: row for row, digest in enumerate(known)}
    missing = {digest: index for index, digest in enumerate(digests) if digest not in place}
    lacking, saved = list(missing), time.monotonic()
    for start in range(0, len(lacking), block):
        part = lacking[start:start + block]
        computed = compute([missing[digest] for digest in part])
        features = torch.cat([features, computed]) if place else computed
        place |= {digest: len(place) + row for row, digest in enumerate(part)}
        if time.monotonic() - saved > 30 or start + block >= len(lacking):
            file.parent.mkdir(parents=True, exist_ok=True)
            content = {"digests": list(place), "features": features}
            write_atomically(file, lambda out, content=content: torch.save(content, out))
            saved = time.monotonic()
    return features[[place[digest] for digest in digests]], len(missing)


def _read(file: Path) -> tuple[list[str], Tensor]:
    empty = [], torch.empty(0)
    if not file.is_file():
        return empty
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
        digests, features = content["digests"], content["features"]
    except Exception:        # an unpickler of damaged bytes can raise anything; nothing is lost but time
        return empty
    whole = len(digests) == len(features) and features.isfinite().all()
    return (digests, features) if whole else empty
