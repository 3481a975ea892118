"""The columns of a clinical table by their names in public data sets, compared without case, spaces and punctuation.

- OASIS-1 (oasis_cross-sectional.csv): ID, M/F, Age, CDR; OASIS-2 (oasis_longitudinal.csv): Subject ID, MRI ID, Group,
  Visit, M/F, Age, CDR. Marcus et al. 2007, J Cogn Neurosci 19:1498, and 2010, 22:2677.
- ADNI (ADNIMERGE.csv): PTID, RID, VISCODE, SITE, AGE (at baseline, in every row), Years_bl, Month, PTGENDER, DX, DX_bl,
  FLDSTRENG. The table of an image search at LONI: Subject, Group, Sex, Age, Visit, Acq Date.
- AIBL (tables at LONI): RID, VISCODE, SITEID, PTGENDER (1 male, 2 female), DXCURREN (1 NL, 2 MCI, 3 AD), PTDOB (the
  year of birth: /1935), EXAMDATE.
- OASIS-3 (clinical tables at oasis-brains.org): OASISID, age at visit, CDRTOT; its visits are not those of the images.
- IXI (IXI.xls): IXI_ID (the number alone), SEX_ID (1=m, 2=f), AGE.
- BIDS 1.10 (participants.tsv, sessions.tsv): participant_id, session_id, age, sex; group or diagnosis by custom.
"""

from collections.abc import Sequence

from data_setup.subjects.path_tables import SYNONYMS, plain_header

CLASS = ("class", "label", "diagnosis", "dx", "dxgroup", "group", "cdr", "cdrglobal", "cdglobal", "cdrtot", "dxcurren",
         "dxbl")
# Not SES, which is the socioeconomic status in OASIS.
SESSION = ("session", "sessionid", "mriid", "visit", "viscode", "visitid", "timepoint")
# Of several columns for one thing, the first in this order is used.
COLUMNS = {
    "path": SYNONYMS["path"], "subject": SYNONYMS["subject"], "session": SESSION, "class": CLASS,
    "age": ("age", "ageyears", "ageatscan", "agescan", "ageatvisit", "ageatmri", "patientage", "agey"),
    "sex": ("sex", "gender", "mf", "ptgender", "patientsex", "sexid", "sexid1m2f"),
    "site": ("site", "siteid", "sitename", "center", "centre", "institution", "institutionname", "hospital"),
    "scanner": ("scanner", "scannerid", "scannername", "scannermodel", "manufacturersmodelname",
                "manufacturermodelname", "manufacturer", "magneticfieldstrength", "fieldstrength", "fldstreng"),
    "date": ("acqdate", "acquisitiondate", "scandate", "mridate", "imagedate", "studydate"),    # of the images
    "birth": ("ptdob", "dob", "dateofbirth", "birthdate", "yearofbirth", "birthyear", "yob"),
    "visited": ("examdate", "visitdate", "dateofvisit", "acqdate", "acquisitiondate", "scandate", "mridate",
                "imagedate", "studydate"),
    "years": ("yearsbl",), "months": ("month",),      # since baseline, where ADNI's AGE is the age at baseline
}


def other_columns(header: Sequence[str], names: Sequence[str], used: int) -> list[str]:
    """The further columns that `names` would match, beside the one used."""
    return [name for index, name in enumerate(header) if index != used and plain_header(name) in names]
