from pathlib import Path

from data_setup.volumes.output import Item, assign, copied, manifest, write_folders
from data_setup.volumes.slices import Settings

RECORD = {"z": [1.0, 5.0], "sha256": "ab", "axes": "LPS", "affine": [1.0] * 12, "spacing": [1.0, 2.0, 3.0], "tilt": 0.5,
          "window": [0.0, 9.5], "notes": ["cut"]}


def items(folder, patients=20):
    made = []
    for number in range(patients):
        for session in "12":
            stored = folder / f"{number}{session}"
            stored.mkdir(parents=True)
            for name in ("z00.png", "z01.png", "sheet.png"):
                (stored / name).write_text(f"{number} {session} {name}")
            made.append(Item("AD" if number % 2 else "CN", f"a{number}", session, "x.nii", ("gd",),
                             RECORD | {"folder": str(stored)}))
    return made


def test_patients_are_in_one_split_and_every_class_in_every_split(tmp_path):
    made = items(tmp_path)
    splits, _ = assign(made, seed=3)
    where = {}
    for item, split in zip(made, splits, strict=True):
        where.setdefault(item.subject, set()).add(split)
    assert all(len(found) == 1 for found in where.values())
    assert {(item.klass, split) for item, split in zip(made, splits, strict=True)} == {
        (name, split) for name in ("AD", "CN") for split in ("train", "val", "test")}
    assert splits == assign(made, seed=3)[0] != assign(made, seed=4)[0]


def test_splits_are_balanced_by_sex_and_say_if_training_has_too_few_patients(tmp_path):
    made = [item._replace(known={"sex": "F" if int(item.subject[1:]) % 4 < 2 else "M"})
            for item in items(tmp_path) if item.session == "1"]
    for seed in range(5):
        splits, _ = assign(made, seed)
        tested = [(item.klass, item.known["sex"]) for item, split in zip(made, splits, strict=True) if split == "test"]
        assert sorted(tested) == [("AD", "F"), ("AD", "M"), ("CN", "F"), ("CN", "M")]
    table = manifest(made, splits, Settings())
    assert table[["subject", "sex"]].drop_duplicates().to_numpy().tolist() == [
        [f"sub-{item.subject}", item.known["sex"]] for item in made]
    splits, notes = assign(made[:4], 0)             # two patients of each class
    assert (sorted(splits), notes[0][:38]) == (["test", "test", "train", "train"],
                                               "CHECK: no patient is left for val: tra")
    assert assign(made[:6], 0)[1][0].startswith("sex: ")


def test_the_folders_are_those_of_the_manifest_also_after_a_patient_is_gone(tmp_path):
    made, out = items(tmp_path / "store"), tmp_path / "out"
    for some in (made, made[4:]):
        splits, _ = assign(some, 0)
        write_folders(out, some, splits)
        table = manifest(some, splits, Settings())
        found = {path.relative_to(out).as_posix() for path in out.glob("t*/*/*")} | {
            path.relative_to(out).as_posix() for path in out.glob("val/*/*")}
        assert found == set(table["path"])
        assert len(list((out / "contact_sheets").iterdir())) == len(some)
        row = table.iloc[1]
        assert (out / row["path"]).read_text().endswith(f"{row['session']} z01.png")
        assert (row["notes"], row["z_mm"], row["subject"]) == ("gd; cut", 5.0, f"sub-{some[0].subject}")
    assert not Path(out / ".draft").exists()


def test_one_volume_under_two_patients_is_noted(tmp_path):
    made = items(tmp_path)
    assert copied(made) == []
    (tmp_path / "31/z00.png").write_text("7 2 z00.png")             # session 1 of a3 is session 2 of a7
    (tmp_path / "41/z00.png").write_text("4 2 z00.png")             # of one patient: no note
    [note] = copied(made)
    assert note.startswith("CHECK: the same volume belongs to several patients (sub-a3, sub-a7): ")
