import io

import numpy as np
import pytest
from PIL import Image

from data_setup.similarity.copy_search import CopySearch
from data_setup.splits.seen_in_training import training_copies
from tests.phantoms import make_phantom


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """(slices of ten phantom patients, slices of four others)."""
    folder = tmp_path_factory.mktemp("phantom")
    make_phantom(folder / "p", people=14, slices=8, seed=0)
    paths = sorted((folder / "p").rglob("*.png"))
    people = sorted({path.name[:7] for path in paths})
    return tuple([np.asarray(Image.open(path).convert("L")) for path in paths if path.name[:7] in names]
                 for names in (people[:10], people[10:]))


def saved(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95)
    return np.asarray(Image.open(file))


def test_altered_copies_are_found_with_their_originals_and_other_slices_are_not(pictures):
    trained, others = pictures
    search = CopySearch(trained)
    altered = [*map(saved, trained[:10]), *(np.ascontiguousarray(pixels[:, ::-1]) for pixels in trained[20:24]),
               *((pixels * 0.8).astype(np.uint8) for pixels in trained[24:28]), trained[40]]
    found = search.find([*others[:5], *altered])
    assert found == [None] * 5 + [*range(10), *range(20, 28), 40]
    assert [row is not None for row in found] == training_copies(trained, [*others[:5], *altered])


def test_images_of_one_call_do_not_hide_each_other(pictures):
    trained, others = pictures
    search = CopySearch(trained)
    assert search.find([trained[3], trained[3], saved(trained[3]), others[0], others[0]]) == [3, 3, 3, None, None]


def test_nothing_to_search_or_to_find():
    blank = np.zeros((60, 50), np.uint8)
    assert CopySearch([]).find([blank]) == [None]
    assert CopySearch([blank, blank]).find([]) == []
    assert CopySearch([blank, blank]).find([blank]) == [None], "an image without a brain is no copy"
