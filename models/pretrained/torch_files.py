"""Reads torch.save files without running code: checksums, plain data, tensors, inert placeholders for a few types.

`torch.load(weights_only=True)` builds only the types that PyTorch lists as safe. Checkpoints of other projects often
hold settings of other types beside the tensors (argparse.Namespace, NumPy scalars). With `foreign=True` these few
types, by name, are read as empty placeholder objects; the types themselves are never imported or called.
"""

import pickle
import re
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import torch

from functions.runtime.errors import UserError


class Ignored:
    """Placeholder for an object of another project: accepts any arguments and state, and keeps none."""

    def __new__(cls, *_, **__):
        return super().__new__(cls)

    def __init__(self, *_, **__):
        pass

    def __setstate__(self, state: object) -> None:
        pass


class PlainDict:
    """Replaces another project's dictionary type by an empty OrderedDict, which then receives its items."""

    def __new__(cls, *_, **__):
        return OrderedDict()


IGNORED_TYPES = (
    "argparse.Namespace", "types.SimpleNamespace",
    *(f"builtins.{kind}" for kind in ("object", "slice", "range", "list", "dict", "tuple", "int", "float",
                                      "bool", "str")),
    "datetime.datetime", "datetime.date", "datetime.timedelta", "uuid.UUID",
    *(f"pathlib{module}.{kind}" for module in ("", "._local") for kind in (
        "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath", "Path")),
    *(f"numpy.{module}.multiarray.{name}" for module in ("core", "_core") for name in ("scalar", "_reconstruct")),
    "numpy._core.numeric._frombuffer", "numpy.core.numeric._frombuffer", "numpy.dtype", "numpy.ndarray",
    *(f"numpy.{kind}" for kind in ("bool_", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
                                   "float16", "float32", "float64", "str_", "bytes_")),
    *(f"numpy.dtypes.{kind}DType" for kind in ("Bool", "Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32",
                                               "UInt64", "Float16", "Float32", "Float64", "Str", "Bytes")),
    "omegaconf.dictconfig.DictConfig", "omegaconf.listconfig.ListConfig", "omegaconf.base.ContainerMetadata",
    "omegaconf.base.Metadata", "omegaconf.nodes.AnyNode", "omegaconf.nodes.IntegerNode", "omegaconf.nodes.FloatNode",
    "omegaconf.nodes.StringNode", "omegaconf.nodes.BooleanNode", "typing.Any",
    "torch.torch_version.TorchVersion",
)
DICT_TYPES = (
    "collections.defaultdict", "easydict.EasyDict", "yacs.config.CfgNode", "addict.addict.Dict", "addict.Dict",
    "pytorch_lightning.utilities.parsing.AttributeDict", "lightning.pytorch.utilities.parsing.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict", "lightning.fabric.utilities.data.AttributeDict",
    "ml_collections.config_dict.config_dict.ConfigDict", "mmengine.config.config.ConfigDict",
    "mmcv.utils.config.ConfigDict",
)
DAMAGED = "damaged, truncated, or the wrong file type"
CODE = "contains code or unsafe objects; not loaded"
PROGRAMS = {      # what is in a ZIP archive that holds more than tensors
    r"(^|/)code/__torch__|(^|/)constants\.pkl$": "a TorchScript program (torch.jit.save)",
    r"(^|/)archive_format$|(^|/)models/[^/]+\.json$": "an exported program (torch.export.save)",
    r"^model\.weights\.h5$": "a model of Keras",
}
STAND_INS: list[Callable | tuple[Callable, str]] = [
    *((Ignored, name) for name in IGNORED_TYPES), *((PlainDict, name) for name in DICT_TYPES)]


def read_torch_file(path: Path, foreign: bool = False) -> object:
    """What a file of torch.save holds, on the CPU; no code of the file is run.

    UserError, a reason without the file's name: damaged, or objects beside plain data and tensors. Our own files
    (not `foreign`) are ZIP archives with checksums, always.
    """
    try:
        is_archive = zipfile.is_zipfile(path)
    except zipfile.BadZipFile as error:              # an archive whose last record is damaged
        raise UserError(f"{DAMAGED} ({_first_line(error)})") from None
    if not foreign and not is_archive:
        raise UserError(f"{DAMAGED} (no ZIP archive)")
    if is_archive:
        check_archive(path, checksums=not foreign)
    try:
        with (open(path, "rb") as file, warnings.catch_warnings(),     # a path's ending would choose another reader
              torch.serialization.safe_globals(STAND_INS if foreign else [])):
            warnings.simplefilter("ignore")          # about other pickle protocols: they are read, or refused below
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(_refusal(str(error))) from None
    except Exception as error:       # the unpickler of damaged bytes can raise anything; nothing else is called here
        raise UserError(f"{DAMAGED} ({_first_line(error)})") from None


def check_archive(path: Path, checksums: bool = False) -> None:
    """UserError for a ZIP archive with a checksum mismatch, or that unpacks to far more than the file.

    torch.save can be told to write no checksums: then all are 0, which is accepted unless `checksums` are a must.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            _refuse_programs(archive.namelist())
            unpacked = sum(entry.file_size for entry in entries)
            if unpacked > 20 * path.stat().st_size + 2**30:
                raise UserError(f"{unpacked:,} bytes are packed into {path.stat().st_size:,}: "
                                "decompression ratio too high; not loaded")
            if (checksums or any(entry.CRC for entry in entries)) and (bad := archive.testzip()):
                raise UserError(f"damaged: checksum mismatch in {bad}")
    except UserError:
        raise
    except Exception as error:       # zipfile of damaged bytes: BadZipFile, zlib.error, struct.error, EOFError, …
        raise UserError(f"{DAMAGED} ({_first_line(error)})") from None


def _refuse_programs(names: list[str]) -> None:
    """UserError for an archive whose entries, by their names, are of a program."""
    for pattern, what in PROGRAMS.items():
        if any(re.search(pattern, name) for name in names):
            raise UserError(f"{what}, not a file of weights: where it was made, torch.save(model.state_dict(), FILE) "
                            "or safetensors.torch.save_file writes the tensors alone")


def _refusal(message: str) -> str:
    """One line for what `torch.load` refuses."""
    if found := re.search(r"GLOBAL (\S+)", message):
        advice = "" if re.match(r"(builtins|io|os|posix|nt|sys|subprocess|shutil|socket)\b|\w+$", found[1]) else (
            "; where the file was made, torch.save(model.state_dict(), FILE) writes the tensors alone")
        return f"{CODE} ({found[1]}){advice}"
    if "operand" in message:
        return ("damaged, or written with another pickle protocol than torch.save's own: where it was made, "
                "torch.save(model.state_dict(), FILE) writes one that can be read")
    return CODE


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
