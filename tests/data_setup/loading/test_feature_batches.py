import torch

from data_setup.loading.feature_batches import OneView, with_features
from tests.data_setup.loading.test_dataloaders import folders, load  # noqa: F401


def in_features(data, views=1):
    """Every slice's features are its own pixels' mean and label: they can be recognised."""
    made = {}
    for split in ("train", "val", "test"):
        slices = getattr(data, split).dataset
        pixels, labels = slices.__getitems__(list(range(len(slices))))
        rows = torch.stack([pixels.float().mean(dim=(1, 2, 3)), labels.float()], dim=1)
        made[split] = rows[:, None].repeat(1, views, 1) + torch.arange(views)[:, None] * 1000
    return with_features(data, made)


def test_features_come_in_the_order_of_the_images_and_with_their_labels(folders):  # noqa: F811
    data = load(folders, augment=False)
    streams = in_features(data)
    mean, std = data.preprocessing["mean"][0], data.preprocessing["std"][0]
    for split in ("train", "val", "test"):
        torch.manual_seed(5)
        images = list(getattr(data, split))
        torch.manual_seed(5)
        features = list(getattr(streams, split))
        assert len(images) == len(features)
        for (pixels, labels), (rows, again) in zip(images, features, strict=True):
            assert torch.equal(labels, again)
            expected = (pixels.mean(dim=(1, 2, 3)) * std + mean) * 255
            torch.testing.assert_close(rows[:, 0], expected, rtol=1e-4, atol=1e-2)
            assert torch.equal(rows[:, 1], labels.float())


def test_a_pass_takes_as_many_random_numbers_as_a_pass_over_images(folders):  # noqa: F811
    data = load(folders, augment=False)
    states = []
    for stream in (data.train, in_features(data).train):
        torch.manual_seed(1)
        list(stream)
        states.append(torch.get_rng_state())
    assert torch.equal(*states)


def test_of_several_views_each_pass_draws_one_for_each_slice():
    features = torch.arange(4.0)[None, :, None].repeat(400, 1, 2)
    torch.manual_seed(0)
    drawn = OneView()(features)[:, 0]
    assert sorted(drawn.unique().tolist()) == [0, 1, 2, 3]
    assert min(torch.bincount(drawn.long())) > 60
    assert not torch.equal(drawn, OneView()(features)[:, 0])


def test_slices_in_order_are_those_asked_for(folders):  # noqa: F811
    data = load(folders, augment=False)
    rows = [7, 0, 3]
    [(images, labels)] = data.train.in_order(rows, 32)
    pixels, expected = data.train.dataset.__getitems__(rows)
    assert torch.equal(images, data.train.transform(pixels))
    assert torch.equal(labels, expected)
