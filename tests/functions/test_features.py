import pytest
import torch

from functions.features import cache_key, cached_features, extract

IMAGES = torch.arange(24.0).view(8, 3)


def computed_by(calls):
    def compute(rows):
        calls.append(list(rows))
        return IMAGES[rows] * 10

    return compute


def names(count):
    return [f"pixels{i}" for i in range(count)]


def test_what_is_known_is_not_computed_again(tmp_path):
    calls = []
    file = tmp_path / "deep" / "features.pt"
    first, new = cached_features(file, names(5), computed_by(calls))
    assert new == 5
    again, new = cached_features(file, names(5), computed_by(calls))
    assert new == 0
    assert torch.equal(first, again)
    assert torch.equal(first, IMAGES[:5] * 10)
    assert calls == [[0, 1, 2, 3, 4]]


def test_only_new_images_are_computed_and_each_comes_back_in_its_place(tmp_path):
    calls = []
    file = tmp_path / "features.pt"
    cached_features(file, ["b", "d"], lambda rows: torch.tensor([[1.0], [3.0]])[rows])
    values = {"a": 0.0, "b": 1.0, "c": 2.0, "d": 3.0}
    wanted = ["d", "a", "b", "c", "a"]

    def compute(rows):
        calls.append([wanted[row] for row in rows])
        return torch.tensor([[values[wanted[row]]] for row in rows])

    found, new = cached_features(file, wanted, compute)
    assert found[:, 0].tolist() == [3, 0, 1, 2, 0]
    assert (new, calls) == (2, [["a", "c"]]), "the same pixels twice are one image"


def test_blocks_are_added_one_after_another_and_survive_an_interruption(tmp_path, monkeypatch):
    monkeypatch.setattr("time.monotonic", iter(range(0, 10**6, 40)).__next__)      # half a minute passes each block
    file, calls = tmp_path / "features.pt", []
    compute = computed_by(calls)

    def interrupted(rows):
        if len(calls) == 2:
            raise KeyboardInterrupt
        return compute(rows)

    with pytest.raises(KeyboardInterrupt):
        cached_features(file, names(8), interrupted, block=3)
    found, new = cached_features(file, names(8), compute, block=3)
    assert new == 2, "six of eight were kept"
    assert torch.equal(found, IMAGES * 10)


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"no features"])
def test_a_damaged_file_is_made_again(tmp_path, damage):
    file = tmp_path / "features.pt"
    cached_features(file, names(4), computed_by([]))
    file.write_bytes(damage(file.read_bytes()))
    found, new = cached_features(file, names(4), computed_by([]))
    assert new == 4
    assert torch.equal(found, IMAGES[:4] * 10)


def test_the_key_changes_with_everything_the_features_depend_on():
    parts = {"weights": "a", "preprocessing": {"mean": [0.1]}, "precision": "fp32"}
    keys = {cache_key(**parts), cache_key(**parts | {"weights": "b"}), cache_key(**parts | {"precision": "bf16"}),
            cache_key(**parts | {"preprocessing": {"mean": [0.2]}})}
    assert len(keys) == 4
    assert cache_key(**parts) == cache_key(**dict(reversed(parts.items())))


def test_extracting_keeps_order_and_leaves_no_graph():
    layer = torch.nn.Linear(3, 2)
    batches = [(IMAGES[:5], None), (IMAGES[5:], None)]
    rows = extract(layer, batches, torch.device("cpu"), "fp32")
    torch.testing.assert_close(rows, layer(IMAGES).detach())
    assert not rows.requires_grad
