import math

import numpy as np
import pandas as pd
import pytest

from data_setup.subjects.path_tables import read_path_table
from functions.checkpointing.run_tables import read_split
from functions.runtime.csv_files import read_csv, to_csv, unescape

HOSTILE = ["=cmd|' /C calc'!A0", "+1+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "'=1", "''=1", "'plain", "plain",
           "a,b", 'quo"te', " spaced ", "line\nbreak", "a;=b", "ü"]


def frame():
    return pd.DataFrame({"path": [f"{name}/{i}.png" for i, name in enumerate(HOSTILE)], "class": HOSTILE,
                         "subject": HOSTILE[::-1], "split": "test", "=2+3": range(len(HOSTILE))})


def test_no_cell_and_no_column_begins_as_a_formula(tmp_path):
    (tmp_path / "t.csv").write_bytes(to_csv(frame()).encode())
    seen = pd.read_csv(tmp_path / "t.csv", dtype=str, keep_default_na=False)
    for cell in [*seen.columns, *(cell for name in seen.columns for cell in seen[name])]:
        assert cell[:1] not in tuple("=+-@\t\r\n"), repr(cell)


def test_our_own_tables_read_back_exactly(tmp_path):
    (tmp_path / "t.csv").write_bytes(to_csv(frame()).encode())
    again = read_split(tmp_path / "t.csv")
    assert again.values.tolist() == frame().drop(columns="=2+3").values.tolist()
    seen = pd.read_csv(tmp_path / "t.csv", dtype=str, keep_default_na=False)
    assert [unescape(name) for name in seen.columns] == list(frame().columns)
    given = read_path_table(tmp_path / "t.csv", ["path", "class", "subject", "split"])
    assert given.values.tolist() == frame().drop(columns="=2+3").values.tolist()


def test_numbers_missing_ids_and_ordinary_tables_are_as_before():
    table = pd.DataFrame({"path": ["/a.png", "b.png"], "subject": ["p1", None], "AD": [-0.5, 0.25]})
    assert to_csv(table) == table.to_csv(index=False)


def test_a_carriage_return_alone_reads_back(tmp_path):
    table = pd.DataFrame({"path": ["a\rb.png", "c.png"], "class": "AD", "subject": "1", "split": "test"})
    (tmp_path / "t.csv").write_bytes(to_csv(table).encode())
    assert read_split(tmp_path / "t.csv")["path"].tolist() == ["a\rb.png", "c.png"]
    assert read_path_table(tmp_path / "t.csv", ["path", "class"])["path"].tolist() == ["a\rb.png", "c.png"]


def test_numbers_are_read_to_the_last_bit_and_text_stays_text(tmp_path):
    values = np.random.default_rng(0).random(500) * 10.0 ** np.arange(-250, 250)
    table = pd.DataFrame({"subject": "007", "p": values, "fold": 3, "none": [0.5, *[np.nan] * 499]})
    (tmp_path / "t.csv").write_text(to_csv(table))
    found = read_csv(tmp_path / "t.csv", ("subject",))
    assert found["subject"].unique().tolist() == ["007"]
    assert (found["p"] == values).all()
    assert found["fold"].dtype == int
    assert found["none"][0] == 0.5
    assert math.isnan(found["none"][1])
    (tmp_path / "t.csv").write_text("p\nhalf\n")
    with pytest.raises(ValueError, match="could not convert"):
        read_csv(tmp_path / "t.csv", ())
