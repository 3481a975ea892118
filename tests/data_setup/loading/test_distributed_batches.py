import pytest
import torch

from data_setup.loading.distributed_batches import IGNORED, rank_and_world_size, rank_batches


@pytest.mark.parametrize(("count", "batch_size", "world"), [(37, 4, 2), (5, 2, 3), (1, 4, 3), (24, 4, 2), (7, 7, 1)])
def test_shares_hold_every_image_once_in_shapes_that_agree(count, batch_size, world):
    order = torch.randperm(count)
    parts = [list(rank_batches(order, batch_size, rank, world)) for rank in range(world)]
    found = []
    for batch in zip(*parts, strict=True):
        assert len({len(places) for places, _ in batch}) == 1
        assert max(len(places) for places, _ in batch) <= batch_size
        found += [int(place) for places, real in batch for place in places[:real]]
    assert sorted(found) == list(range(count))


def test_alone_a_share_is_the_batch():
    order = torch.tensor([4, 2, 0, 1, 3])
    found = [(places.tolist(), real) for places, real in rank_batches(order, 2, *rank_and_world_size())]
    assert found == [([4, 2], 2), ([0, 1], 2), ([3], 1)]
    assert torch.nn.CrossEntropyLoss().ignore_index == IGNORED
