import pytest
import torch
from torch import nn

from data_setup.loading import batches as module
from data_setup.loading.batches import Batches, prefetch
from data_setup.loading.distributed_batches import IGNORED
from tests.functions.several import Pictures

CPU = torch.device("cpu")


class OnDisk(Pictures):
    """Pictures that only reading processes may touch: places come as a list of numbers."""

    def __getitems__(self, places):
        assert all(type(place) is int for place in places)
        return super().__getitems__(places)


def passes(batches, seed=0, count=1):
    torch.manual_seed(seed)
    return [[(images, labels) for images, labels in batches] for _ in range(count)]


def as_one(one_pass):
    return torch.cat([images for images, _ in one_pass]), torch.cat([labels for _, labels in one_pass])


@pytest.mark.parametrize("num_workers", [0, 2])
def test_memory_and_disk_give_the_same_passes(num_workers):
    memory = Batches(Pictures(11), 4, True, nn.Identity(), CPU)
    disk = Batches(OnDisk(11), 4, True, nn.Identity(), CPU, from_disk=True, num_workers=num_workers)
    ours, theirs = passes(memory, count=2), passes(disk, count=2)
    for one, other in zip(ours, theirs, strict=True):
        assert [len(labels) for _, labels in one] == [4, 4, 3]
        for a, b in zip(as_one(one), as_one(other), strict=True):
            assert torch.equal(a, b)
    assert not torch.equal(as_one(ours[0])[0], as_one(ours[1])[0]), "each pass has an order of its own"


@pytest.mark.parametrize("from_disk", [False, True])
def test_the_shares_of_three_are_the_batches_of_one(monkeypatch, from_disk):
    [whole] = passes(Batches(Pictures(11), 12, True, nn.Identity(), CPU))
    parts = []
    for rank in range(3):
        monkeypatch.setattr(module, "rank_and_world_size", lambda rank=rank: (rank, 3))
        share = Batches(OnDisk(11) if from_disk else Pictures(11), 4, True, nn.Identity(), CPU, from_disk=from_disk)
        assert len(share) == 1
        [[(images, labels)]] = passes(share)
        assert len(images) == 4
        parts.append((images[labels != IGNORED], labels[labels != IGNORED]))
    images, labels = as_one(whole)
    for rank, (pixels, classes) in enumerate(parts):
        assert torch.equal(pixels, images[rank::3])
        assert torch.equal(classes, labels[rank::3])


def test_a_pass_takes_one_number_of_the_global_generator():
    torch.manual_seed(3)
    torch.randint(2**31, ())
    expected = torch.get_rng_state()
    passes(Batches(Pictures(11), 4, True, nn.Identity(), CPU), seed=3)
    assert torch.equal(torch.get_rng_state(), expected)


def test_labels_of_the_data_set_survive_the_fillers(monkeypatch):
    monkeypatch.setattr(module, "rank_and_world_size", lambda: (1, 2))
    pictures = Pictures(5)
    before = pictures.labels.clone()
    passes(Batches(pictures, 3, False, nn.Identity(), CPU))
    assert torch.equal(pictures.labels, before)


def test_one_ahead_asks_for_the_next_before_it_gives_one_out():
    asked = []

    def items(count):
        for number in range(count):
            asked.append(number)
            yield number

    given = prefetch(items(3))
    assert next(given) == 0
    assert asked == [0, 1]
    assert list(given) == [1, 2]
    assert list(prefetch(items(0))) == []
    assert list(prefetch(items(1))) == [0]
