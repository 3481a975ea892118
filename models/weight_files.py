"""A file of weights, whoever wrote it → tensors, without running anything that it holds."""

import hashlib
import pickle
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from functions.errors import UserError

CONTAINERS = ("state_dict", "model_state_dict", "model", "module", "weights")      # where others put their tensors
PREFIXES = ("module.", "_orig_mod.")                                               # of DataParallel, of torch.compile


class Weights(NamedTuple):
    """Tensors by name, on the CPU, and the configuration that our own checkpoints carry (None elsewhere)."""

    tensors: dict[str, Tensor]
    config: dict | None = None


def file_hash(path: str | Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_weights(path: str | Path) -> Weights:
    """The tensors of a .pth, .pt, .bin, .safetensors or .npz file.

    A name that ends in -<hash>, as torchvision's files do, must be the beginning of the file's SHA-256 (-20261123 is
    taken for a date). Raises
    ValueError, one line, for a file that is missing, damaged, of another kind, or holds anything but tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"weights {path}: {'a folder, not a file' if path.is_dir() else 'no such file'}")
    readers = {".npz": _read_npz, ".safetensors": load_file} | dict.fromkeys((".pth", ".pt", ".bin"), _read_torch)
    if path.suffix not in readers:
        raise UserError(f'weights {path}: ending "{path.suffix}" is none of {", ".join(readers)}')
    if path.stat().st_size == 0:
        raise UserError(f"weights {path}: empty file (0 bytes)")
    promised = re.search(r"-(?!20\d{6}$)([0-9a-f]{8,64})$", path.stem)
    if promised and not (found := file_hash(path)).startswith(promised[1]):
        raise UserError(f"weights {path}: damaged or another file: its SHA-256 begins with {found[:8]}, not with the "
                        f"{promised[1]} in its name; delete it and get it again")
    try:
        content = readers[path.suffix](path)
    except pickle.UnpicklingError as error:
        what = re.search(r"GLOBAL (\S+)", str(error))
        raise UserError(f"weights {path}: holds code or objects beside tensors, which could do anything when opened: "
                        f"refused{f' ({what[1]})' if what else ''}") from None
    except Exception as error:       # a damaged file makes its reader fail in any way: zlib.error, struct.error, …
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise UserError(f"weights {path}: damaged, cut short, or not what its name says ({reason})") from None
    return _unpack(content, path)


def _read_torch(path: Path) -> object:
    with open(path, "rb") as file:
        start = file.read(2)
    if start != b"PK" and start[:1] != b"\x80":
        raise UserError("neither a zip archive nor a pickle: a text or web page?")
    return torch.load(path, map_location="cpu", weights_only=True)


def _read_npz(path: Path) -> dict[str, Tensor]:
    tensors = {}
    archive = np.load(path, allow_pickle=False)
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise UserError("one array without a name, not an archive of arrays")
    with archive:
        for name in archive.files:
            array = archive[name]
            if array.dtype == np.dtype("V2"):                            # bfloat16, which NumPy has no name for
                tensors[name] = torch.from_numpy(array.view(np.int16).copy()).view(torch.bfloat16).float()
            elif array.dtype.kind in "fiu":
                tensors[name] = torch.from_numpy(array.copy())
            else:
                raise UserError(f"{name} is of type {array.dtype}, not numbers")
    return tensors


def _unpack(content: object, path: Path) -> Weights:
    """Tensors out of the dictionaries they come in, prefixes of wrappers taken off."""
    config = None
    while isinstance(content, dict) and not _all_tensors(content):
        inside = next((key for key in CONTAINERS if isinstance(content.get(key), dict)), None)
        if inside is None:
            break
        if inside == "weights" and isinstance(content.get("config"), dict):
            config = content["config"]
        content = content[inside]
    if not isinstance(content, dict) or not content or not _all_tensors(content):
        raise UserError(f"weights {path}: holds no tensors by name")
    while prefix := next((prefix for prefix in PREFIXES if all(name.startswith(prefix) for name in content)), None):
        content = {name.removeprefix(prefix): tensor for name, tensor in content.items()}
    return Weights(dict(content), config)


def _all_tensors(content: dict) -> bool:
    return all(isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items())
