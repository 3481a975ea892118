import os

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from data_setup.audit.findings import Audit, audit, list_data
from data_setup.audit.findings import _balance as count_balance
from functions.reports.audit_report import audit_lines
from functions.runtime.errors import UserError
from tests.phantoms import make_phantom


def findings(folder, wrong=True):
    found = audit(*list_data(folder))
    return found, {finding["what"] for finding in found.findings if finding["wrong"] or not wrong}


@pytest.fixture
def no_shortcuts(monkeypatch):
    """For what has nothing to do with them: their permutations are most of a small set's audit."""
    monkeypatch.setattr("data_setup.audit.findings.find_shortcuts", lambda *_: [])


@pytest.fixture
def fewer_shuffles(monkeypatch):
    """Where no AUROC may be a shortcut, the stricter test: a shortcut has to exceed fewer shuffled runs."""
    monkeypatch.setattr("data_setup.audit.shortcuts.SHUFFLES", 3)


def test_nothing_is_wrong_with_a_clean_set(tmp_path, fewer_shuffles):
    """Seed after seed: benchmarks/audit_seeds.py."""
    make_phantom(tmp_path / "p", people=40, slices=8, seed=0)
    found, what = findings(tmp_path / "p")
    assert what == set(), found.findings
    assert found.numbers["patients"]["known by name or table"] == 40


@pytest.mark.parametrize(("fault", "what"), [("duplicates", {"copies", "leak"}), ("damaged", {"damage"})])
def test_a_planted_fault_is_found(tmp_path, no_shortcuts, fault, what):
    make_phantom(tmp_path / "p", people=30, slices=6, seed=0, faults=(fault,))
    found, named = findings(tmp_path / "p", wrong=False)
    assert named == what, found.findings


def test_synthetic_images_are_found(tmp_path):
    make_phantom(tmp_path / "p", people=30, slices=8, seed=0, faults=("synthetic",))
    found, named = findings(tmp_path / "p", wrong=False)
    assert named == {"shortcut", "patients"}, found.findings


def test_synthetic_images_are_told_by_their_pixels_alone(tmp_path, fewer_shuffles):
    make_phantom(tmp_path / "p", people=30, slices=8, seed=0, faults=("synthetic",))
    for number, path in enumerate(sorted((tmp_path / "p").rglob("*.png"))):
        path.rename(path.with_name(f"{number * 7919 % 10007:05d}.png"))
    found, _ = findings(tmp_path / "p")
    assert any("far from all others in the spectrum alone" in finding["text"] for finding in found.findings)


def test_a_leak_is_found_and_nothing_else_it_is_counted_and_its_worth_measured(tmp_path, no_shortcuts):
    make_phantom(tmp_path / "p", people=40, slices=12, seed=1, faults=("leak",))
    found, named = findings(tmp_path / "p", wrong=False)
    assert named == {"leak"}, found.findings
    leak = found.numbers["leak"]
    assert leak["by name"]["in several splits"] >= 38
    assert leak["nearest neighbour"]["as_split"][0] > leak["nearest neighbour"]["other_patients"][0] + 0.2
    assert any("the leakage effect is" in finding["text"] for finding in found.findings)


def test_without_names_people_come_from_the_pixels(tmp_path, no_shortcuts):
    make_phantom(tmp_path / "p", people=60, slices=12, seed=1, faults=("leak",))
    truth = {}
    for number, path in enumerate(sorted((tmp_path / "p").rglob("*.png"))):
        renamed = path.with_name(f"{number * 7919 % 10007:05d}.png")
        truth[str(renamed)] = path.name.split("_")[0]
        path.rename(renamed)
    found, wrong = findings(tmp_path / "p")
    assert "leak" in wrong
    assert any("no file name contains a patient id" in finding["text"] for finding in found.findings)
    assert found.numbers["leak"]["by their pixels"]["in several splits"] > 45
    given = found.subject_table()
    people = given["path"].map(truth)
    assert (people.groupby(given["subject"]).nunique() == 1).mean() > 0.98


