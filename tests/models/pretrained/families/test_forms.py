import pytest

from functions.runtime.errors import UserError
from models.pretrained.families.forms import find_form


def test_a_configuration_is_preferred_to_the_family_and_the_family_to_the_library():
    assert find_form("huggingface", "", "cls", {}).norm_eps == 1e-12
    assert find_form("huggingface", "DINOv2", "cls", {}).norm_eps == 1e-6
    own = {"norm_eps": 1e-3, "gelu": "quick", "image_size": 8, "num_heads": 2}
    form = find_form("huggingface", "DINOv2", "cls", own)
    assert (form.norm_eps, form.gelu, form.pool, form.image_size, form.num_heads) == (1e-3, "quick", "cls", [8, 8], 2)
    assert find_form("open_clip", "CLIP", "cls", {}).gelu == find_form("huggingface", "CLIP", "cls", {}).gelu == "quick"
    assert find_form("timm", "CLIP", "cls", {}) == find_form("open_clip", "CLIP", "cls", {"gelu": "none"})


@pytest.mark.parametrize(("stated", "pool", "expected"), [
    ("mean", "cls", "mean"), ("mean", "mean_then_norm", "mean_then_norm"), ("cls", "mean_then_norm", "cls"),
    ("mean_then_norm", "cls", "mean_then_norm"), (None, "mean_then_norm", "mean_then_norm")])
def test_the_pooling_is_the_configurations_in_the_order_that_the_tensors_say(stated, pool, expected):
    assert find_form("timm", "", pool, {"pool": stated} if stated else {}).pool == expected


def test_the_heads_of_a_transfer_run_go_with_its_models_name():
    assert find_form("ours", "", "cls", {"kind": "TransferConfig", "model": "vit_s_14"}).num_heads == 6


@pytest.mark.parametrize("wrong", [{"pool": "max"}, {"pool": ["cls"]}, {"gelu": "relu"}, {"norm_eps": "1e-6"},
                                   {"norm_eps": float("nan")}, {"image_size": [8]}, {"num_heads": True}])
def test_what_is_none_of_the_known_values_is_named(wrong):
    [name] = wrong
    with pytest.raises(UserError, match=f"the file's configuration: {name} is"):
        find_form("ours", "", "cls", wrong)
