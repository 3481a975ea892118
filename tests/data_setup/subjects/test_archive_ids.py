import pytest

from data_setup.subjects.archive_ids import archive_ids, canonical_id, is_archive_id

NOTATIONS = {
    "003_S_0002": ["003_S_0002", "ADNI_003_S_0002", "adni_003_s_0002", "sub-ADNI003S0002",
                   "ADNI_003_S_0002_MR_MPR__GradWarp_S13408_I45107.png",
                   "sub-ADNI003S0002_ses-M00_T1w_space-Ixi549Space_z80.jpg",
                   "sub-adni003s0002",
                   "sub-003_S_0002", "sub-003S0002_z1.png", "sub-003s0002_z1.png", "003-S-0002", "ADNI003S0002",
                   "rsub-ADNI003S0002_ses-M000_pet", "wwmNL_003_S_0002_118692"],
    "941_S_10001": ["941_S_10001", "sub-ADNI941S10001_ses-M00"],
    "OAS1_0061": ["OAS1_0061", "OAS1_0061_MR2_mpr-3_142.jpg", "oas1_0061_mr1", "sub-OASIS10061_ses-M00_T1w",
                  "OAS1-0061", "sub-OAS10061", "OAS10061", "sub-OAS1_0061", "OASIS1_0061_MR1", "oasis-1-0061.png"],
    "OAS2_0061": ["OAS2_0061", "OAS2_0061_MR3", "sub-OAS20061_ses-MR1", "sub-OASIS20061"],
    "OAS30061": ["OAS30061", "OAS30061_MR_d0129", "sub-OAS30061_ses-d0129_run-01_T1w_z80", "oas3_0061"],
    "AIBL_18": ["AIBL_18", "sub-AIBL18", "sub-AIBL0018_T1w", "AIBL_18_bl_I135977.png", "aibl-18_MR_MPRAGE",
                "AIBL_18.png"],
    "IXI002": ["IXI002", "IXI002-Guys-0828-T1_z70.png", "sub-IXI002_T1w", "mwp1sub-IXI002_T1w", "ixi002-guys-0828"],
    "NACC001412": ["NACC001412", "sub-NACC001412_T1w", "nacc001412_02", "NACC_001412"],
    "PPMI_3857": ["PPMI_3857", "PPMI_3857_MR_MPRAGE_GRAPPA_br_raw_20131021151217013_168_S204398_I395284.png",
                  "sub-PPMI3857_ses-BL", "PPMI-3857-20120814-MRI_T1-I340756"],
    "PPMI_100001": ["sub-PPMI100001", "ppmi_100001"],
}


@pytest.mark.parametrize(("subject", "name"), [(key, name) for key, names in NOTATIONS.items() for name in names])
def test_every_notation_of_an_archive_gives_its_one_id(subject, name):
    assert archive_ids(name) == {subject}
    assert canonical_id(name) == subject


def test_a_canonical_id_is_its_own_canonical_id_and_an_archives():
    for subject in NOTATIONS:
        assert canonical_id(subject) == subject
        assert is_archive_id(subject)
    assert not is_archive_id("sub-ADNI003S0002")


@pytest.mark.parametrize("name", [
    "1002_S_0295.png", "OAS1_00613.png", "xOAS1_0061.png", "001_s_0001.png", "AIBL_1.5T_NL", "aibl_28apr_2015",
    "AIBL_12345", "space-IXI549_T1w", "IXI0002", "NACC12345", "NACC1234567", "PPMI_2012", "PPMI_01", "PPMI_3T",
    "sub-001", "pixels-0000", "OASIS_10061.png", "OASIS-3_2019", "OASIS1_2019", "OASIS1_00613",
    "brain.png", "168_S204398", "003_S0002", "0003S0002",
])
def test_what_only_resembles_an_archives_id_gives_none(name):
    assert archive_ids(name) == set()


@pytest.mark.parametrize(("stated", "subject"), [
    ("003_s_0002", "003_S_0002"),                  # said to be an id, so no slice number
    (" p1 ", "p1"), ("12.0", "12"), ("12.5", "12.5"), ("007", "007"), ("sub-01_ses-2", "sub-01"), ("sub-01", "sub-01"),
    ("Patient_1", "Patient_1"), ("pixels-0000", "pixels-0000"),
    ("OAS1_0061 and OAS1_0062", "OAS1_0061 and OAS1_0062"),
])
def test_a_stated_id(stated, subject):
    assert canonical_id(stated) == subject


def test_different_patients_stay_different():
    apart = ["OAS1_0061", "OAS2_0061", "OAS30061", "OAS1_0062", "003_S_0002", "002_S_0002", "003_S_00021", "AIBL_2",
             "IXI002", "PPMI_3857", "NACC003857", "sub-003857", "3857"]
    assert len({canonical_id(subject) for subject in apart}) == len(apart)


def test_composed_and_decomposed_letters_are_one_id():
    assert canonical_id("Andre\u0301") == canonical_id("Andr\u00e9")
