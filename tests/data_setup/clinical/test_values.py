import pytest

from data_setup.clinical import values

MISSING = ("", " ", "NA", "n/a", "N/A", "nan", "?", "-", ".", "unknown", "-4", "-1", "-4.0")


@pytest.mark.parametrize(("cell", "age"), [("74", 74.0), (" 74.5 ", 74.5), ("74,5", 74.5), ("074Y", 74.0), ("0", 0.0),
                                           ("74 years", 74.0), ("89+", 89.0), ("120", 120.0), ("75.912345", 75.912345)])
def test_ages(cell, age):
    assert values.read_age(cell) == age


@pytest.mark.parametrize(("cell", "date"), [
    ("2006-04-18", "20060418"), ("20060418", "20060418"), ("2006/4/8", "20060408"), ("4/18/2006", "20060418"),
    ("18.4.2006", "20060418"), (" 4/8/2006 ", "20060408"), ("2006-04-18 08:20:30", "20060418"), ("18/4/2006", ""),
    ("4/18/06", ""), ("2006-18-04", ""), ("soon", ""), ("", ""), ("200604181", "")])
def test_dates(cell, date):
    assert values.read_date(cell) == date


def test_days_before_months():
    assert values.read_date("18/4/2006", day_first=True) == "20060418"


@pytest.mark.parametrize("cell", ["121", "-3", "sixty", "1e2", "inf", "61,234", "26000", "٦٠", "60-65", "1934", "7 4"])
def test_what_is_no_age(cell):
    with pytest.raises(ValueError, match="years"):
        values.read_age(cell)


@pytest.mark.parametrize(("cells", "sex"), [(("M", "m", "male", "Male", "MALE", "1", "1.0"), "M"),
                                            (("F", "f", "female", "Female", "2"), "F"), (("O", "other"), "O")])
def test_sexes_of_bids_and_loni(cells, sex):
    assert {values.read_sex(cell) for cell in cells} == {sex}


def test_zero_is_no_sex_because_its_meaning_is_unknown():
    for cell in ("0", "0.0"):
        with pytest.raises(ValueError, match="ambiguous"):
            values.read_sex(cell)
    with pytest.raises(ValueError, match="none of M, F"):
        values.read_sex("X")


def test_ratings_and_codes():
    assert [values.read_rating(cell) for cell in ("0", "0.0", "0.5", "0,5", ".5", "1.0", "3")] == [
        "CDR 0", "CDR 0", "CDR 0.5", "CDR 0.5", "CDR 0.5", "CDR 1", "CDR 3"]
    assert [values.read_code(cell) for cell in ("1", "2.0", "3")] == ["CN", "MCI", "AD"]
    for read, wrong in ((values.read_rating, ("0.7", "4", "AD")), (values.read_code, ("0", "4", "NL"))):
        for cell in wrong:
            with pytest.raises(ValueError, match="is no"):
                read(cell)


@pytest.mark.parametrize("read", [values.read_age, values.read_sex, values.read_rating, values.read_code,
                                  values.read_text, values.read_years])
def test_missing_values_have_no_value(read):
    assert {read(cell) for cell in MISSING} == {None}
