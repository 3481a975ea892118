import pandas as pd

from data_setup.splits.warnings import id_warnings, missing_class_notes, overlapping_subjects, split_caveats


def table(rows):
    paths = [f"{i}.png" for i in range(len(rows))]
    return pd.DataFrame(rows, columns=["path", "class", "subject", "split"]).assign(path=paths)


def test_overlap_names_who_stands_on_both_sides():
    rows = [("", "AD", "a", "train"), ("", "AD", "a", "test"), ("", "AD", "b", "test"), ("", "AD", None, "test")]
    assert overlapping_subjects(table(rows)) == ["a"]
    caveats, reasons = split_caveats(table(rows))
    assert caveats == ("LEAKY SPLIT", "PATIENTS UNKNOWN")
    assert "1 of 2 patients" in reasons[0]
    assert "1 of 4 slices" in reasons[1]
    assert split_caveats(table(rows[2:3])) == ((), [])


def test_identical_slices_in_two_splits_are_a_leak_whoever_they_are():
    rows = [("", "AD", None, "train"), ("", "AD", "a", "test"), ("", "AD", None, "test"), ("", "AD", None, "train")]
    caveats, reasons = split_caveats(table(rows).assign(digest=["x", "x", "y", "y"]))
    assert caveats == ("LEAKY SPLIT", "PATIENTS UNKNOWN")
    assert "4 of 4 slices have a slice with the same pixels in another split" in reasons[0]
    for digests in (["x", "y", "z", "x"], [None, None, None, None]):
        assert split_caveats(table(rows).assign(digest=digests))[0] == ("PATIENTS UNKNOWN",)


def test_ids_that_start_anew_in_each_class_raise_a_doubt():
    rows = [("", name, f"sub-{i}", "train") for name in ("AD", "CN") for i in range(3) for _ in range(4)]
    assert "3 of 3 patients have slices in several classes" in id_warnings(table(rows))[0]
    assert id_warnings(table(rows[:12])) == []


def test_ids_that_name_slices_raise_a_doubt():
    rows = [("", "AD", f"sub-{i}", "train") for i in range(30)]
    assert "exactly one slice" in id_warnings(table(rows))[0]
    assert id_warnings(table(rows + rows[:1])) == []


def test_a_class_missing_from_a_split_is_named():
    rows = [("", "AD", "a", "train"), ("", "CN", "b", "train"), ("", "CN", "c", "test")]
    assert missing_class_notes(table(rows)) == ["AD is not in test (1 known patients)"]


def test_ids_that_differ_in_case_or_leading_zeros_alone_raise_a_doubt():
    table = pd.DataFrame({"path": list("abcdef"), "class": "x", "split": "train",
                          "subject": ["sub-003", "SUB-003", "3", "003", "p1", None]})
    [sentence] = [text for text in id_warnings(table) if "differ only in case" in text]
    assert sentence.startswith("CHECK: 2 ids differ only in case or leading zeros")
    assert not any("differ only in case" in text for text in id_warnings(table[table["subject"] == "p1"]))
