import argparse
import hashlib
import pickle
import random
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from functions.runtime.errors import UserError
from models.pretrained.weight_files import CONTAINERS, file_hash, read_weights
from tests.conftest import NO_FILES

STATE = {"a.weight": torch.randn(3, 4), "a.bias": torch.randn(3)}


class Trap:
    """A pickle that runs code when it is opened carelessly."""

    def __reduce__(self):
        return (open, ("trap_was_sprung", "w"))


def same(found):
    assert set(found) == set(STATE)
    assert all(torch.equal(tensor, found[name]) for name, tensor in STATE.items())


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin"])
def test_torchs_files_are_read(tmp_path, suffix):
    torch.save(STATE, tmp_path / f"w{suffix}")
    same(read_weights(tmp_path / f"w{suffix}").tensors)


def test_safetensors_and_npz_are_read(tmp_path):
    save_file(STATE, tmp_path / "w.safetensors")
    same(read_weights(tmp_path / "w.safetensors").tensors)
    np.savez(tmp_path / "w.npz", **{name: tensor.numpy() for name, tensor in STATE.items()})
    same(read_weights(tmp_path / "w.npz").tensors)


def test_big_visions_bfloat16_is_read(tmp_path):
    """NumPy has no name for it and writes two raw bytes a number."""
    values = torch.tensor([1.0, -2.5, 3e8])
    np.savez(tmp_path / "w.npz", a=values.bfloat16().view(torch.int16).numpy().view("V2"))
    assert torch.equal(read_weights(tmp_path / "w.npz").tensors["a"], values.bfloat16().float())


@pytest.mark.parametrize("wrap", [
    lambda s: {"state_dict": s, "epoch": 3}, lambda s: {"model": s, "optimizer": {"lr": 0.1}},
    lambda s: {"model_state_dict": {f"module.{name}": t for name, t in s.items()}},
    lambda s: {f"_orig_mod.{name}": t for name, t in s.items()},
    lambda s: {f"_orig_mod.module.{name}": t for name, t in s.items()},
])
def test_wrappings_are_taken_off(tmp_path, wrap):
    torch.save(wrap(STATE), tmp_path / "w.pth")
    same(read_weights(tmp_path / "w.pth").tensors)


def test_our_checkpoints_bring_their_configuration(tmp_path):
    torch.save({"format": 1, "weights": STATE, "config": {"norm_eps": 1e-5}}, tmp_path / "best.pt")
    found = read_weights(tmp_path / "best.pt")
    same(found.tensors)
    assert found.config == {"norm_eps": 1e-5}


def test_the_hash_in_a_name_is_the_files(tmp_path):
    torch.save(STATE, tmp_path / "w.pth")
    digest = hashlib.sha256((tmp_path / "w.pth").read_bytes()).hexdigest()
    assert file_hash(tmp_path / "w.pth") == digest
    right, wrong = tmp_path / f"vit_b_16-{digest[:8]}.pth", tmp_path / "vit_b_16-0123abcd.pth"
    for path in (right, wrong):
        path.write_bytes((tmp_path / "w.pth").read_bytes())
    same(read_weights(right).tensors)
    dated = tmp_path / "best-20261123.pth"
    dated.write_bytes((tmp_path / "w.pth").read_bytes())
    same(read_weights(dated).tensors)
    with pytest.raises(ValueError, match=f"SHA-256 begins with {digest[:8]}, not with the 0123abcd"):
        read_weights(wrong)


