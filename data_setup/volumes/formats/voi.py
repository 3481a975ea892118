"""The window in a DICOM header: the VOI LUT module of PS3.3 C.11.2, applied after the modality LUT.

pydicom's `apply_voi_lut` gives the same grey values, in the range of the stored values; here they are from 0 (black) to
1 (white), the same for all files of a series.
"""

import zlib
from collections.abc import Sequence

import numpy as np

from data_setup.volumes.volume import VolumeError

ASKED = "--window header of tools/prepare_data.py needs one"


def apply_voi(values: np.ndarray, header) -> tuple[np.ndarray, str]:
    """(grey values from 0 to 1, the window in words) of the values after the modality LUT.

    With a VOI LUT, its entry. Else with the first window centre c and width w: LINEAR clip((x - c + 0.5) / (w - 1) +
    0.5), LINEAR_EXACT clip((x - c) / w + 0.5), SIGMOID 1 / (1 + exp(-4 (x - c) / w)). VolumeError if the header has
    neither, or an impossible one.
    """
    if tables := header.get("VOILUTSequence"):
        table, first = _table(tables[0], header)
        index = np.clip(np.rint(values) - first, 0, len(table) - 1).astype(np.intp)
        return table[index], f"its VOI LUT of {len(table)} entries from {first}, checksum {_checksum(table)}"
    centre, width = (_first(header.get(name)) for name in ("WindowCenter", "WindowWidth"))
    function = str(header.get("VOILUTFunction") or "LINEAR").upper()
    if centre is None or width is None:
        raise VolumeError(f"no window in its header: {ASKED}")
    described = f"centre {centre:g}, width {width:g}" + f", {function}" * (function != "LINEAR")
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID") or not width >= (1 if function == "LINEAR" else 1e-6):
        raise VolumeError(f"an impossible window in its header ({described}): {ASKED}")
    if function == "SIGMOID":
        return (1 + np.tanh(2 * (values - centre) / width)) / 2, described         # the same, without overflow
    if function == "LINEAR":
        centre, width = centre - 0.5, width - 1
    return (np.clip((values - centre) / width + 0.5, 0, 1) if width else (values > centre).astype(float)), described


def one_window(described: Sequence[str]) -> str:
    """The note on the window that all slices share; VolumeError if they differ."""
    if (count := len(set(described))) > 1:
        raise VolumeError(f"its slices have {count} different windows in their headers: {ASKED}")
    return f"window of its header: {described[0]}"


def _first(value) -> float | None:
    """The first of one or several numbers."""
    several = isinstance(value, Sequence) and not isinstance(value, str)
    value = (value[0] if value else None) if several else value
    return None if value in (None, "") else float(value)


def _table(item, header) -> tuple[np.ndarray, int]:
    """(the entries of a VOI LUT from 0 to 1, the value of its first entry).

    Entries of 8 bits have a word each, or stand in pairs, the first in the lower byte (PS3.3 C.11.1.1.1).
    """
    count, first, bits = (int(number) for number in item.LUTDescriptor)
    data = item.LUTData
    if isinstance(data, bytes):
        data = np.frombuffer(data, "<u2" if header.original_encoding[1] is not False else ">u2")
    words = np.asarray(data)
    if bits == 8 and len(words) == (count + 1) // 2:
        words = words.astype("<u2").view(np.uint8)
    entries = words[:count or 2**16].astype(float)
    if len(entries) < (count or 2**16):
        raise VolumeError(f"a VOI LUT of {len(entries)} instead of {count or 2**16} entries: {ASKED}")
    return entries / (2**bits - 1), first


def _checksum(table: np.ndarray) -> str:
    """Tells two tables apart."""
    return f"{zlib.crc32(table.tobytes()):08x}"
