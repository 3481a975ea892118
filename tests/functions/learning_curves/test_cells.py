import pytest

from functions.learning_curves.cells import Cell, Cells, Fit
from functions.learning_curves.methods import ALL
from functions.runtime.errors import UserError
from tests.functions.learning_curves.cohorts import make_cohort, noisy


def fitted(cohort, cell, signal=1.0):
    tested = cohort.tested(cell.repeat, cell.fold)
    return Fit(noisy(cohort, signal)(~tested, tested, cell.fold)[0], 1.5, 2.25, 64, 7 + cell.fold)


def test_what_is_written_is_read_to_the_last_bit(tmp_path):
    cohort = make_cohort()
    cells, cell = Cells(tmp_path, cohort), Cell("vit", 10, 1, 2)
    fit = fitted(cohort, cell)
    assert not cells.finished(cell)
    cells.write(cell, fit)
    assert cells.finished(cell)
    read = Cells(tmp_path, cohort).read(cell)
    assert (read.probabilities == fit.probabilities).all()
    assert read[1:] == fit[1:]
    assert (tmp_path / "predictions/vit/10-r2f3.csv").is_file()


def test_a_curve_puts_every_patient_in_its_place_and_is_none_while_a_fit_is_missing(tmp_path):
    cohort = make_cohort()
    cells, truth = Cells(tmp_path, cohort), {}
    for repeat in range(2):
        for fold in range(3):
            assert cells.curve("vit", ALL) is None
            cell = Cell("vit", ALL, repeat, fold)
            truth[repeat, fold] = fitted(cohort, cell)
            cells.write(cell, truth[repeat, fold])
    curve = cells.curve("vit", ALL)
    assert curve.found.probabilities.shape == (2, 31, 3)
    for (repeat, fold), fit in truth.items():
        assert (curve.found.probabilities[repeat][curve.found.folds[repeat] == fold] == fit.probabilities).all()
    assert (curve.patients, curve.images, curve.seconds, curve.cpu_seconds) == (8, 64, 1.5, 2.25)


@pytest.mark.parametrize("damage", [
    lambda text: "", lambda text: text[:len(text) // 2], lambda text: text.replace("AD00", "AD01"),
    lambda text: text.replace("0.", "x", 1), lambda text: "\n".join(text.splitlines()[:-1]) + "\n",
    lambda text: text.replace("p_AD", "p_BD"), lambda text: text.replace("1.5,", "nan,"),
])
def test_a_damaged_file_or_one_of_other_patients_is_refused(damage, tmp_path):
    cohort, cell = make_cohort(), Cell("vit", 10, 0, 0)
    cells = Cells(tmp_path, cohort)
    cells.write(cell, fitted(cohort, cell))
    file = tmp_path / "predictions" / cell.file
    file.write_text(damage(file.read_text()))
    with pytest.raises(UserError, match="10-r1f1.csv is damaged or of other patients: remove it"):
        cells.read(cell)
