import argparse
import functools
import os
import pathlib
import pickle
import sys
import types
import warnings
import zipfile
from collections import defaultdict

import numpy as np
import pytest
import torch

from functions.runtime.errors import UserError
from models.pretrained.torch_files import STAND_INS, check_archive, read_torch_file

STATE = {"a.weight": torch.arange(12.0).reshape(3, 4)}


class Trap:
    """A pickle that runs code when it is opened carelessly."""

    def __init__(self, function=open, arguments=("trap_was_sprung", "w")):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def test_settings_of_other_types_beside_the_tensors_are_read_without_their_types(tmp_path, monkeypatch):
    for module, name in (("omegaconf.dictconfig", "DictConfig"), ("easydict", "EasyDict")):
        monkeypatch.setitem(sys.modules, module.split(".")[0], types.ModuleType(module.split(".")[0]))
        monkeypatch.setitem(sys.modules, module, types.ModuleType(module))
        kind = type(name, (dict,) if name == "EasyDict" else (), {"__module__": module, "__qualname__": name})
        setattr(sys.modules[module], name, kind)
    easy = sys.modules["easydict"].EasyDict(lr=0.1)
    omega = sys.modules["omegaconf.dictconfig"].DictConfig()
    omega.content = {"lr": 0.1}
    content = {"state_dict": STATE, "args": argparse.Namespace(lr=0.1, out=pathlib.Path("x")), "loss": np.float64(0.5),
               "epoch": np.int64(3), "metrics": np.ones(3), "seen": defaultdict(list, a=[1]), "easy": easy,
               "omega": omega, "nested": [argparse.Namespace(inner=argparse.Namespace(n=np.float32(1)))]}
    torch.save(content, tmp_path / "w.pth")
    for module in ("omegaconf", "omegaconf.dictconfig", "easydict"):
        monkeypatch.delitem(sys.modules, module)
    before = set(torch.serialization.get_safe_globals())
    found = read_torch_file(tmp_path / "w.pth", foreign=True)
    assert set(torch.serialization.get_safe_globals()) == before, "nothing stays allowed"
    assert torch.equal(found["state_dict"]["a.weight"], STATE["a.weight"])
    assert not isinstance(found["args"], argparse.Namespace)
    assert dict(found["seen"]) == {"a": [1]}
    assert dict(found["easy"]) == {"lr": 0.1}
    with pytest.raises(UserError, match="not loaded"):
        read_torch_file(tmp_path / "w.pth")          # our own files hold nothing of the kind


def test_no_stand_in_is_the_type_that_it_stands_for():
    assert {kind.__module__ for kind, _ in STAND_INS} == {"models.pretrained.torch_files"}


@pytest.mark.parametrize("foreign", [True, False])
@pytest.mark.parametrize("trap", [
    Trap(), Trap(os.system, ("touch trap_was_sprung",)), Trap(eval, ("open('trap_was_sprung', 'w')",)),
    Trap(functools.partial, (open, "trap_was_sprung", "w")), Trap(np.load, ("trap.npy", None, True)),
    Trap(pickle.loads, (pickle.dumps(Trap()),)), Trap(torch.load, ("trap_was_sprung",)),
    Trap(getattr, (argparse.Namespace, "__init__")),
])
def test_code_in_a_file_is_never_run(tmp_path, monkeypatch, trap, foreign):
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": STATE, "args": trap}, "w.pth")
    with pytest.raises(UserError, match="contains code or unsafe objects; not loaded"):
        read_torch_file(pathlib.Path("w.pth"), foreign)
    assert not pathlib.Path("trap_was_sprung").exists()


def test_an_array_of_objects_does_not_unpickle_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": STATE, "args": np.array([Trap()], dtype=object)}, "w.pth")
    with pytest.raises(UserError, match="not loaded"):
        read_torch_file(pathlib.Path("w.pth"), foreign=True)
    assert not pathlib.Path("trap_was_sprung").exists()


def test_a_whole_network_is_refused_with_what_to_do(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "net.pth")
    with pytest.raises(UserError, match=r"not loaded \(torch.nn.modules.linear.Linear\).*model.state_dict\(\)"):
        read_torch_file(tmp_path / "net.pth", foreign=True)
    with warnings.catch_warnings(action="ignore"):
        torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "script.pt")
    with pytest.raises(UserError, match="TorchScript"):
        read_torch_file(tmp_path / "script.pt", foreign=True)


def test_one_flipped_bit_of_a_tensor_is_noticed(tmp_path):
    torch.save(STATE, path := tmp_path / "w.pth")
    content = bytearray(path.read_bytes())
    content[content.index(STATE["a.weight"].numpy().tobytes()) + 2] ^= 1
    path.write_bytes(content)
    for foreign in (True, False):
        with pytest.raises(UserError, match="checksum mismatch"):
            read_torch_file(path, foreign)


def test_a_file_written_without_checksums_is_read_unless_it_should_be_ours(tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(STATE, path := tmp_path / "w.pth")
    finally:
        torch.serialization.set_crc32_options(True)
    assert torch.equal(read_torch_file(path, foreign=True)["a.weight"], STATE["a.weight"])
    with pytest.raises(UserError, match="checksum"):
        read_torch_file(path)


def test_an_older_file_without_archive_is_read_unless_it_should_be_ours(tmp_path):
    torch.save(STATE, path := tmp_path / "w.pth", _use_new_zipfile_serialization=False)
    assert torch.equal(read_torch_file(path, foreign=True)["a.weight"], STATE["a.weight"])
    with pytest.raises(UserError, match="no ZIP archive"):
        read_torch_file(path)


def test_an_archive_that_unpacks_to_far_more_than_it_is_is_refused_before_unpacking(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "w.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10**6))
    check_archive(tmp_path / "w.zip")
    monkeypatch.setattr(zipfile.ZipInfo, "file_size", property(lambda self: 2**40, lambda self, value: None),
                        raising=False)
    with pytest.raises(UserError, match="bytes are packed into"):
        check_archive(tmp_path / "w.zip")


@pytest.mark.parametrize("foreign", [False, True])
def test_a_bit_flipped_in_the_archives_last_record_is_a_line(tmp_path, foreign):
    """zipfile.is_zipfile raises BadZipFile for an archive that says it spans several disks."""
    file = tmp_path / "a.pt"
    torch.save({"a": torch.zeros(3)}, file)
    content = bytearray(file.read_bytes())
    content[content.rindex(b"PK\x06\x07") + 16] = 3                     # the number of disks
    file.write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        read_torch_file(file, foreign)


@pytest.mark.parametrize("foreign", [True, False])
def test_a_torchscript_program_is_called_so_with_what_to_do(tmp_path, foreign):
    with warnings.catch_warnings(action="ignore"):       # that torch will drop it
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / "w.pt")
    with pytest.raises(UserError, match=r"a TorchScript program .* torch.save\(model.state_dict\(\), FILE\)"):
        read_torch_file(tmp_path / "w.pt", foreign)


@pytest.mark.parametrize(("entry", "what"), [
    ("m/archive_format", "exported program"), ("m/models/model.json", "exported"), ("model.weights.h5", "of Keras")])
def test_other_programs_in_zip_archives_are_called_what_they_are(tmp_path, entry, what):
    with zipfile.ZipFile(tmp_path / "w.pt", "w") as archive:
        archive.writestr(entry, "{}")
    with pytest.raises(UserError, match=f"{what}.*, not a file of weights"):
        read_torch_file(tmp_path / "w.pt", foreign=True)
