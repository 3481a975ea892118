import re

import pandas as pd
import pytest

from data_setup.listing.moved_data import WrittenSplit
from data_setup.splits.split import apply_split, split_hash
from data_setup.splits.split_file import read_split
from functions.runtime.errors import UserError
from tests.conftest import NO_FILES

TABLE = pd.DataFrame(
    [(f"/d/{folder}/{name}/{person}-{z}.png", name, f"{name}{person}", folder)
     for name in "AB" for person in range(10) for z in range(3) for folder in ["test" if person > 7 else "train"]],
    columns=["path", "class", "subject", "split"])


def write(tmp_path, table):
    table.to_csv(tmp_path / "split.csv", index=False)
    return tmp_path / "split.csv"


def test_a_split_that_is_written_down_is_used_again(tmp_path):
    first = apply_split(TABLE, "patient", seed=4)
    file = write(tmp_path, first.table.sample(frac=1, random_state=0))
    again = apply_split(TABLE, file, seed=5)
    pd.testing.assert_frame_equal(again.table, first.table)
    assert split_hash(again.table) == split_hash(first.table)
    assert again.caveats == ()
    assert again.notes[0] == f"the split is read from {file}"


def test_a_split_of_another_machine_is_used_again(tmp_path):
    first = apply_split(TABLE, "patient", seed=4)
    moved = TABLE.assign(path=TABLE["path"].str.replace("/d/", "/home/me/brains/"))
    again = apply_split(moved, write(tmp_path, first.table), seed=5)
    assert again.table["split"].tolist() == first.table["split"].tolist()


def test_leaks_and_unknown_patients_of_a_csv_are_stamped_and_validation_is_cut(tmp_path):
    leaky = TABLE.assign(split=["test" if i % 3 == 0 else "train" for i in range(60)])
    split = apply_split(TABLE, write(tmp_path, leaky))
    assert split.caveats == ("LEAKY SPLIT",)
    assert (split.table["split"] == "val").any()
    assert split.table.loc[leaky["split"] == "test", "split"].eq("test").all()
    nobody = leaky.assign(subject="")
    assert apply_split(TABLE, write(tmp_path, nobody)).caveats == ("LEAKY SPLIT",)       # we know them
    split = apply_split(TABLE.assign(subject=None), write(tmp_path, nobody))
    assert split.caveats == ("PATIENTS UNKNOWN",)


def test_a_split_written_by_other_programs_is_used(tmp_path):
    """Semicolons, a byte order mark, other column names, R's NA, another notation of the ids, spaces, NFD."""
    table = TABLE.assign(**{"class": TABLE["class"].replace("A", "D\u00e9ment")})
    given = table.assign(**{"class": table["class"].str.replace("\u00e9", "e\u0301"), "split": table["split"] + " ",
                            "subject": ["ADNI_003_S_0002"] * 3 + ["NA"] * 3 + table["subject"].tolist()[6:]})
    file = tmp_path / "split.csv"
    file.write_bytes(given.rename(columns={"subject": "patient_id"}).to_csv(sep=";", index=False).encode("utf-8-sig"))
    again, _ = read_split(file, table)
    assert again["split"].tolist() == table["split"].tolist()
    assert again["class"].tolist() == table["class"].tolist()
    assert again["subject"].tolist() == ["003_S_0002"] * 3 + table["subject"].tolist()[3:]


@pytest.mark.parametrize(("change", "message"), [
    (lambda t: t.assign(split=0), "60 splits are not one of train, val, test, the first 0"),
    (lambda t: t.assign(split=None), "60 splits are not one of train, val, test"),
    (lambda t: pd.concat([t, t[["split"]]], axis=1), "two columns for split"),
    (lambda t: t.iloc[3:], "3 slices of the data are not in it, the first /d/train/A/0-0.png"),
    (lambda t: pd.concat([t, t.iloc[:2].assign(path=["/d/new/1.png", "/d/new/2.png"])]),
     "2 of its slices are not in the data, the first /d/new/1.png"),
    (lambda t: t.assign(split=["trian", "Test"] + t["split"].tolist()[2:]),
     "2 splits are not one of train, val, test, the first trian"),
    (lambda t: t.assign(**{"class": ["B"] + t["class"].tolist()[1:]}),
     "1 classes differ from the folder, the first B for /d/train/A/0-0.png"),
    (lambda t: t.assign(split="train"), "no slice has split test"),
    (lambda t: t.assign(split="val"), "no slice has split train"),
    (lambda t: t.drop(columns="class"), "missing class"),
    (lambda t: pd.concat([t, t.iloc[:1].assign(split="test")]), "two rows for /d/train/A/0-0.png"),
    (lambda t: t.iloc[:0], "has no rows"),
])
def test_a_wrong_csv_is_refused_in_one_line(tmp_path, change, message):
    file = write(tmp_path, change(TABLE))
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        read_split(file, TABLE)
    assert str(caught.value).startswith(f"{file}: ")
    assert "\n" not in str(caught.value)


def test_a_mode_that_is_neither_a_word_nor_a_file():
    with pytest.raises(ValueError, match="--split atuo: no such CSV file; expected a CSV file, auto, folder"):
        apply_split(TABLE, "atuo")


@pytest.mark.parametrize(("kind", "make"), NO_FILES.items())
def test_what_is_no_file_is_not_opened(kind, make, tmp_path):
    make(tmp_path / "s.csv")
    with pytest.raises(UserError, match=f"--split .*s.csv: {kind}"):
        read_split(tmp_path / "s.csv", pd.DataFrame({"path": []}))


@pytest.mark.parametrize("mark", ["?", "-", "--", "unknown", ".", "n/a", "none", "null", "NA"])
def test_rows_whose_patient_is_called_unknown_are_no_patient_and_are_counted(tmp_path, mark):
    given = TABLE.assign(subject=[mark] * 4 + TABLE["subject"].tolist()[4:])
    file = write(tmp_path, given)
    again, _ = read_split(file, TABLE.assign(subject=None))
    assert again["subject"].tolist() == [None] * 4 + given["subject"].tolist()[4:]
    split = apply_split(TABLE.assign(subject=None), file)
    assert f'{file}: 4 of 60 rows have no patient ("{mark}")' in " ".join(split.notes)
    assert "rows name no patient" not in " ".join(apply_split(TABLE, WrittenSplit(file)).notes), "the run's own"
