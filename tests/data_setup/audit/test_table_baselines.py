import numpy as np
import pandas as pd
import pytest

from data_setup.audit.table_baselines import add_traits, table_baselines
from data_setup.clinical.table import read_clinical_table
from data_setup.loading.predict_data import RowsToScore
from tests.conftest import save_noise

NAMES = ["AD", "CN"]


@pytest.fixture
def rows(tmp_path):
    """Patients of four slices of noise; only the table tells that AD is older."""
    parts, table = {}, ["subject,age,sex"]
    for split, patients in (("train", 8), ("val", 3), ("test", 5)):
        found = []
        for label, name in enumerate(NAMES):
            for patient in range(patients):
                subject = f"sub-{split}{name}{patient}1"
                table.append(f"{subject},{80 - 15 * label + patient},{'FM'[patient % 2]}")
                for z in range(4):
                    path = tmp_path / f"{subject}_z{z}.png"
                    save_noise(path, patient * 10 + z + 100 * label)
                    found.append((str(path), name, label, subject, subject))
        parts[split] = pd.DataFrame(found, columns=["path", "class", "label", "subject", "who"])
    (tmp_path / "t.csv").write_text("\n".join(table) + "\n")
    return RowsToScore(parts, 1), tmp_path / "t.csv"


def test_age_and_sex_are_fitted_to_training_and_validation_and_score_the_test_slices(rows):
    rows, file = rows
    table = read_clinical_table(file)
    add_traits(rows, table, table)
    found, notes = table_baselines(rows, NAMES)
    assert list(found) == ["age and sex", "four numbers, age and sex"]
    assert notes == []
    for p in found.values():
        assert (p.argmax(axis=1) == rows.test["label"]).all()
        assert all(len(np.unique(p[rows.test["subject"] == one], axis=0)) == 1 for one in rows.test["subject"].unique())
    without = RowsToScore({name: part for name, part in rows.parts.items() if name != "val"}, 1)
    assert not np.allclose(table_baselines(without, NAMES)[0]["age and sex"], found["age and sex"])


def test_patients_whose_age_is_unknown_have_no_probability(rows):
    rows, file = rows
    file.write_text(file.read_text().replace("sub-testAD01,80", "sub-testAD01,").replace(",sex", ",x"))
    table = read_clinical_table(file)
    add_traits(rows, table, table)
    found, _ = table_baselines(rows, NAMES)
    assert list(found) == ["age", "four numbers, age"]
    assert np.isnan(found["age"]).all(axis=1).sum() == 4
    assert np.isnan(found["age"][rows.test["subject"] == "sub-testAD01"]).all()


def test_what_cannot_be_fitted_is_a_note(rows):
    rows, file = rows
    table = read_clinical_table(file)
    add_traits(rows, table, None)                          # the run's own patients are in no table
    assert table_baselines(rows, NAMES) == ({}, ["no baselines of age and sex: the run's training patients are not "
                                                 "available, or not in a table"])
    add_traits(rows, table, table)
    assert len(rows.notes) == len(set(rows.notes)) > 0, "said once, also if the folder's list said it"
    short = RowsToScore({name: part.groupby("subject").head(2) for name, part in rows.parts.items()}, 1)
    found, notes = table_baselines(short, NAMES)
    assert list(found) == ["age and sex"]
    assert notes[0].startswith("no baseline of four numbers, age and sex: patient")
