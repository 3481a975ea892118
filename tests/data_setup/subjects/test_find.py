import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from data_setup.subjects.find import find_subjects, kaggle_slice, subjects_and_notes
from functions.runtime.errors import UserError

REAL = Path(__file__).parents[4] / "shared" / "data" / "alzheimer_mri_4class"
PEOPLE = {"NonDemented": 100, "VeryMildDemented": 70, "MildDemented": 28, "ModerateDemented": 2}
# The published set: class folder → (training prefix, training files, the k of those whose slice 26 is for testing)
PUBLISHED = {
    "NonDemented": ("nonDem", 2560, [1, *range(62, 101)]),
    "VeryMildDemented": ("verymildDem", 1792, [1, *range(44, 71)]),
    "MildDemented": ("mildDem", 717, [1, *range(19, 29)]),
    "ModerateDemented": ("moderateDem", 52, []),
}


def published_names() -> list[str]:
    """All 6,400 paths of the set: train/<class>/<prefix>{i}.jpg and test/<class>/{slice} ({k}).jpg."""
    names = []
    for folder, (prefix, train, sliced) in PUBLISHED.items():
        names += [f"train/{folder}/{prefix}{i}.jpg" for i in range(train)]
        keys = [(26, k) for k in sliced] + [(z, k) for z in range(27, 33) for k in range(1, PEOPLE[folder] + 1)]
        names += [f"test/{folder}/{z}.jpg" if k == 1 else f"test/{folder}/{z} ({k}).jpg" for z, k in keys]
    return names


@pytest.mark.parametrize(("name", "subject"), [
    ("OAS1_0061_MR2_mpr-3_142.jpg", "OAS1_0061"),
    ("OAS1_0061_MR1_mpr-1_100.jpg", "OAS1_0061"),
    ("OAS2_0001_MR2_mpr-3_142.png", "OAS2_0001"),
    ("sub-OAS30001_ses-d0129_run-01_T1w_z80.png", "OAS30001"),
    ("OAS30001_MR_d0129.png", "OAS30001"),
    ("oas1_0061_mr1.png", "OAS1_0061"),
    ("002_S_0295_slice_88.png", "002_S_0295"),
    ("ADNI_002_S_0295_MR_MPR__GradWarp_S13408_I45107.png", "002_S_0295"),
    ("sub-012_ses-1_T1w_z12.png", "sub-012"),
    ("sub-012_ses-2_T1w_z12.png", "sub-012"),
    ("OAS1_00613.png", None),                       # five digits
    ("xOAS1_0061.png", None),
    ("1002_S_0295.png", None),
    ("OAS1_0061_with_OAS1_0062.png", None),         # two people in one name
    ("OAS1_0061_and_OAS1_0061_again.png", "OAS1_0061"),
    ("sub-0001_090.png", "sub-0001"),               # a slice number follows
    ("sub-0001_02_090.png", None),                  # a site and a patient, or a patient and a session?
    ("sub-ADNI003S0002_ses-M00_T1w.jpg", "003_S_0002"),
    ("sub-003_S_0002_z1.png", "003_S_0002"),
    ("OAS1_0061_to_IXI012.png", None),
    ("patient_001_slice_1.png", "patient_001"),
    ("Subject 12_z3.png", "Subject 12"),
    ("patient_001.png", None),                      # a patient, or just a number?
    ("impatient_001_2.png", None),
    ("unsub-012.png", None),
    ("brain.png", None),
])
def test_known_namings_in_the_file_name(name, subject):
    assert find_subjects([f"/data/train/A/{name}", "/data/test/B/x.png"]) == [subject, None]


def test_known_namings_in_folders_below_the_common_one():
    root = "/home/sub-01/OAS1_0001"                 # tells nothing: it is everybody's
    paths = [f"{root}/train/002_S_0295/MPRAGE/1.png", f"{root}/train/sub-7/OAS2_0003_MR1/1.png", f"{root}/test/9.png",
             f"{root}/test/sub-3/sub-4_z1.png"]
    assert find_subjects(paths) == ["002_S_0295", "OAS2_0003", None, "sub-4"]
    assert find_subjects([f"{root}/1.png", f"{root}/2.png"]) == [None, None]
    assert find_subjects([]) == []


