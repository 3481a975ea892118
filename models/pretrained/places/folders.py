"""Folders of weights, as transformers, timm and open_clip write them; one file, or several with an index."""

import hashlib
import re
from pathlib import Path

from torch import Tensor

from functions.runtime.errors import UserError
from models.pretrained.config_files import read_json
from models.pretrained.weight_files import Weights, file_hash, read_weights

INDEX = ".index.json"
# In this order; only files that torch.save wrote are pickles, which weight_files.py reads without running code.
NAMES = ("model.safetensors", f"model.safetensors{INDEX}", "open_clip_model.safetensors", "pytorch_model.bin",
         "open_clip_pytorch_model.bin")
ENDINGS = (".safetensors", ".bin", ".pth", ".pt", ".npz")


def weights_in(folder: Path) -> Path:
    """The file of weights, or the index of several, in a folder; UserError, one line, if there is none or no telling.
    """
    for name in NAMES:
        if (folder / name).is_file():
            return folder / name
    if (folder / "best.pt").is_file():
        raise UserError(f"weights {folder}: a folder, not a file: give {folder / 'best.pt'}")
    found = sorted(file for file in folder.iterdir() if file.suffix in ENDINGS and file.is_file())
    if len(found) != 1:
        names = ", ".join(file.name for file in found[:4]) or "no file of weights"
        raise UserError(f"weights {folder}: a folder with {names}; expected {NAMES[0]}, {NAMES[1]}, or one file")
    return found[0]


def weights_hash(path: Path) -> str:
    """SHA-256 of a file of weights, or of the files in a folder; UserError as of `weights_in` and `read_files`."""
    return read_files(weights_in(path) if path.is_dir() else path)[1]


def read_files(path: Path) -> tuple[Weights, str]:
    """(the tensors of a file of weights, or of all files of an index; their SHA-256, of the files in order).

    UserError as of `read_weights`, for an index that is damaged, and for a tensor that is not in the file it names.
    """
    if (part := re.search(r"-\d+-of-0*(\d+)\.", path.name)) and part[1] != "1":
        raise UserError(f"weights {path}: one of {part[1]} files: give the folder, or the {INDEX[1:]} file in it")
    if not path.name.endswith(INDEX):
        return read_weights(path), file_hash(path)
    places = read_json(path).get("weight_map")
    if not isinstance(places, dict) or not places or any(
            not isinstance(name, str) or Path(name).name != name for name in places.values()):
        raise UserError(f"{path}: weight_map does not name the file, in this folder, of each tensor")
    tensors: dict[str, Tensor] = {}
    digest, names = hashlib.sha256(), sorted(set(places.values()))
    for name in names:
        shard = path.parent / name
        here = read_weights(shard).tensors
        if wrong := sorted({tensor for tensor, place in places.items() if place == name} ^ here.keys()):
            raise UserError(f"{path}: {wrong[0]} is in only one of the index and {name}")
        tensors |= here
        digest.update(shard.read_bytes())
    return Weights(tensors), digest.hexdigest()