def test_damaged_foreign_and_malicious_files_are_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(STATE, "good.pth")
    save_file(STATE, "good.safetensors")
    np.savez("good.npz", a=np.ones(500))
    for name in ("good.pth", "good.safetensors", "good.npz"):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / f"cut_{name}").write_bytes(whole[: len(whole) // 2])
        (tmp_path / f"empty_{name}").write_bytes(b"")
    (tmp_path / "page.pth").write_text("<!DOCTYPE html><html>Sign in</html>")
    (tmp_path / "pointer.safetensors").write_text("version https://git-lfs.github.com/spec/v1")
    (tmp_path / "pickle.pth").write_bytes(pickle.dumps(Trap(), protocol=2))
    torch.save({"a": torch.ones(2), "trap": Trap()}, "trap.pth")
    np.savez("trap.npz", a=np.array([Trap()], dtype=object))
    np.savez("words.npz", a=np.array(["word"]))
    for protocol in (0, 4):
        (tmp_path / f"pickle_{protocol}.pth").write_bytes(pickle.dumps(Trap(), protocol))
    np.savez("long.npz", a=np.ones(3, dtype=np.longdouble))
    np.save("one.npy", np.ones(3))
    (tmp_path / "one.npy").rename("one.npz")
    torch.save(STATE, "older.pth", _use_new_zipfile_serialization=False)
    older = (tmp_path / "older.pth").read_bytes()
    (tmp_path / "older.pth").write_bytes(older[: len(older) // 2])
    torch.save([1, 2], "list.pth")
    torch.save({}, "nothing.pth")
    torch.save({"a": 1}, "numbers.pth")
    (tmp_path / "w.h5").write_bytes(b"x")
    (tmp_path / "folder.pth").mkdir()
    bad = sorted({path.name for path in tmp_path.iterdir()} - {"good.pth", "good.safetensors", "good.npz"})
    for name in [*bad, "missing.pth"]:
        with pytest.raises(ValueError, match=name) as refusal:
            read_weights(name)
        assert "\n" not in str(refusal.value)
        assert len(str(refusal.value)) < 300
    assert not (tmp_path / "trap_was_sprung").exists()
    with pytest.raises(ValueError, match="contains code or unsafe objects; not loaded"):
        read_weights("trap.pth")
    with pytest.raises(ValueError, match="one array without a name"):
        read_weights("one.npz")
    for name in ("page.pth", "older.pth"):
        with pytest.raises(ValueError, match="damaged, truncated, or the wrong file type"):
            read_weights(name)


@pytest.mark.parametrize("suffix", [".npz", ".pth", ".safetensors", "_older.pth"])
def test_a_file_damaged_anywhere_is_read_or_refused_in_one_line(tmp_path, suffix):
    """Readers fail in many ways: zlib.error, struct.error, IndexError, AssertionError, TypeError were all met."""
    path = tmp_path / f"w{suffix}"
    if suffix == ".npz":
        np.savez_compressed(path, **{name: tensor.numpy() for name, tensor in STATE.items()})
    elif suffix == ".safetensors":
        save_file(STATE, path)
    else:
        torch.save(STATE, path, _use_new_zipfile_serialization=suffix == ".pth")
    whole, draw, refusals = path.read_bytes(), random.Random(0), []
    damaged = [whole[:len(whole) * part // 60] for part in range(60)]
    for _ in range(240):
        flipped = bytearray(whole)
        flipped[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        damaged.append(bytes(flipped))
    for content in damaged:
        path.write_bytes(content)
        try:
            read_weights(path)
        except ValueError as error:
            refusals.append(str(error))
    assert len(refusals) > 60
    assert not any("\n" in words for words in refusals)


@pytest.mark.parametrize("name", ["w.ckpt", "w.pth.tar", "w.PTH", "w.Safetensors", "w", "w.weights", "w.npz", "w.bin",
                                  "pytorch_model-00001-of-00001.bin"])
@pytest.mark.parametrize("kind", ["torch", "older", "safetensors", "npz"])
def test_the_content_says_what_a_file_is_and_not_its_name(tmp_path, name, kind):
    if kind == "safetensors":
        save_file(STATE, tmp_path / name)
    elif kind == "npz":
        with open(tmp_path / name, "wb") as file:
            np.savez(file, **{name: tensor.numpy() for name, tensor in STATE.items()})
    else:
        torch.save(STATE, tmp_path / name, _use_new_zipfile_serialization=kind == "torch")
    same(read_weights(tmp_path / name).tensors)


@pytest.mark.parametrize("wrap", [
    *((lambda s, key=key: {key: s, "epoch": 3}) for key in CONTAINERS),
    lambda s: {"checkpoint": {"state_dict": s}, "lr": 0.1},
    lambda s: {"state": {"model": {f"module.{n}": t for n, t in s.items()}}, "optimizer": {"state": {0: {}}}},
    lambda s: {"my_vit": s, "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 0.1}]}},
    lambda s: s | {"epoch": 3, "note": "best", "args": argparse.Namespace(lr=0.1)},
    lambda s: {"state_dict": OrderedDict(s), "hyper_parameters": argparse.Namespace(lr=0.1), "loss": np.float64(0.3)},
    lambda s: {"model": s, "model_ema": None, "ema": {}},
])
def test_tensors_are_found_in_any_container(tmp_path, wrap):
    torch.save(wrap(STATE), tmp_path / "w.pth")
    same(read_weights(tmp_path / "w.pth").tensors)


@pytest.mark.parametrize(("wanted", "other"), [("model_ema", "model"), ("teacher", "student"), ("ema", "net"),
                                               ("state_dict_ema", "state_dict")])
def test_of_averaged_and_plain_weights_the_averaged_ones_are_read_and_that_is_said(tmp_path, wanted, other):
    torch.save({other: {name: -tensor for name, tensor in STATE.items()}, wanted: STATE}, tmp_path / "w.pth")
    found = read_weights(tmp_path / "w.pth")
    same(found.tensors)
    assert found.notes == (f"of {wanted} and {other}, the file's {wanted} is read",)


def test_what_lies_beside_the_tensors_is_named(tmp_path):
    torch.save(STATE | {"epoch": 3, "args": argparse.Namespace(lr=0.1)}, tmp_path / "w.pth")
    assert read_weights(tmp_path / "w.pth").notes == ("2 entries beside the tensors are left out: args, epoch",)


def test_dictionaries_that_nothing_tells_apart_and_arrays_under_tensors_names_are_refused(tmp_path):
    torch.save({"left": STATE, "right": STATE}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"holds tensors in several places \(left, right\)"):
        read_weights(tmp_path / "w.pth")
    torch.save(STATE | {"b.weight": np.ones(3)}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"b.weight is no tensor"):
        read_weights(tmp_path / "w.pth")
    itself = {"a.weight": torch.ones(2)}
    itself["model"] = itself
    torch.save({"model": itself}, tmp_path / "w.pth")
    assert set(read_weights(tmp_path / "w.pth").tensors) == {"a.weight"}


@pytest.mark.parametrize(("content", "words"), [
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "Git LFS pointer"), (b"\x1f\x8b\x08abc", "gzip"),
    (b"<!DOCTYPE html>", "a web page"), (b"\x89HDF\r\n\x1a\n", "HDF5"),
    (b"PK\x05\x06" + bytes(18), r"not write \(empty\)"),
    (b"hello", "neither a file of torch.save"), (bytes(100), "neither a file of torch.save"),
    (b"GGUF" + bytes(20), "GGUF of llama.cpp: get the same weights as safetensors"),
])
def test_files_of_other_kinds_are_refused_with_what_they_are(tmp_path, content, words):
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(ValueError, match=words) as refusal:
        read_weights(tmp_path / "w.pth")
    assert "w.pth" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_packed_file_of_weights_is_refused_with_what_to_do(tmp_path):
    torch.save(STATE, tmp_path / "w.pth")
    with zipfile.ZipFile(tmp_path / "w.zip", "w") as archive:
        archive.write(tmp_path / "w.pth", "model/w.pth")
    with pytest.raises(UserError, match=r"w\.zip: a ZIP archive .* not write \(model/w\.pth\): unpack"):
        read_weights(tmp_path / "w.zip")


def test_a_flipped_bit_of_a_weight_is_noticed_in_every_kind_that_has_checksums(tmp_path):
    torch.save(STATE, tmp_path / "w.pth")
    np.savez(tmp_path / "w.npz", **{name: tensor.numpy() for name, tensor in STATE.items()})
    for path in sorted(tmp_path.iterdir()):
        content = bytearray(path.read_bytes())
        content[content.index(STATE["a.weight"].numpy().tobytes()) + 2] ^= 1
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"w\.(pth|npz).*checksum"):
            read_weights(path)


def test_the_frozen_weights_beside_our_checkpoints_are_read_too(tmp_path):
    frozen = {"backbone.x": torch.ones(2)}
    torch.save({"format": 1, "weights": STATE, "config": {}, "frozen": "ab", "preprocessing": {"mean": [0.1]}},
               tmp_path / "best.pt")
    with pytest.raises(ValueError, match=r"frozen.pt: no such file"):
        read_weights(tmp_path / "best.pt")
    torch.save({"digest": "ab", "weights": frozen}, tmp_path / "frozen.pt")
    found = read_weights(tmp_path / "best.pt")
    assert set(found.tensors) == {*STATE, *frozen}
    assert found.preprocessing == {"mean": [0.1]}
    torch.save({"digest": "cd", "weights": frozen}, tmp_path / "frozen.pt")
    with pytest.raises(ValueError, match="does not hold the frozen weights that belong to"):
        read_weights(tmp_path / "best.pt")


def test_a_configuration_of_another_project_is_not_taken_for_ours(tmp_path):
    torch.save({"weights": STATE, "config": {"norm_eps": 0.5, "num_heads": 99}}, tmp_path / "w.pth")
    assert read_weights(tmp_path / "w.pth").config is None


@pytest.mark.parametrize("container", ["state_dict", "model", "model_state_dict", "weights"])
def test_a_config_beside_other_libraries_weights_is_not_ours(tmp_path, container):
    """timm's and others' training files hold a `config` of their own: its norm_eps would be taken for the source's."""
    torch.save({container: STATE, "config": {"norm_eps": 0.1, "num_heads": 7}}, tmp_path / "w.pth")
    found = read_weights(tmp_path / "w.pth")
    same(found.tensors)
    assert found.config is None


def test_a_run_folder_is_answered_with_its_best_checkpoint(tmp_path):
    torch.save(STATE, tmp_path / "best.pt")
    with pytest.raises(ValueError, match=r"a folder, not a file: give .*best\.pt"):
        read_weights(tmp_path)


@pytest.mark.parametrize(("kind", "make"), NO_FILES.items())
def test_what_is_no_file_is_not_opened(kind, make, tmp_path):
    make(tmp_path / "w.pth")
    with pytest.raises(UserError, match=f"weights .*w.pth: {kind}"):
        read_weights(tmp_path / "w.pth")
