import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from data_setup.volumes.formats.voi import apply_voi
from data_setup.volumes.volume import VolumeError

VALUES = np.arange(-40.0, 400)


def header(**fields):
    """Of unsigned values of 12 bits."""
    made = Dataset()
    made.PhotometricInterpretation, made.PixelRepresentation, made.BitsStored = "MONOCHROME2", 0, 12
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def table(entries, first, bits, packed=False):
    item = Dataset()
    item.add_new("LUTDescriptor", "SS", [len(entries), first, bits])
    item.add_new("LUTData", "OW" if packed else "US",
                 np.asarray(entries, "<u2").tobytes() if packed else [int(one) for one in entries])
    made = header(VOILUTSequence=Sequence([item]))
    made.set_original_encoding(False, True)
    return made


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID", None])
@pytest.mark.parametrize(("centre", "width"), [(120, 80), (50.5, 1.5), (100, 1)])
def test_windows_are_pydicoms_from_0_to_1(function, centre, width):
    made = header(WindowCenter=centre, WindowWidth=width, **({"VOILUTFunction": function} if function else {}))
    found, described = apply_voi(VALUES, made)
    np.testing.assert_allclose(found, pydicom.pixels.apply_voi_lut(VALUES, made) / 4095, atol=1e-9)
    assert described.startswith(f"centre {centre}, width {width}")


@pytest.mark.parametrize("packed", [False, True])
def test_a_table_comes_before_a_window_and_is_pydicoms(packed):
    made = table((np.arange(200) ** 2) // 10, 20, 12, packed)
    made.WindowCenter, made.WindowWidth = 10, 5
    found, described = apply_voi(VALUES, made)
    np.testing.assert_allclose(found, pydicom.pixels.apply_voi_lut(VALUES.astype(int), made) / 4095)
    assert described.startswith("its VOI LUT of 200 entries from 20")
    other = table((np.arange(200) ** 2) // 11, 20, 12)
    assert apply_voi(VALUES, other)[1] != described


@pytest.mark.parametrize(("fields", "reason"), [
    ({}, "no window"), ({"WindowCenter": 3}, "no window"), ({"WindowCenter": [], "WindowWidth": []}, "no window"),
    ({"WindowCenter": 3, "WindowWidth": 0.5}, "impossible"), ({"WindowCenter": 3, "WindowWidth": -2}, "impossible"),
    ({"WindowCenter": 3, "WindowWidth": 9, "VOILUTFunction": "CUBIC"}, "impossible")])
def test_no_window_and_impossible_windows_are_reasons(fields, reason):
    with pytest.raises(VolumeError, match=reason):
        apply_voi(VALUES, header(**fields))


@pytest.mark.parametrize("little", [True, False])
@pytest.mark.parametrize("packed", [False, True])
def test_entries_of_8_bits_may_stand_in_pairs(packed, little):
    entries = np.arange(9) * 30
    words = np.append(entries, 0).astype(np.uint8).view("<u2")
    made = table(entries, 20, 8)
    if packed:
        made.VOILUTSequence[0].add_new("LUTData", "OW", words.astype("<u2" if little else ">u2").tobytes())
    else:
        made.VOILUTSequence[0].LUTData = [int(one) for one in words]
    made.set_original_encoding(False, little)
    found, described = apply_voi(np.array([0, 20, 22, 27, 28, 90]), made)
    np.testing.assert_allclose(found * 255, [0, 0, 60, 210, 240, 240])
    assert described.startswith("its VOI LUT of 9 entries from 20")


def test_a_sigmoid_far_from_its_centre_does_not_overflow():
    values = np.array([-3024, 35, 3071], np.float32)
    with np.errstate(all="raise"):
        found, _ = apply_voi(values, header(WindowCenter=35, WindowWidth=30, VOILUTFunction="SIGMOID"))
    assert found.tolist() == [0, 0.5, 1]


def test_a_short_table_is_a_reason():
    made = table(np.arange(50), 0, 12)
    made.VOILUTSequence[0].LUTDescriptor = [60, 0, 12]
    with pytest.raises(VolumeError, match="50 instead of 60 entries"):
        apply_voi(VALUES, made)