def test_slices_of_unknown_patients_are_not_counted_as_patients():
    """Two patients of AD and one of CN with eight slices each, and slices that nothing links."""
    rows = [(f"{name}/{who}-{z}.png", name, who) for name, who in (("AD", "p1"), ("AD", "p2"), ("CN", "p3"))
            for z in range(8)]
    rows += [(f"{name}/{z}.png", name, f"{name}/{z}.png")
             for name, count in (("AD", 6), ("CN", 2)) for z in range(count)]
    found = Audit(pd.DataFrame(rows, columns=["path", "class", "who"]).assign(split="train"))
    count_balance(found)
    balance = found.numbers["balance"]
    assert (balance["patients"], balance["slices"], balance["slices of unknown patients"]) == (3, 32, 8)
    assert balance["classes"] == {"AD": {"slices": 22, "patients": 2, "unassigned": 6},
                                  "CN": {"slices": 10, "patients": 1, "unassigned": 2}}
    assert balance["effective sample size"] == pytest.approx(32 / (1 + 7 * 0.9))      # eight slices a known patient
    assert [finding["text"] for finding in found.findings] == ["too few patients for a score, fewer than five: CN (1)"]


def test_where_no_patient_is_known_there_is_no_effective_sample_size(tmp_path, no_shortcuts):
    generator = np.random.default_rng(0)
    for name in "AB":
        for number in range(10):
            (tmp_path / "d" / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(generator.integers(0, 255, (16, 16)).astype(np.uint8)).save(
                tmp_path / "d" / name / f"{number}.png")
    found, _ = findings(tmp_path / "d")
    assert found.numbers["balance"]["patients"] == 0
    assert found.numbers["balance"]["effective sample size"] is None
    assert "20 slices of 0 patients and 20 slices of unknown patients, effective sample size unknown" in audit_lines(
        found.findings, found.numbers, tmp_path)[0]
    text = " ".join(finding["text"] for finding in found.findings)
    assert "give --subjects FILE.csv or --subject_pattern REGEX" in text
    assert "fewer than five patients" not in text


def test_copies_with_two_labels_are_a_finding_of_their_own(tmp_path, no_shortcuts):
    make_phantom(tmp_path / "p", people=40, slices=8, seed=0)
    source = sorted((tmp_path / "p/train/NonDemented").glob("*.png"))[3]
    (tmp_path / "p/train/MildDemented/sub-900_ses-1_z03.png").write_bytes(source.read_bytes())
    found, _ = findings(tmp_path / "p")
    texts = " ".join(finding["text"] for finding in found.findings)
    assert "1 pairs of files have identical pixels" in texts
    assert "1 pairs of copies have two labels" in texts


def test_a_class_of_few_people_is_named_as_not_measurable(tmp_path, no_shortcuts):
    make_phantom(tmp_path / "p", people=40, slices=8, seed=0)
    for path in (tmp_path / "p").rglob("MildDemented/*.png"):
        if path.name.split("_")[0] not in ("sub-001", "sub-002", "sub-003") and len(list(path.parent.iterdir())) > 9:
            path.unlink()
    found, _ = findings(tmp_path / "p", wrong=False)
    assert any("too few patients for a score" in f["text"] and "MildDemented" in f["text"] for f in found.findings)


def test_what_data_can_be(tmp_path):
    for split in ("train", "test"):
        for name in ("AD", "CN"):
            folder = tmp_path / "both" / split / name
            folder.mkdir(parents=True)
            Image.fromarray(np.full((8, 8), 9, np.uint8)).save(folder / f"sub-{name}1_a.png")
    assert set(list_data(tmp_path / "both")[0]["split"]) == {"train", "test"}
    assert set(list_data(tmp_path / "both" / "train")[0]["split"]) == {"train"}
    table = list_data(tmp_path / "both")[0]
    table.assign(path=[str(p).removeprefix(f"{tmp_path}/") for p in table["path"]]).to_csv(tmp_path / "split.csv")
    again = list_data(tmp_path / "split.csv").table
    assert again["path"].tolist() == table["path"].tolist()
    for name in "AB":
        (tmp_path / "bad" / name).mkdir(parents=True)
        (tmp_path / "bad" / name / "x.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match="none of the 2 files can be read"):
        audit(*list_data(tmp_path / "bad"))


def test_data_that_cannot_be_audited_is_refused_by_its_own_name(tmp_path):
    with pytest.raises(ValueError, match=r"^\S*nowhere does not exist"):
        list_data(tmp_path / "nowhere")
    for name in "AB":
        (tmp_path / "half" / "test" / name).mkdir(parents=True)
        (tmp_path / "half" / "test" / name / "x.png").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"half holds test/ but no train/.*audit \S*half/test alone"):
        list_data(tmp_path / "half")
    assert set(list_data(tmp_path / "half" / "test")[0]["split"]) == {"train"}


def test_a_table_gives_the_patients(tmp_path, no_shortcuts):
    make_phantom(tmp_path / "p", people=12, slices=8, seed=0)
    paths = sorted((tmp_path / "p").rglob("*.png"))
    pd.DataFrame({"path": [str(p) for p in paths], "subject": [f"p{i % 7}" for i in range(len(paths))]}).to_csv(
        tmp_path / "s.csv", index=False)
    found = audit(*list_data(tmp_path / "p"), subjects=tmp_path / "s.csv")
    assert found.numbers["patients"]["known by name or table"] == 7
    assert not any("have no patient" in finding["text"] for finding in found.findings)
    table = pd.read_csv(tmp_path / "s.csv")
    table.loc[:4, "subject"] = "?"
    table.to_csv(tmp_path / "s.csv", index=False)
    rows = list_data(tmp_path / "p")
    given = rows.table.assign(subject=table.set_index("path")["subject"].loc[rows.table["path"]].tolist())
    for found in (audit(*rows, subjects=tmp_path / "s.csv"), audit(given, [])):
        assert any(f'5 of {len(paths)} rows have no patient ("?")' in finding["text"] for finding in found.findings)


def test_files_and_folders_that_are_left_out_are_findings(tmp_path, no_shortcuts):
    make_phantom(tmp_path / "p", people=12, slices=8, seed=0)
    folder = tmp_path / "p" / "train" / "NonDemented"
    count = len(list(folder.iterdir()))
    for i in range(3 * count):
        (folder / f"{i}.dcm").touch()
    (folder / ".DS_Store").touch()
    (tmp_path / "p" / "raw").mkdir()
    found = audit(*list_data(tmp_path / "p"))
    texts = {finding["text"]: finding["wrong"] for finding in found.findings if finding["what"] == "left out"}
    wrong, note = sorted(texts, key=texts.get, reverse=True)
    assert texts[wrong]
    assert f"{3 * count} of {4 * count} files in {folder} are left out" in wrong
    assert "DICOM" in wrong
    assert not texts[note]
    assert f"{3 * count + 2} files or folders are left out: {tmp_path / 'p' / 'raw'}: beside train/" in note


def test_split_folders_of_any_usual_name_are_audited_as_such(tmp_path):
    for split in ("Training", "Testing", "valid"):
        for name in ("AD", "CN"):
            (tmp_path / "d" / split / name).mkdir(parents=True)
            (tmp_path / "d" / split / name / "a.png").touch()
    assert sorted(set(list_data(tmp_path / "d").table["split"])) == ["test", "train", "val"]
    (tmp_path / "d" / "TRAIN").mkdir()
    with pytest.raises(UserError, match="both are names of train") as caught:
        list_data(tmp_path / "d")
    assert "--train_dir" not in str(caught.value), "audit.py has no such flag"
    (tmp_path / "d.csv").write_text("path,class,split\na.png,AD,Training\nb.png,AD,Validation\n")
    for name in ("a.png", "b.png"):
        (tmp_path / name).touch()
    assert list_data(tmp_path / "d.csv").table["split"].tolist() == ["train", "val"]


@pytest.mark.parametrize("slices", [1, 4])
def test_slices_of_one_patient_are_hardly_more_evidence_than_one_of_them(tmp_path, no_shortcuts, slices):
    """Effective sample size: as many as slices where each patient has one; else a little above the patients."""
    generator = np.random.default_rng(0)
    for name, people in (("AD", 6), ("CN", 14)):
        folder = tmp_path / "train" / name
        folder.mkdir(parents=True)
        for person in range(people):
            for z in range(slices):
                pixels = generator.integers(0, 256, (24, 20), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"sub-{name}{person:02d}_z{z}.png")
    balance = audit(*list_data(tmp_path)).numbers["balance"]
    assert (balance["patients"], balance["slices"]) == (20, 20 * slices)
    if slices == 1:
        assert balance["effective sample size"] == pytest.approx(20)
    else:
        assert 20 < balance["effective sample size"] < 25


def test_slices_that_are_a_pipe_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "d")
    with pytest.raises(UserError, match="d is a pipe, not a regular file"):
        list_data(tmp_path / "d")
