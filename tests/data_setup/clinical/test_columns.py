import pytest

from data_setup.clinical.columns import COLUMNS, other_columns
from data_setup.subjects.path_tables import column_index

OASIS_1 = "ID,M/F,Hand,Age,Educ,SES,MMSE,CDR,eTIV,nWBV,ASF,Delay"
OASIS_2 = "Subject ID,MRI ID,Group,Visit,MR Delay,M/F,Hand,Age,EDUC,SES,MMSE,CDR,eTIV,nWBV,ASF"
ADNI = "RID,PTID,VISCODE,SITE,DX_bl,AGE,PTGENDER,DX,FLDSTRENG,Years_bl,Month"
AIBL = "RID,SITEID,VISCODE,PTGENDER,DXCURREN,PTDOB,EXAMDATE"
OASIS_3 = "OASISID,OASIS_session_label,days_to_visit,age at visit,MMSE,CDRSUM,CDRTOT"
IXI = "IXI_ID|SEX_ID (1=m, 2=f)|HEIGHT|WEIGHT|DOB|AGE"
BIDS = "participant_id,session_id,age,sex,group"


@pytest.mark.parametrize(("header", "columns"), [
    (OASIS_1, {"subject": "ID", "sex": "M/F", "age": "Age", "class": "CDR"}),
    (OASIS_2, {"subject": "Subject ID", "session": "MRI ID", "class": "Group", "sex": "M/F", "age": "Age"}),
    (ADNI, {"subject": "PTID", "session": "VISCODE", "class": "DX", "age": "AGE", "sex": "PTGENDER", "site": "SITE",
            "scanner": "FLDSTRENG", "years": "Years_bl", "months": "Month"}),
    (OASIS_3, {"subject": "OASISID", "age": "age at visit", "class": "CDRTOT"}),
    (IXI, {"subject": "IXI_ID", "sex": "SEX_ID (1=m, 2=f)", "age": "AGE", "birth": "DOB"}),
    (AIBL, {"subject": "RID", "session": "VISCODE", "sex": "PTGENDER", "site": "SITEID", "class": "DXCURREN",
            "birth": "PTDOB", "visited": "EXAMDATE"}),
    (BIDS, {"subject": "participant_id", "session": "session_id", "age": "age", "sex": "sex", "class": "group"})])
def test_the_columns_of_public_tables(header, columns):
    names = header.split("|" if "|" in header else ",")
    found = {what: column_index("t", names, known, what) for what, known in COLUMNS.items()}
    assert {what: names[at] for what, at in found.items() if at is not None} == columns


def test_the_columns_that_are_not_used_are_known():
    names = OASIS_2.split(",")
    assert other_columns(names, COLUMNS["class"], names.index("Group")) == ["CDR"]
