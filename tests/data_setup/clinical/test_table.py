import pytest

from data_setup.clinical.table import OASIS_1, read_clinical_table
from functions.runtime.errors import UserError


def read(tmp_path, text, name="t.csv"):
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_clinical_table(tmp_path / name)


def test_a_row_of_oasis_1(tmp_path):
    table = read(tmp_path, "ID,M/F,Age,SES,CDR\nOAS1_0001_MR1,F,74,2,0.5\nOAS1_0002_MR2,M,20,3,\n")
    assert [row[1:3] for row in table.rows] == [("OAS1_0001", "1"), ("OAS1_0002", "2")]
    assert [row.values for row in table.rows] == [{"sex": "F", "age": 74.0, "class": "CDR 0.5"},
                                                  {"sex": "M", "age": 20.0, "class": None}]
    assert "class from CDR" in table.notes[0]
    assert "1 of 2 rows have no class" in table.notes[1]


def test_adnimerge_has_the_age_at_baseline_in_every_row(tmp_path):
    head = "RID,PTID,VISCODE,AGE,PTGENDER,DX,Years_bl,Month\n"
    table = read(tmp_path, head + "3,002_S_0003,bl,70,Male,CN,0,0\n3,002_S_0003,m24,70,Male,MCI,2.1,24\n"
                 "4,002_S_0004,m12,80.5,Female,CN,,12\n5,002_S_0005,m12,80,Female,CN,,\n")
    assert [row.values["age"] for row in table.rows] == [70.0, 72.1, 81.5, None]
    assert [row.session for row in table.rows] == ["m0", "m24", "m12", "m12"]
    assert any("age at baseline" in note for note in table.notes)
    assert read(tmp_path, "PTID,AGE,Month\n002_S_0003,70,24\n").rows[0].values["age"] == 70.0     # without visits


def test_without_a_month_the_visit_says_the_time_since_baseline(tmp_path):
    head = "PTID,VISCODE,AGE,DX\n"
    table = read(tmp_path, head + "002_S_0003,bl,70,CN\n002_S_0003,m24,70,MCI\n002_S_0004,m06,80.5,CN\n")
    assert [row.values["age"] for row in table.rows] == [70.0, 72.0, 81.0]
    assert any("age at baseline" in note for note in table.notes)
    alone = read(tmp_path, head + "002_S_0003,m24,72,CN\n002_S_0004,m06,81,CN\n")       # may be the age at the visit
    assert [row.values["age"] for row in alone.rows] == [72.0, 81.0]


def test_several_rows_of_one_visit_do_not_make_its_age_that_at_baseline(tmp_path):
    table = read(tmp_path, "path,PTID,VISCODE,AGE\na.png,002_S_0003,m24,72\nb.png,002_S_0003,m24,72\n")
    assert [row.values["age"] for row in table.rows] == [72.0, 72.0]
    assert not any("baseline" in note for note in table.notes)


def test_ages_that_differ_between_visits_are_not_those_at_baseline(tmp_path):
    table = read(tmp_path, "PTID,VISCODE,AGE,Month\n002_S_0003,bl,70,0\n002_S_0003,m24,72,24\n002_S_0004,bl,80,0\n")
    assert [row.values["age"] for row in table.rows] == [70.0, 72.0, 80.0]
    assert not any("baseline" in note for note in table.notes)


def test_rids_and_coded_diagnoses(tmp_path):
    table = read(tmp_path, "RID,VISCODE,PTGENDER,DXCURREN\n12,bl,1,3\n13,m18,2,-4\n")
    assert table.by_rid
    assert any(note.endswith('1 of 2 rows have no class ("-4")') for note in table.notes)
    assert [row.values for row in table.rows] == [{"sex": "M", "class": "AD"}, {"sex": "F", "class": None}]
    assert not read(tmp_path, "PTID,RID,PTGENDER\n002_S_0003,3,1\n").by_rid


