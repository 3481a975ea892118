import hashlib
import json

import pytest
import torch
from safetensors.torch import save_file

from functions.runtime.errors import UserError
from models.pretrained.places.folders import INDEX, read_files, weights_in
from tests.models.pretrained.families.networks import answer, difference, dinov2, images, ours

TENSORS = {"a.weight": torch.arange(6.0).view(2, 3), "b.weight": torch.ones(4)}


@pytest.mark.parametrize(("names", "wanted"), [
    (["model.safetensors", "pytorch_model.bin", "other.safetensors"], "model.safetensors"),
    ([f"model.safetensors{INDEX}", "model-00001-of-00001.safetensors"], f"model.safetensors{INDEX}"),
    (["open_clip_model.safetensors", "open_clip_pytorch_model.bin"], "open_clip_model.safetensors"),
    (["pytorch_model.bin", "config.json"], "pytorch_model.bin"), (["mae.pth", "config.json"], "mae.pth")])
def test_the_file_that_the_libraries_write_is_read(names, wanted, tmp_path):
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    assert weights_in(tmp_path) == tmp_path / wanted


@pytest.mark.parametrize(("names", "complaint"), [
    (["config.json"], "a folder with no file of weights; expected model.safetensors"),
    (["a.pth", "b.pth"], "a folder with a.pth, b.pth; expected"),
    (["best.pt", "last.pt"], "a folder, not a file: give .*best.pt")])
def test_a_folder_without_one_file_is_refused(names, complaint, tmp_path):
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(UserError, match=complaint):
        weights_in(tmp_path)


def sharded(folder, places=None):
    save_file({"a.weight": TENSORS["a.weight"]}, folder / "model-00001-of-00002.safetensors")
    save_file({"b.weight": TENSORS["b.weight"]}, folder / "model-00002-of-00002.safetensors")
    places = places if places is not None else {name: f"model-0000{i}-of-00002.safetensors" for i, name in
                                                enumerate(TENSORS, start=1)}
    (folder / f"model.safetensors{INDEX}").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return folder / f"model.safetensors{INDEX}"


def test_the_files_of_an_index_are_one_set_of_tensors(tmp_path):
    weights, digest = read_files(sharded(tmp_path))
    assert weights.tensors.keys() == TENSORS.keys()
    assert all(torch.equal(weights.tensors[name], tensor) for name, tensor in TENSORS.items())
    parts = b"".join(file.read_bytes() for file in sorted(tmp_path.glob("*.safetensors")))
    assert digest == hashlib.sha256(parts).hexdigest()


@pytest.mark.parametrize(("places", "complaint"), [
    ({}, "weight_map does not name the file"), ([], "weight_map does not name"),
    ({"a.weight": 3}, "weight_map does not"),
    ({"a.weight": "../model.safetensors"}, "weight_map does not name the file, in this folder"),
    ({"a.weight": "model-00001-of-00002.safetensors", "c": "model-00001-of-00002.safetensors"},
     "c is in only one of the index and model-00001"),
    ({"a.weight": "model-00002-of-00002.safetensors"}, "a.weight is in only one of the index and model-00002"),
    ({"a.weight": "missing.safetensors"}, "missing.safetensors: no such file")])
def test_a_damaged_index_is_named(places, complaint, tmp_path):
    with pytest.raises(UserError, match=complaint):
        read_files(sharded(tmp_path, places))


def test_one_file_of_several_is_named_with_what_to_give_instead(tmp_path):
    sharded(tmp_path)
    with pytest.raises(UserError, match="00001-of-00002.safetensors: one of 2 files: give the folder, or the index"):
        read_files(tmp_path / "model-00001-of-00002.safetensors")
    save_file(TENSORS, tmp_path / "model-00001-of-00001.safetensors")
    assert read_files(tmp_path / "model-00001-of-00001.safetensors")[0].tensors.keys() == TENSORS.keys()


def test_a_tensor_that_the_index_does_not_name_is_named(tmp_path):
    index = sharded(tmp_path)
    save_file(TENSORS, tmp_path / "model-00002-of-00002.safetensors")
    with pytest.raises(UserError, match="a.weight is in only one of the index and model-00002"):
        read_files(index)


@pytest.mark.parametrize("shards", [False, True])
def test_a_folder_of_transformers_in_one_file_or_in_several(shards, tmp_path):
    net = dinov2()
    net.save_pretrained(tmp_path, max_shard_size="5KB" if shards else "1GB")
    assert (len([*tmp_path.glob("*.safetensors")]) > 1) == shards
    assert difference(ours(tmp_path), answer(net, images())) < 1e-5