@pytest.mark.parametrize(("folder", "subject"), [
    ("patient_001", "patient_001"), ("Patient 12", "Patient 12"), ("subject-7", "subject-7"), ("sub_03", "sub_03"),
    ("participant9", "participant9"), ("patient_001_followup", "patient_001"), ("case_1/session_2", "case_1"),
    ("sub-01_02", None), ("axial", None), ("session_1", None), ("001", None), ("outpatient_1", None),
])
def test_a_folder_a_patient(folder, subject):
    paths = [f"/data/train/{name}/{folder}/slice_{z}.png" for name in "AB" for z in range(2)]
    assert find_subjects(paths) == [subject] * 4


def test_an_archives_patient_is_one_in_tables_patterns_and_names(tmp_path):
    paths = ["/d/1.png", "/d/2.png", "/d/3.png", "/d/4.png"]
    file = table(tmp_path, "1.png,OAS1_0061_MR1", "2.png,oas1_0061_mr2", "3.png,sub-OASIS10061", "4.png,NA")
    assert find_subjects(paths, file) == ["OAS1_0061"] * 3 + [None]
    paths = ["/d/OAS1_0061_MR1_1.png", "/d/sub-OASIS10061_ses-1_2.png"]
    assert find_subjects(paths, pattern=r"/(?P<subject>[^/]+)_\d\.png") == ["OAS1_0061"] * 2


@pytest.mark.parametrize("header", [
    "path,subject", "Path,Subject_ID", "file,patient_id", "filename,participant_id", "image_path,ID", "path,PTID",
    "path,Patient ID", "id,path,PATNO",
])
def test_other_names_of_the_columns(tmp_path, header):
    row = "77,A/1.png,p1" if header.startswith("id") else "A/1.png,p1"
    assert find_subjects(["/x/A/1.png"], table(tmp_path, row, header=header)) == ["p1"]


@pytest.mark.parametrize("missing", [
    "NA", "", "NaN", "N/A", "#N/A", "null", "<NA>", " na ", "?", "??", "-", "--", ".", "_", "—", "unknown", "Unknown",
    "UNK", "(unknown)", "none", "None", "n.a.", "not available", "missing", "nil", "anonymous"])
def test_missing_values_of_other_programs_are_unknown_patients(tmp_path, missing):
    paths = ["/x/1.png", "/x/2.png", "/x/3.png"]
    file = table(tmp_path, "1.png;p1", f"2.png;{missing}", f'3.png;"{missing}"', header="path;subject")
    assert find_subjects(paths, file) == ["p1", None, None]


def test_a_spreadsheets_number_is_the_number(tmp_path):
    assert find_subjects(["/x/1.png", "/x/2.png"], table(tmp_path, "1.png,12.0", "2.png,12")) == ["12", "12"]


def test_two_columns_of_subjects_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"two columns for subject: Patient ID, patient_id"):
        find_subjects(PATHS, table(tmp_path, "a.png,1,2", header="path,Patient ID,patient_id"))


def test_an_id_is_one_even_where_the_path_is_written_in_another_way():
    paths = ["./data/x/../sub-1/1.png", Path("data/sub-2/1.png")]
    assert find_subjects(paths) == ["sub-1", "sub-2"]


def test_kaggle_numbering_gives_every_person_32_slices():
    paths = published_names()
    assert len(paths) == 6400
    subjects = find_subjects([f"/d/{path}" for path in paths])
    slices = defaultdict(list)
    for path, subject in zip(paths, subjects, strict=True):
        slices[path.split("/")[1], subject].append(kaggle_slice(path)[1])
        assert kaggle_slice(path)[0] == subject
    assert len(slices) == 200
    assert all(sorted(numbers) == list(range(1, 33)) for numbers in slices.values())
    assert {name: sum(key[0] == name for key in slices) for name in PEOPLE} == PEOPLE


@pytest.mark.parametrize(("path", "expected"), [
    ("NonDemented/27 (5).jpg", ("ND005", 27)),
    ("NonDemented/32.jpg", ("ND001", 32)),
    ("NonDemented/nonDem0.jpg", ("ND010", 1)),              # "26 (10).jpg" is the first string
    ("NonDemented/nonDem1.jpg", ("ND100", 1)),
    ("NonDemented/nonDem99.jpg", ("ND001", 1)),             # "26.jpg" the last
    ("NonDemented/nonDem111.jpg", ("ND002", 2)),
    ("NonDemented/nonDem2501.jpg", ("ND011", 26)),          # 100 has its slice 26 among the test files
    ("VeryMildDemented/verymildDem1791.jpg", ("VMD009", 26)),
    ("MildDemented/mildDem101.jpg", ("MD026", 4)),
    ("MildDemented/26 (19).jpg", ("MD019", 26)),
    ("ModerateDemented/moderateDem50.jpg", ("MOD002", 26)),
    ("ModerateDemented/moderateDem51.jpg", ("MOD001", 26)),
])
def test_kaggle_numbering_by_value(path, expected):
    assert kaggle_slice(path) == expected
    assert find_subjects([f"/d/train/{path}"]) == [expected[0]]


