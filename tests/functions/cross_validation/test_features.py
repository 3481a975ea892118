import pytest
import torch
from safetensors.torch import save_file

from functions.cross_validation.features import features_on_disk
from functions.runtime.errors import UserError


def test_features_are_computed_once_and_refused_for_other_data(tmp_path):
    file, calls = tmp_path / "a/x.safetensors", []

    def compute():
        calls.append(1)
        return {"class": torch.arange(6.0).reshape(3, 2)}

    for _ in range(2):
        assert features_on_disk(file, 3, {"weights": "w"}, compute)["class"].tolist() == [[0, 1], [2, 3], [4, 5]]
    assert len(calls) == 1
    for count, depends_on in ((4, {"weights": "w"}), (3, {"weights": "v"})):
        with pytest.raises(UserError, match="of other data or weights: remove it"):
            features_on_disk(file, count, depends_on, compute)
    file.write_bytes(b"x" * 20)
    with pytest.raises(UserError, match="is damaged"):
        features_on_disk(file, 3, {"weights": "w"}, compute)


def test_a_file_of_an_earlier_version_is_checked_by_its_rows(tmp_path):
    file = tmp_path / "x.safetensors"
    save_file({"class": torch.zeros(3, 2)}, file)
    assert features_on_disk(file, 3, {"weights": "w"}, dict)["class"].shape == (3, 2)
    with pytest.raises(UserError, match="of other data"):
        features_on_disk(file, 2, {"weights": "w"}, dict)
