import threading

import numpy as np
import pytest
import torch
from PIL import Image

from data_setup.images.resize import Frame
from data_setup.loading import image_stream
from data_setup.loading.dataset import decode, read_slice
from data_setup.loading.image_stream import AHEAD, content_digest, is_coloured, stream_images
from tests.conftest import save_noise


@pytest.fixture
def paths(tmp_path):
    for number in range(7):
        save_noise(tmp_path / f"{number}.png", number, size=(12, 10))
    (tmp_path / "3.png").write_bytes(b"no image")
    return [str(tmp_path / f"{number}.png") for number in range(7)]


@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_those_of_training_in_order_and_errors_are_reported(paths, channels):
    frame = Frame((8, 6))
    batches = list(stream_images(paths, frame, channels, 3))
    assert [batch.paths for batch in batches] == [paths[:3], paths[3:6], paths[6:]]
    assert [batch.rows for batch in batches] == [[0, 1, 2], [1, 2], [0]]
    assert list(batches[1].errors) == [0]
    assert paths[3] not in batches[1].errors[0]
    good = [path for path in paths if path != paths[3]]
    pixels = torch.cat([batch.pixels for batch in batches])
    expected = decode(good, frame, channels, keep=True)
    assert torch.equal(pixels, expected.images)
    assert [digest for batch in batches for digest in batch.digests] == expected.digests_of_content(8 * 6)
    assert [gray.shape for batch in batches for gray in batch.grays] == [(12, 10)] * 6


def test_no_more_than_a_few_batches_are_read_ahead(paths, monkeypatch):
    read, lock = [], threading.Lock()

    def counting(path, frame, channels):
        with lock:
            read.append(path)
        return image_stream._Image(read_slice(paths[0], frame, channels), np.zeros((2, 2), np.uint8), None, False)

    monkeypatch.setattr(image_stream, "_read", counting)
    stream = stream_images(paths * 10, Frame((8, 6)), 1, 2)
    for number in range(1, 20):
        next(stream)
        assert len(read) <= 2 * (number + AHEAD)
    stream.close()


def test_a_batch_of_unreadable_files_only(paths):
    [batch] = stream_images(paths[3:4], Frame((8, 6)), 3, 4)
    assert (batch.rows, batch.pixels.shape) == ([], (0, 3, 8, 6))


def test_blank_images_have_no_digest_and_others_have():
    assert content_digest(np.full((1, 8, 6), 7, np.uint8)) is None
    assert content_digest(np.arange(48, dtype=np.uint8).reshape(1, 8, 6)) is not None


def test_colour_is_more_than_jpegs_errors(tmp_path):
    gray = np.tile(np.arange(0, 200, 2, dtype=np.uint8), (60, 1))
    Image.fromarray(gray).convert("RGB").save(tmp_path / "gray.jpg", quality=30)
    assert not is_coloured(np.asarray(Image.open(tmp_path / "gray.jpg").convert("RGB")))
    photo = np.repeat(gray[:, :, None], 3, axis=2)
    photo[:20, :, 0] = 255 - photo[:20, :, 0]
    assert is_coloured(photo)