@pytest.mark.parametrize("path", [
    "NonDemented/nonDem2560.jpg", "ModerateDemented/moderateDem52.jpg", "NonDemented/nonDem-1.jpg",
    "NonDemented/27 (101).jpg", "ModerateDemented/27 (3).jpg", "NonDemented/33 (5).jpg", "NonDemented/25 (5).jpg",
    "NonDemented/26 (61).jpg", "NonDemented/27 (1).jpg", "NonDemented/27 (05).jpg", "NonDemented/027 (5).jpg",
    "NonDemented/nonDem007.jpg", "NonDemented/NonDem7.jpg", "NonDemented/nonDem7 (1).jpg", "NonDemented/nonDem7_1.jpg",
    "NonDemented/aug_nonDem7.jpg", "NonDemented/nonDem7.jpg.png", "NonDemented/mildDem7.jpg",
    "MildDemented/nonDem7.jpg", "Non_Demented/nonDem7.jpg", "nonDem7.jpg", "NonDemented/x/nonDem7.jpg",
    "NonDemented/non_7.jpg", "MildDemented/7.jpg", "NonDemented/nonDem7.png",
    "NonDemented/00cfab08-8b1f-4ec3-a8d8-6b2f7cb2bf6c.jpg",
])
def test_names_that_are_not_the_kaggle_sets_give_none(path):
    assert kaggle_slice(path) is None
    assert find_subjects([f"/d/train/{path}", "/d/test/Other/27 (3).jpg"]) == [None, None]


@pytest.mark.parametrize("path", ["NonDemented/nonDem2560.jpg", "NonDemented/27 (101).jpg", "MildDemented/7.jpg"])
def test_a_number_beyond_the_sets_own_makes_all_its_ids_doubtful(path):
    """A copy with 3,200 files in one row was numbered anew: its small numbers mean other people, too."""
    assert find_subjects([f"/d/train/{path}", "/d/test/NonDemented/27 (3).jpg"]) == [None, None]
    assert find_subjects(["/d/train/NonDemented/aug_7.jpg", "/d/test/NonDemented/27 (3).jpg"]) == [None, "ND003"]


@pytest.mark.parametrize("names", [("001_s_0001.png", "001_s_0002.png"), ("sub-AD_001.png", "sub-AD_002.png")])
def test_what_only_resembles_a_naming_gives_none(names):
    """Patient 1, slices 1 and 2; a class called sub-AD: ids here would be slices, or one person for a whole class."""
    assert find_subjects([f"/d/train/AD/{name}" for name in names]) == [None, None]
    assert find_subjects(["/d/train/sub-cortical/1.png", "/d/test/x/3.png"]) == [None, None]


def test_a_copy_that_was_numbered_anew_gives_none():
    """The set has each name once; a name in train and in test means that somebody split it and counted from 0 again."""
    paths = ["/d/train/NonDemented/nonDem0.jpg", "/d/train/NonDemented/nonDem1.jpg", "/d/test/NonDemented/nonDem0.jpg"]
    assert find_subjects(paths) == [None] * 3
    assert find_subjects(paths[:2] * 2) == ["ND010", "ND100"] * 2       # but one file may be asked for twice


@pytest.mark.skipif(not REAL.is_dir(), reason=f"the real slices are not in {REAL}")
@pytest.mark.parametrize(("share", "seed"), [(1.0, 0), (0.5, 1), (0.5, 2), (0.01, 3)])
def test_all_real_files_equal_the_truth_also_when_some_are_missing(share, seed):
    with open(REAL / "subjects.csv", newline="") as file:
        truth = list(csv.DictReader(file))
    assert len(truth) == 5088
    rng = np.random.default_rng(seed)
    rows = [truth[i] for i in rng.permutation(len(truth))[:int(share * len(truth))]]
    paths = [REAL / row["path"] for row in rows]
    assert paths[0].is_file()
    assert find_subjects(paths) == [row["subject"] for row in rows]
    assert [kaggle_slice(path)[1] for path in paths] == [int(row["slice"]) for row in rows]


