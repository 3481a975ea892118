import pytest

from functions.learning_curves.methods import ALL, METHODS, parse_methods, parse_sizes, parse_weights, size_name
from functions.runtime.errors import UserError


def test_methods_are_in_the_order_of_their_cost_whatever_the_order_given():
    assert parse_methods("resnet18,vit,constant") == ["constant", "vit", "resnet18"]
    assert parse_methods(None) == list(METHODS)
    with pytest.raises(UserError, match='no method "vti"; known: constant, '):
        parse_methods("vit,vti")


def test_sizes_grow_and_all_is_the_last():
    assert parse_sizes("all,20,10,20") == [10, 20, ALL]
    assert [size_name(size) for size in (10, ALL)] == ["10", "all"]


@pytest.mark.parametrize("text", ["", "4", "0", "-10", "10,x", "1e3", "10,,20"])
def test_other_sizes_are_refused(text):
    with pytest.raises(UserError, match="nor \"all\""):
        parse_sizes(text)


def test_weights_are_found_by_the_kind_that_methods_need(tmp_path):
    file = tmp_path / "w.pth"
    file.touch()
    assert parse_weights([f"ti={file}", f"resnet18={file}"]) == {"vit": ("vit_ti_16", file), "resnet18": (
        "resnet18", file)}
    assert {method.needs for method in METHODS.values()} == {"", "vit", "resnet18"}


@pytest.mark.parametrize(("given", "message"), [
    (["ti"], "MODEL=FILE"), (["vgg=x"], "MODEL=FILE"), (["ti=nowhere.pth"], "there is no nowhere.pth"),
    (["ti={}", "b16={}"], "vit_ti_16 is given as well"),
])
def test_other_weights_are_refused(given, message, tmp_path):
    file = tmp_path / "w.pth"
    file.touch()
    with pytest.raises(UserError, match=message):
        parse_weights([text.format(file) for text in given])
