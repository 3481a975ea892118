import pytest
import torch
from torchvision.transforms import InterpolationMode, v2

from data_setup.images.resize import Frame
from data_setup.loading.transforms import RandomAugment, affine, describe_preprocessing, image_reader, make_transforms


def smooth_image(height=40, width=30):
    y = torch.linspace(-1, 1, height)[:, None]
    x = torch.linspace(-1, 1, width)[None]
    large = torch.exp(-6 * (x - 0.2) ** 2 - 4 * (y + 0.3) ** 2)
    small = torch.exp(-9 * (x + 0.4) ** 2 - 9 * (y - 0.2) ** 2)
    return (large + small / 2)[None]


@pytest.mark.parametrize(
    ("degrees", "right", "down", "scale"),
    [(0, 0, 0, 1), (10, 0, 0, 1), (-7, 0.1, 0, 1), (0, 0, -0.15, 1), (0, 0, 0, 0.8), (5, 0.1, -0.05, 1.15)],
)
def test_affine_is_torchvisions(degrees, right, down, scale):
    """On a tall image, where turning in grid coordinates without the aspect ratio would shear it."""
    image = smooth_image()
    theirs = v2.functional.affine(image, angle=degrees, translate=[right * 30, down * 40], scale=scale,
                                  shear=[0.0, 0.0], interpolation=InterpolationMode.BILINEAR)
    one = [torch.tensor([float(value)]) for value in (degrees, right, down, scale, 1)]
    ours = affine(image[None], *one)[0]
    torch.testing.assert_close(ours, theirs, atol=2e-3, rtol=0)
    if (degrees, right, down, scale) != (0, 0, 0, 1):
        assert (theirs - image).abs().max() > 0.02


def test_flip_mirrors_before_anything_else():
    image = smooth_image()[None]
    one = [torch.tensor([value]) for value in (8.0, 0.1, 0.05, 1.1)]
    flipped = affine(image, *one, torch.tensor([-1.0]))
    torch.testing.assert_close(flipped, affine(image.flip(-1), *one, torch.tensor([1.0])), atol=1e-5, rtol=0)


def test_every_slice_of_a_batch_is_moved_by_itself():
    torch.manual_seed(0)
    image = smooth_image()
    moved = RandomAugment()(image.repeat(8, 1, 1, 1))
    assert moved.shape == (8, 1, 40, 30)
    for i in range(8):
        for j in range(i):
            assert (moved[i] - moved[j]).abs().max() > 0.01
    assert moved.min() >= 0
    assert moved.max() <= 1


def test_half_of_the_slices_are_mirrored():
    """A bright left half stays on its side whatever the rotation, shift and scale; only the flip moves it across."""
    torch.manual_seed(0)
    image = torch.zeros(400, 1, 40, 30)
    image[:, :, 8:32, 4:15] = 0.8
    moved = RandomAugment()(image)
    crossed = moved[..., 15:].sum(dim=(1, 2, 3)) > moved[..., :15].sum(dim=(1, 2, 3))
    assert 0.4 < crossed.float().mean() < 0.6


def test_the_background_stays_black():
    torch.manual_seed(0)
    image = torch.zeros(16, 1, 40, 30)
    image[:, :, 10:30, 8:22] = 0.6
    moved = RandomAugment()(image)
    assert (moved[:, :, 0, :] == 0).all()
    assert (moved[:, :, :, 0] == 0).all()


def test_same_random_state_same_augmentation():
    image = smooth_image().repeat(3, 1, 1, 1)
    results = []
    for _ in range(2):
        torch.manual_seed(5)
        results.append(RandomAugment()(image))
    assert torch.equal(*results)


def test_train_and_eval_share_one_mean_and_std():
    training, evaluation = make_transforms([0.3, 0.4, 0.5], [0.2, 0.25, 0.3], augment=True)
    pixels = torch.randint(0, 256, (2, 3, 5, 7), dtype=torch.uint8)
    mean, std = torch.tensor([0.3, 0.4, 0.5]).view(3, 1, 1), torch.tensor([0.2, 0.25, 0.3]).view(3, 1, 1)
    torch.testing.assert_close(evaluation(pixels), (pixels / 255 - mean) / std)
    assert training[-1] is evaluation[-1]
    plain, _ = make_transforms([0.3], [0.2], augment=False)
    assert not any(isinstance(step, RandomAugment) for step in plain)
    assert any(isinstance(step, RandomAugment) for step in training)


def test_a_file_read_for_prediction_is_what_evaluation_saw(tmp_path):
    import numpy as np
    from PIL import Image

    from data_setup.loading.dataset import read_slice

    pixels = np.random.default_rng(0).integers(0, 256, (26, 22), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    preprocessing = describe_preprocessing(Frame((20, 24)), 1, [0.3], [0.2])
    _, evaluation = make_transforms([0.3], [0.2], augment=True)
    expected = evaluation(torch.from_numpy(read_slice(tmp_path / "a.png", Frame((20, 24)), 1).copy())[None])[0]
    assert torch.equal(image_reader(preprocessing)(tmp_path / "a.png"), expected)


def test_the_grid_is_affine_grids_without_a_matrix_product(monkeypatch):
    """A matrix product in TF32 keeps 10 bits of a coordinate: an eighth of a pixel at 224."""
    from torch.nn import functional as F

    for name in ("matmul", "bmm", "baddbmm", "addmm"):
        monkeypatch.setattr(torch, name, None)
    monkeypatch.setattr(F, "affine_grid", None)
    image = smooth_image()[None]
    one = [torch.tensor([value]) for value in (8.0, 0.1, 0.05, 1.1, -1.0)]
    assert affine(image, *one).shape == image.shape


def test_all_of_a_transform_moves_to_the_device():
    """Every tensor is a buffer of a submodule; a plain list of transforms would keep mean and std where they are."""
    for transform in make_transforms([0.3], [0.2], augment=True):
        assert {name.split(".")[-1] for name, _ in transform.to("meta").named_buffers()} == {"mean", "std"}
        assert all(buffer.is_meta for buffer in transform.buffers())
