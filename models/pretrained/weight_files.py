"""Reads weight files of any origin → tensors by name, without running code in them.

The file type is determined by the content, not by the extension.
"""

import hashlib
import re
import zipfile
from pathlib import Path
from types import NoneType
from typing import NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from functions.runtime.errors import UserError, not_a_file
from models.pretrained.torch_files import DAMAGED, Ignored, check_archive, read_torch_file

# Where others put their tensors, the averaged weights first, as timm reads them (timm/models/_helpers.py).
AVERAGED = ("state_dict_ema", "model_ema", "ema_state_dict", "ema", "ema_model", "teacher", "target_encoder")
CONTAINERS = (*AVERAGED, "state_dict", "model_state_dict", "model_state", "model", "net", "network", "module",
              "weights", "params", "model_weights", "student", "encoder", "backbone")
PREFIXES = ("module.", "_orig_mod.")                                               # of DataParallel, of torch.compile
FROZEN = "frozen.pt"                                                               # beside our own checkpoints
CONVERT = "get the same weights as safetensors or of torch.save"
KINDS = {      # first bytes of files passed by mistake
    b"version https://git-lfs": "a Git LFS pointer, not the file itself: fetch it with `git lfs pull`",
    b"\x1f\x8b": "gzip: unpack it first", b"\xfd7zXZ": "xz: unpack it first", b"BZh": "bzip2: unpack it first",
    b"\x89HDF": f"HDF5, such as Keras writes: {CONVERT}", b"GGUF": f"GGUF of llama.cpp: {CONVERT}",
    b"<": "a web page", b"{": "a text in JSON",
}


class Weights(NamedTuple):
    """Tensors by name, on the CPU; settings of our own checkpoints (None for other files); notes on what was left out.
    """

    tensors: dict[str, Tensor]
    config: dict | None = None
    preprocessing: dict | None = None
    notes: tuple[str, ...] = ()
    where: str = ""                      # the containers that the tensors were in, such as "teacher"