def test_ages_of_aibl_are_from_the_year_of_birth(tmp_path):
    head = "RID,VISCODE,DXCURREN,PTDOB,EXAMDATE\n"
    table = read(tmp_path, head + "12,bl,3,/1935,03/31/2009\n12,m18,3,/1935,9/2/2010\n13,bl,1,/1940,-4\n")
    assert [row.values["age"] for row in table.rows] == [74.0, 75.0, None]
    assert "age from PTDOB and EXAMDATE" in table.notes[0]
    assert any("1 of 3 rows have no age" in note for note in table.notes)
    exact = read(tmp_path, "subject,date of birth,Acq Date\na,31/12/1949,30/06/2010\nb,1/2/1949,1/2/2010\n")
    assert [row.values["age"] for row in exact.rows] == [60.5, 61.0]
    by_birth = read(tmp_path, "subject,dob,Acq Date\na,31/12/1949,5/1/2010\n")        # a day that only the birth shows
    assert by_birth.rows[0].values["age"] == 60.0
    assert read(tmp_path, head + "12,bl,3,/1935,2009\n").rows[0].values["age"] == 74.0
    assert read(tmp_path, "RID,age,PTDOB,EXAMDATE\n12,70,/1935,2009\n").rows[0].values["age"] == 70.0
    with pytest.raises(UserError, match="row 1: the age '-9' in column PTDOB and EXAMDATE is not a number of years"):
        read(tmp_path, head + "12,bl,3,/2018,03/31/2009\n")
    for birth in ("30/02/1940", "May", "1935 or 1936"):
        with pytest.raises(UserError, match=f"row 1: the age '{birth} to 31/03/2009' in column dob and visit date is"):
            read(tmp_path, f"subject,dob,visit date\na,{birth},31/03/2009\n")


@pytest.mark.parametrize("text", [
    "subject;class;age\ns1;AD;70,5\n", "subject\tclass\tage\ns1\tAD\t70.5\n", "sep=;\nsubject;class;age\ns1;AD;70,5\n",
    "subject,class,age\ns1,AD,70.5\n".encode("utf-8-sig"), "subject,class,age\ns1,AD,70.5\n".encode("utf-16"),
    'subject,class,age\n"s1","AD","70,5"\n'])
def test_delimiters_encodings_and_decimal_commas(tmp_path, text):
    assert [row.values for row in read(tmp_path, text).rows] == [{"class": "AD", "age": 70.5}]


@pytest.mark.parametrize(("text", "message"), [
    ("class,age\nAD,3\n", "needs a column subject"), ("subject,MMSE\ns1,3\n", "none of the columns class, age"),
    ("subject,class\n", "has no rows"), ("subject,age,Age\ns1,3,3\n", "two columns for age: age, Age"),
    ("subject,age\ns1,70\ns2,999\n", "row 2: the age '999' in column age is not between 0 and 120"),
    ("subject,sex\ns1,0\ns2,0\n", r"ambiguous: write M and F.*\(1 such|ambiguous: write M and F"),
    ("subject,CDR\ns1,0.7\n", "no Clinical Dementia Rating"), ("subject,class\ns1,\n", "no class in any row"),
    ("subject,class\ns1,AD\ns2,ad\n", "AD, ad differ only in case"), ("subject,class\ns1,(all)\n", "result tables"),
    ("subject,class\ns1,=x\n", "formula"), ("subject,class\nNA,AD\n", "no row names a patient"),
    ("path,class\na.png,AD\na.png,CN\n", "two rows for a.png: 'AD' and 'CN'"),
    ("subject,class\n" + "".join(f"s{k},{k}\n" for k in range(101)), "101 different values, which are not classes")])
def test_what_cannot_be_right_is_one_line(tmp_path, text, message):
    with pytest.raises(UserError, match=message) as error:
        read(tmp_path, text)
    assert "\n" not in str(error.value)
    assert "t.csv" in str(error.value)


def test_codes_and_capped_ages_are_said(tmp_path):
    notes = " ".join(read(tmp_path, "subject,age,sex,CDR,Group\ns1,89+,1,0,Nondemented\n,70,2,1,Demented\n").notes)
    for part in ("ages such as 89+", "sex 1 is read as male", "1 rows name no patient", "not CDR"):
        assert part in notes


def test_a_copy_of_oasis_1_with_filled_ratings_is_doubted(tmp_path):
    def table(last):
        return "ID,CDR\n" + "".join(f"OAS1_{k:04d}_MR1,0\n" for k in range(1, OASIS_1)) + f"OAS1_0400_MR1,{last}\n"

    assert any("filled with 0" in note for note in read(tmp_path, table("0.5")).notes)
    assert not any("filled" in note for note in read(tmp_path, table("")).notes)


def test_dates_of_images_are_another_name_of_the_session(tmp_path):
    head = "Subject,Group,Age,Visit,Acq Date\n"
    [row] = read(tmp_path, head + "002_S_0295,CN,84,m12,4/8/2006\n").rows
    assert [row.is_of(session) for session in ("m12", "20060408", "20060804", "")] == [True, True, False, False]
    rows = read(tmp_path, head + "002_S_0295,CN,84,,8/4/2006\n002_S_0296,CN,84,,18/4/2006\n").rows     # day first
    assert [(row.session, row.date) for row in rows] == [("20060408", "20060408"), ("20060418", "20060418")]
