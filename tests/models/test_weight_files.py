import hashlib
import pickle
import random

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from models.weight_files import file_hash, read_weights

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
    with pytest.raises(ValueError, match="could do anything when opened: refused"):
        read_weights("trap.pth")
    with pytest.raises(ValueError, match="one array without a name"):
        read_weights("one.npz")
    for name in ("page.pth", "older.pth"):
        with pytest.raises(ValueError, match="damaged, cut short, or not what its name says"):
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


@pytest.mark.parametrize("container", ["state_dict", "model", "model_state_dict"])
def test_a_config_beside_other_libraries_weights_is_not_ours(tmp_path, container):
    """timm's and others' training files hold a `config` of their own: its norm_eps would be taken for the source's."""
    torch.save({container: STATE, "config": {"norm_eps": 0.1, "num_heads": 7}}, tmp_path / "w.pth")
    found = read_weights(tmp_path / "w.pth")
    same(found.tensors)
    assert found.config is None
