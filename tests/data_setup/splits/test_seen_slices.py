import numpy as np
import pandas as pd
from PIL import Image

from data_setup.splits.seen_slices import SeenSlices

SEEN = {"subjects": ["sub-001", "003_S_0002"], "digests": ["x"], "folders": ["/data/train"]}
NONE = pd.DataFrame(columns=["path", "class"], dtype=object)
GRAY = np.zeros((8, 8), np.uint8)


def mark(seen, path, subject=None, digest="z"):
    [answer] = seen.mark([path], [subject], [digest], [GRAY])
    return answer


def test_pixels_and_patients_are_recognised_one_by_one():
    seen = SeenSlices(SEEN, NONE)
    assert mark(seen, "/new/1.png") == "no"
    assert mark(seen, "/new/1.png", digest="x") == "pixels"
    assert mark(seen, "/new/1.png", digest=None) == "no", "a blank image is no copy of a blank one"
    assert mark(seen, "/data/train/AD/9.png", "sub-001") == "patient"
    assert mark(seen, "/data/test/AD/9.png", "sub-001") == "patient"         # the split folder beside it
    assert mark(seen, "/new/1.png", "sub-ADNI003S0002") == "patient"         # an archive's id, everywhere
    assert seen.late_notes == []
    assert mark(seen, "/new/1.png", "sub-001") == "no"
    assert "1 patients have ids of training patients (sub-001)" in seen.late_notes[0]


def test_what_is_not_recorded_is_unknown():
    seen = SeenSlices({"subjects": [], "digests": []}, NONE)
    assert mark(seen, "/new/1.png") == ""
    assert "is not recorded" in seen.notes[0]


def test_copies_are_searched_where_the_training_slices_are_available(tmp_path):
    generator = np.random.default_rng(0)
    rows = []
    for number in range(3):
        pixels = np.zeros((60, 50), np.uint8)
        pixels[8:50, 10:38] = generator.integers(60, 255, (42, 28))
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        rows.append((str(tmp_path / f"{number}.png"), "AD"))
    seen = SeenSlices(SEEN, pd.DataFrame(rows, columns=["path", "class"]))
    assert seen.notes == []
    darker = (np.asarray(Image.open(rows[1][0])) * 0.9).astype(np.uint8)
    assert seen.mark(["/new/1.png"], [None], ["z"], [darker]) == ["pixels"]
    assert SeenSlices(SEEN, NONE).notes == [
        "altered copies of training slices are not recognised, equal pixels and ids are"]
