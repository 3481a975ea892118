import pytest

from data_setup.clinical.slices import assign_with_table, list_patients
from data_setup.clinical.table import read_clinical_table
from data_setup.subjects.find import find_subjects
from functions.runtime.errors import UserError
from tests.conftest import save_noise

TABLE = "subject,class,age,sex\n" + "".join(f"sub-0{k},{'AD' if k % 2 else 'CN'},{70 + k},F\n" for k in range(1, 7))


def named(paths):
    return find_subjects(paths), []


def listed(tmp_path, text=TABLE, folder="flat", given=False):
    (tmp_path / "t.csv").write_text(text)
    clinical = read_clinical_table(tmp_path / "t.csv")
    return list_patients({"train": tmp_path / folder}, assign_with_table(clinical, given, named), clinical)


@pytest.fixture
def flat(tmp_path):
    for k in range(1, 7):
        save_noise(tmp_path / f"flat/sub-0{k}_z0.png", k)
        save_noise(tmp_path / f"nested/sub-0{k}/ses-1/z0.png", k)
        save_noise(tmp_path / f"classes/{'AD' if k % 2 else 'CN'}/sub-0{k}_z0.png", k)
    return tmp_path


@pytest.mark.parametrize("folder", ["flat", "nested", "classes"])
def test_folders_of_images_of_patients_and_of_classes_are_the_same_data(flat, folder):
    table = listed(flat, folder=folder).table.sort_values("subject")
    assert table["subject"].tolist() == [f"sub-0{k}" for k in range(1, 7)]
    assert table["class"].tolist() == ["AD", "CN"] * 3
    assert table["age"].tolist() == [71, 72, 73, 74, 75, 76]
    assert set(table["split"]) == {"train"}


def test_images_without_a_class_are_left_out_each_with_its_reason(flat):
    found = listed(flat, TABLE.replace("sub-02,CN", "sub-02,").replace("sub-03", "sub-33"))
    assert len(found.table) == 4
    assert [line.split(": ")[1] for line in found.left_out] == ["no class in the table"] * 2
    assert any("2 images of 2 known patients have no class and are left out" in note for note in found.notes)


def test_folders_keep_their_classes(flat):
    found = listed(flat, TABLE.replace(",AD,", ",Dementia,"), "classes")
    assert set(found.table["class"]) == {"AD", "CN"}
    assert any("classes are those of the folders" in note for note in found.notes)
    for further in ("", "sub-02,MCI"):                          # one class that no folder has does not hide the other
        text = TABLE.replace("sub-01,AD", "sub-01,CN").replace("sub-02,CN", further or "sub-02,CN")
        with pytest.raises(UserError, match="1 images have another class than their folder, the first .*sub-01.*CN in"):
            listed(flat, text, "classes")
    assert any("other names for 1 of 6 images (MCI)" in note
               for note in listed(flat, TABLE.replace("sub-02,CN", "sub-02,MCI"), "classes").notes)


def test_class_folders_named_like_patients_are_class_folders(tmp_path):
    for name in ("0", "1"):
        for k in range(3):
            save_noise(tmp_path / "D" / name / f"sub-0{k}{name}_z0.png", k)
    text = "ID,class\n" + "".join(f"{k},{k % 2}\n" for k in range(40))
    assert listed(tmp_path, text, "D").table["class"].tolist() == ["0"] * 3 + ["1"] * 3


def test_the_table_s_own_patients_are_used_unless_others_are_given(flat):
    text = "path,subject,class\n" + "".join(f"sub-0{k}_z0.png,p{k},{'AD' if k % 2 else 'CN'}\n" for k in range(1, 7))
    assert listed(flat, text).table["subject"].tolist() == [f"p{k}" for k in range(1, 7)]
    assert listed(flat, text, given=True).table["subject"].tolist() == [f"sub-0{k}" for k in range(1, 7)]


def test_a_flat_folder_needs_classes(flat):
    for text, message in ((TABLE.replace("class", "stage2"), "or .*t.csv a column class"),
                          (TABLE.replace(",AD,", ",CN,"), "holds one class, CN"),
                          ("subject,class\nsub-01,AD\nx,CN\n", "holds one class, AD")):
        with pytest.raises(UserError, match=message):
            listed(flat, text)
