import pytest

from tests.conftest import save_noise


@pytest.fixture
def folders(tmp_path):
    """train/ and test/ with two classes; test's slices are copies of train's first three."""
    for split, count in (("train", 6), ("test", 3)):
        for k, name in enumerate(("AD", "CN")):
            for i in range(count):
                save_noise(tmp_path / split / name / f"{split}{i}.png", 100 * k + i)
    return {"train": tmp_path / "train", "test": tmp_path / "test"}
