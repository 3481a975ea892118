import pytest

from functions.stages import stage_order


@pytest.mark.parametrize(
    ("names", "order"),
    [(["MildDemented", "ModerateDemented", "NonDemented", "VeryMildDemented"], [2, 3, 0, 1]),
     (["AD", "CN", "MCI"], [1, 2, 0]), (["Mild_Demented", "Non_Demented"], [1, 0]), (["left", "right"], None)],
)
def test_known_stages_are_ordered_from_healthy_to_ill(names, order):
    assert stage_order(names) == order


def test_an_order_can_be_given_and_must_be_whole():
    assert stage_order(["a", "b", "c"], "c, a,b") == [2, 0, 1]
    for wrong in ("a,b", "a,b,c,d", "a,a,b"):
        with pytest.raises(ValueError, match="must name each class once: a,b,c"):
            stage_order(["a", "b", "c"], wrong)