PATHS = ["/x/train/A/OAS1_0001_1.png", "/x/train/B/OAS1_0002_1.png", "/x/test/A/OAS1_0001_1.png"]


def table(tmp_path: Path, *rows: str, header: str = "path,subject") -> Path:
    (tmp_path / "subjects.csv").write_text("\n".join([header, *rows]) + "\n")
    return tmp_path / "subjects.csv"


def test_a_table_comes_before_every_guess(tmp_path):
    file = table(tmp_path, "train/A/OAS1_0001_1.png, p1", "/x/train/B/OAS1_0002_1.png,")
    assert find_subjects(PATHS, file) == ["p1", None, None]
    assert find_subjects(PATHS, file, pattern=r"(?P<subject>OAS1_\d+)_") == ["p1", "OAS1_0002", "OAS1_0001"]


@pytest.mark.parametrize(("rows", "header", "message"), [
    (["train/A/OAS1_0001_1.png,p1"], "path,who", "missing subject"),
    (["train/A/OAS1_0001_1.png,p1", "train/A/OAS1_0001_1.png,p2"], "path,subject", "two rows for"),
    (["elsewhere/1.png,p1"], "path,subject", "none of its 1 rows matches any of the 3 paths"),
    (["OAS1_0001_1.png,p1"], "path,subject", "matches both /x/train/A/OAS1_0001_1.png and /x/test"),
    (["train/A/OAS1_0001_1.png,"], "path,subject", "assigns no subject to any of 3 paths"),
])
def test_a_wrong_table_is_refused_in_one_line(tmp_path, rows, header, message):
    with pytest.raises(ValueError, match=message) as caught:
        find_subjects(PATHS, table(tmp_path, *rows, header=header))
    assert "subjects.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_pattern_comes_before_every_guess():
    assert find_subjects(PATHS, pattern=r"/train/(?P<subject>\w)/") == ["A", "B", None]
    assert find_subjects(PATHS, pattern=r"/(A/OAS1_(?P<subject>\d+)|B/)") == ["0001", None, "0001"]


@pytest.mark.parametrize(("pattern", "message"), [
    ("(?P<subject>", "is not a regular expression"),
    (r"OAS1_(\d+)", "has no group named subject"),
    ("(?P<subject>OAS9)", "assigns no subject to any of 3 paths"),
    ("(" * 5000 + "(?P<subject>a)" + ")" * 5000, "is not a regular expression"),
    ("(?P<subject>a{99999999999999})", "is not a regular expression"),
])
def test_a_wrong_pattern_is_refused(pattern, message):
    with pytest.raises(ValueError, match=message):
        find_subjects(PATHS, pattern=pattern)


def test_long_and_short_adni_ids_of_one_site_are_different_patients():
    names = ["ADNI_003_S_1234_MR.png", "ADNI_003_S_12345_MR.png", "ADNI_003_S_12346_MR.png", "ADNI_003_S_12345_PT.png"]
    found = find_subjects([f"AD/{name}" for name in names])
    assert None not in found
    assert found[1] == found[3]
    assert len(set(found)) == 3


@pytest.mark.parametrize("subject", ["unknown-1", "NA01", "none2", "-1", "0", "x", "nana", "Null-3"])
def test_an_id_that_only_begins_like_a_missing_one_is_an_id(tmp_path, subject):
    assert find_subjects(["/x/1.png"], table(tmp_path, f"1.png,{subject}")) == [subject]


def test_what_a_pattern_finds_is_unknown_where_a_table_would_say_so():
    paths = ["/d/unknown_1.png", "/d/p1_1.png", "/d/-_1.png", "/d/unknown_2.png"]
    assert find_subjects(paths, pattern=r"/(?P<subject>[^/]+)_\d\.png") == [None, "p1", None, None]


def test_how_many_rows_name_no_patient_is_said_in_one_line(tmp_path):
    file = table(tmp_path, "1.png,p1", "2.png,?", "3.png,?", "4.png,", "5.png,unknown")
    paths = [f"/x/{number}.png" for number in range(1, 6)]
    assert subjects_and_notes(paths, file)[1] == [
        f'{file}: 4 of 5 rows have no patient ("?", empty, "unknown"): their slices are treated as slices of unknown '
        "patients, not of one patient"]
    assert subjects_and_notes(paths, table(tmp_path, "1.png,p1"))[1] == []
    assert subjects_and_notes(paths, None)[1] == []
