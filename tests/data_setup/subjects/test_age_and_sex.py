import numpy as np
import pytest

from data_setup.subjects.age_and_sex import age_and_sex
from functions.runtime.errors import UserError

PATHS = ["data/AD/a_1.png", "data/AD/a_2.png", "data/CN/b_1.png"]
TABLE = "path,Age,sex\nAD/a_1.png,71.5,F\nAD/a_2.png,71.5,female\nCN/b_1.png,80,M\n"


def test_age_and_sex_are_those_of_each_path(tmp_path):
    file = tmp_path / "t.csv"
    file.write_text(TABLE)
    assert age_and_sex(file, PATHS).tolist() == [[71.5, 0], [71.5, 0], [80, 1]]
    assert age_and_sex(file, PATHS[::-1]).tolist() == [[80, 1], [71.5, 0], [71.5, 0]]


def test_the_phantoms_manifest_has_them(tmp_path):
    from tests.phantoms import make_phantom

    folder = make_phantom(tmp_path / "p", people=10, slices=1, seed=0)
    found = age_and_sex(folder / "manifest.csv", [str(path) for path in sorted(folder.rglob("*.png"))])
    assert found.shape == (10, 2)
    assert ((found[:, 0] > 40) & (found[:, 0] < 110)).all()
    assert set(np.unique(found[:, 1])) == {0.0, 1.0}


@pytest.mark.parametrize(("old", "new", "message"), [
    ("Age", "x", "missing age"), ("80,M", "?,M", "1 of 3 slices have no row with an age and a sex"),
    ("80,M", "80,x", "1 of 3 slices"), ("CN/b_1.png", "CN/c.png", "1 of 3 slices"),
])
def test_missing_values_are_refused_with_the_file(old, new, message, tmp_path):
    file = tmp_path / "t.csv"
    file.write_text(TABLE.replace(old, new))
    with pytest.raises(UserError, match=message) as error:
        age_and_sex(file, PATHS)
    assert str(file) in str(error.value)
