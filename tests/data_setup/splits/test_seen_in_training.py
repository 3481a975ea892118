import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from data_setup.splits.seen_in_training import count_seen, data_set_folders, in_data_set, training_copies
from tests.phantoms import make_phantom

OURS = {"subjects": ["sub-001", "003_S_0002", "pixels-0000", "ND003"], "digests": ["x", "y"]}


def test_an_archives_patient_is_seen_wherever_and_however_written():
    for name in ("ADNI_003_S_0002", "sub-ADNI003S0002", "003_s_0002"):
        assert count_seen(["/else/1.png"], [name], ["z"], OURS, ["/data/train"]) == (1, 0, [])
        assert count_seen(["/else/1.png"], ["003_S_0002"], ["z"], OURS | {"subjects": [name]}, ["/data/train"])[0] == 1


@pytest.mark.parametrize("subject", ["sub-001", "pixels-0000", "ND003"])
def test_another_id_means_a_patient_only_within_its_data_set(subject):
    def seen(path, digest="z", folders=("/data/train",)):
        return count_seen([path, "/else/9.png"], [subject, None], [digest, None], OURS, folders)

    assert seen("/else/AD/1.png") == (0, 0, [subject])
    assert seen("/data/train/AD/1.png") == (1, 0, [])
    assert seen("/data/test/AD/1.png") == (1, 0, [])              # the split folder beside it
    assert seen("/data/other/AD/1.png") == (0, 0, [subject])
    assert seen("/else/AD/1.png", digest="x") == (1, 1, [])       # shares pixels: the same data set
    assert seen("/else/AD/1.png", folders=None) == (1, 0, [])


def test_the_kaggle_sets_own_names_mean_one_patient_everywhere():
    assert count_seen(["/else/NonDemented/27 (3).jpg"], ["ND003"], ["z"], OURS, ["/data/train"]) == (1, 0, [])


def test_a_blank_slice_is_nobodys():
    assert count_seen(["/else/1.png"], [None], [None], OURS | {"digests": ["", None]}, ["/data"]) == (0, 0, [])


def test_links_lead_to_the_data_set(tmp_path):
    (tmp_path / "data" / "train" / "AD").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "data" / "train")
    assert in_data_set([f"{tmp_path}/link/AD/1.png"], [str(tmp_path / "data" / "train")]) == [True]
    assert in_data_set([f"{tmp_path}/data/AD/1.png"], [str(tmp_path / "link")]) == [False]


def test_the_folders_of_a_split():
    table = pd.DataFrame([("/a/b/AD/x/1.png", "AD"), ("/c/CN/2.png", "CN"), ("/c/CN/3.png", "CN"), ("/d/4.png", "CN")],
                         columns=["path", "class"])
    assert data_set_folders(table) == ["/a/b", "/c"]


def test_copies_of_training_slices_are_recognised_whatever_was_done_to_them(tmp_path):
    """Saved as JPEG 95, mirrored, re-lit or reduced; other people's slices are none."""
    make_phantom(tmp_path / "p", people=14, slices=8, seed=0)
    pictures = {path: Image.open(path).convert("L") for path in sorted((tmp_path / "p").rglob("*.png"))}
    people = sorted({path.name[:7] for path in pictures})
    trained = [np.asarray(picture) for path, picture in pictures.items() if path.name[:7] in people[:10]]
    others = [np.asarray(picture) for path, picture in pictures.items() if path.name[:7] in people[10:]]
    assert training_copies(trained, others) == [False] * len(others)

    def saved(pixels):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=95)
        return np.asarray(Image.open(file))

    altered = [*map(saved, trained[:20]), *(np.ascontiguousarray(pixels[:, ::-1]) for pixels in trained[20:24]),
               *((pixels * 0.8).astype(np.uint8) for pixels in trained[24:28])]
    assert training_copies(trained, [*others[:5], *altered]) == [False] * 5 + [True] * len(altered)
