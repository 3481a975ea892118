"""Features of a frozen network for all slices, computed once and kept in a safetensors file."""

from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from functions.runtime.atomic_files import write_atomically
from functions.runtime.errors import UserError


def features_on_disk(file: Path, count: int, depends_on: dict[str, str],
                     compute: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """Tensors with `count` rows: read from `file` if it exists, else computed and written.

    `depends_on` is written into the file: what the features were computed from. UserError for a file that was computed
    from something else (files of earlier versions do not say it) or has another number of rows.
    """
    if not file.exists():
        found = compute()
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, lambda out: out.write(save(found, metadata=depends_on)))
        return found
    try:
        with safe_open(file, "pt") as opened:
            known = opened.metadata() or {}
        found = load_file(file)
    except SafetensorError as error:
        raise UserError(f"{file} is damaged ({error}): remove it, and the features are computed again") from None
    if any(len(rows) != count for rows in found.values()) or (known and known != depends_on):
        raise UserError(f"{file} is of other data or weights: remove it, or name another folder with --out")
    return found