def file_hash(path: str | Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_weights(path: str | Path) -> Weights:
    """The tensors of a file of torch.save, safetensors or NumPy's npz, under any name.

    A name that ends in -<hash>, as torchvision's files do, must be the beginning of the file's SHA-256 (-20261123 is
    taken for a date). Of our own checkpoints, the frozen weights beside them are read too. Raises UserError, one line,
    for a file that is missing, damaged, of another kind, or holds anything but tensors.
    """
    path = Path(path)
    if why := not_a_file(path):
        inside = f": give {path / 'best.pt'}" if path.is_dir() and (path / "best.pt").is_file() else ""
        raise UserError(f"weights {path}: {why}{inside}")
    if path.stat().st_size == 0:
        raise UserError(f"weights {path}: empty file (0 bytes)")
    promised = re.search(r"-(?!20\d{6}(?:\.|$))([0-9a-f]{8,64})(?:\.[a-z]+)*$", path.name.lower())
    if promised and not (found := file_hash(path)).startswith(promised[1]):
        raise UserError(f"weights {path}: damaged or another file: its SHA-256 begins with {found[:8]}, not with the "
                        f"{promised[1]} in its name; delete it and download it again")
    try:
        return _unpack(_read(path), path)
    except UserError as error:
        raise UserError(f"weights {path}: {' '.join(str(error).split())}") from None


def _read(path: Path) -> object:
    """The content, by the reader selected by file signature."""
    with open(path, "rb") as file:
        start = file.read(32)
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < path.stat().st_size:     # its header's length, JSON
        try:
            return load_file(path)
        except Exception as error:       # safetensors of damaged bytes: SafetensorError, and torch's own errors
            raise UserError(f"{DAMAGED} ({str(error)[:120]})") from None
    if start[:2] == b"PK":
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
        except Exception as error:       # of damaged bytes: BadZipFile, struct.error, …
            raise UserError(f"{DAMAGED} ({str(error)[:120]})") from None
        if names and all(name.endswith(".npy") for name in names):
            return _read_npz(path)
        if not any(name.endswith("data.pkl") for name in names):
            raise UserError(f"a ZIP archive that torch.save did not write ({', '.join(names)[:60] or 'empty'}): unpack "
                            "it and give the file of weights in it")
        return read_torch_file(path, foreign=True)
    if start[:1] == b"\x80":
        return read_torch_file(path, foreign=True)
    if start[:6] == b"\x93NUMPY":
        raise UserError("one array without a name, not an archive of arrays")
    what = next((words for first, words in KINDS.items() if start.lstrip().startswith(first)),
                f"neither a file of torch.save nor safetensors nor .npz: {CONVERT}")
    raise UserError(f"{DAMAGED} ({what})")


def _read_npz(path: Path) -> dict[str, Tensor]:
    tensors = {}
    check_archive(path)
    with np.load(path, allow_pickle=False) as archive:
        for name in archive.files:
            try:
                array = archive[name]
            except Exception as error:       # of an array of objects, or of damaged bytes
                raise UserError(f"{name} is damaged or no array of numbers ({str(error)[:100]})") from None
            if array.dtype == np.dtype("V2"):                            # bfloat16, which NumPy has no name for
                tensors[name] = torch.from_numpy(array.view(np.int16).copy()).view(torch.bfloat16).float()
            elif array.dtype.kind in "fiu" and array.dtype.itemsize <= 8:
                tensors[name] = torch.from_numpy(array.astype(array.dtype.newbyteorder("="), copy=True))
            else:
                raise UserError(f"{name} is of type {array.dtype}, not real numbers")
    return tensors


def _unpack(content: object, path: Path) -> Weights:
    """Tensors out of nested dictionaries, wrapper prefixes removed."""
    if isinstance(content, dict) and _is_one(content.get("format")) and isinstance(content.get("weights"), dict):
        return _our_checkpoint(content, path)
    notes: list[str] = []
    where: list[str] = []
    while len(where) < 5 and isinstance(content, dict) and (inside := _containers(content)):
        if inside[1:] and (inside[0] in AVERAGED or inside[1] == "student"):
            notes.append(f"of {' and '.join(inside)}, the file's {inside[0]} is read")
        where.append(inside[0])
        content = content[inside[0]]
    content = content if isinstance(content, dict) else {}
    tensors = {name: value for name, value in content.items() if _is_tensor(name, value)}
    if not tensors:
        inner = f" in {'.'.join(where)}" if where else ""
        raise UserError(f"holds no tensors by name{inner}")
    if others := sorted(str(name) for name in content.keys() - tensors.keys()):
        arrays = [name for name in others if "." in name and isinstance(content.get(name), Ignored)]
        if arrays:
            raise UserError(f"{arrays[0]} is no tensor: a NumPy array, or an object of another project")
        notes.append(f"{len(others)} entries beside the tensors are left out: {', '.join(others[:3])}"
                     + (", …" if others[3:] else ""))
    while prefix := next((prefix for prefix in PREFIXES if all(name.startswith(prefix) for name in tensors)), None):
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return Weights(tensors, notes=tuple(notes), where=".".join(where))


def _is_tensor(name: object, value: object) -> bool:
    return isinstance(name, str) and isinstance(value, Tensor)


def _containers(content: dict) -> list[str]:
    """Names of the dictionaries in `content` that hold tensors: the known ones in order, else the only one there is."""
    holding = [name for name, value in content.items() if isinstance(name, str) and _holds_tensors(value)]
    known = [name for name in CONTAINERS if name in holding]
    if known or any(_is_tensor(*item) for item in content.items()):
        return known
    if len(holding) > 1:
        raise UserError(f"holds tensors in several places ({', '.join(holding[:4])}): save one in a file of its own")
    return holding


def _holds_tensors(value: object) -> bool:
    return isinstance(value, dict) and (any(_is_tensor(*item) for item in value.items()) or any(
        isinstance(value.get(name), dict) and any(_is_tensor(*item) for item in value[name].items())
        for name in CONTAINERS))


def _our_checkpoint(content: dict, path: Path) -> Weights:
    """Our own checkpoint: its tensors, the frozen ones beside it, its configuration and its preprocessing."""
    weights = dict(content["weights"])
    frozen = content.get("frozen", "")
    if type(frozen) is not str:
        raise UserError(f"frozen is {type(frozen).__name__}, not text")
    if frozen:
        weights |= frozen_weights(path.parent / FROZEN, frozen, path)
    if bad := [name for name, value in weights.items() if not _is_tensor(name, value)]:
        raise UserError(f"weights: {str(bad[0])[:80]} is no tensor")
    config, preprocessing = content.get("config"), content.get("preprocessing")
    for name, value in {"config": config, "preprocessing": preprocessing}.items():
        if not isinstance(value, (dict, type(None))):
            raise UserError(f"{name} is {type(value).__name__}, not a dictionary")
        _check_plain(name, value or {})
    return Weights(weights, config, preprocessing)


def _is_one(value: object) -> bool:
    return type(value) is int and value == 1                             # a tensor's comparison is a tensor


def _check_plain(where: str, settings: dict) -> None:
    """UserError for a setting that is not text, a number below 2**53, true, false or None, or a list of these."""
    for name, value in settings.items():
        for one in (name, *value) if isinstance(value, (list, tuple)) else (name, value):
            if type(one) not in (str, int, float, bool, NoneType) or (type(one) is int and abs(one) >= 2**53):
                key = name[:60] if isinstance(name, str) else type(name).__name__
                raise UserError(f"{where}.{key} is {type(one).__name__}, not text, a number below 2**53, or a list of "
                                "these")


def frozen_weights(beside: Path, digest: str, path: Path) -> dict[str, Tensor]:
    """The weights that never changed in a run, kept once beside its checkpoints, of which `path` is one."""
    if why := not_a_file(beside):
        raise UserError(f"{beside}: {why}; {path} needs the frozen weights in it: keep both in one folder")
    try:
        kept = read_torch_file(beside)
    except UserError as error:
        raise UserError(f"{beside} is damaged, or holds more than plain data ({error})") from None
    if not isinstance(kept, dict) or str(kept.get("digest")) != digest or not isinstance(kept.get("weights"), dict):
        raise UserError(f"{beside} does not hold the frozen weights that belong to {path}")
    return kept["weights"]
