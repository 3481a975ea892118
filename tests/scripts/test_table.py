"""A clinical table from audit to report, on a folder without class folders."""

import json

import pandas as pd
import pytest

from functions.evaluation.evaluation import read_metrics
from tests.conftest import TINY, save_noise


@pytest.fixture
def flat(tmp_path):
    """48 patients with two slices of noise each; only the table tells the classes, and AD is 14 years older."""
    rows = ["participant_id\tage\tsex\tgroup\tsite"]
    for patient in range(1, 49):
        ill = patient % 2
        rows.append(f"sub-{patient:02d}\t{68 + 14 * ill + patient % 9}\t{'FM'[patient % 3 == 0]}\t"
                    f"{'AD' if ill else 'CN'}\t{'ab'[patient % 5 > 2]}")
        for z in range(2):
            save_noise(tmp_path / f"flat/sub-{patient:02d}_z{z}.png", 10 * patient + z)
    (tmp_path / "participants.tsv").write_text("\n".join(rows) + "\n")
    return tmp_path


def test_a_flat_folder_with_a_table_is_trained_on_and_evaluated(flat, call_script, call_train):
    import evaluate

    given = ["--train_dir", "flat", "--table", "participants.tsv"]
    code, out, err = call_train(*given, *TINY, "--epochs", "1")
    assert (code, err) == (0, "")
    assert "class from group" in out
    assert "data     age: train 7" in out
    split = pd.read_csv(flat / "runs/ViTModel/split.csv")
    assert set(split["class"]) == {"AD", "CN"}
    assert split.groupby("subject")["split"].nunique().max() == 1

    code, out, err = call_script(evaluate.main, "runs/ViTModel")        # with the run's table
    assert (code, err) == (0, "")
    found = read_metrics(flat / "runs/ViTModel/evaluation/metrics.json").test.confounding
    assert [one.name for one in found.baselines] == ["age and sex"]      # two slices are too few for four numbers
    assert found.baselines[0].auroc.value > 0.9
    assert any("CHECK: age and sex alone" in note for note in found.notes)
    assert "no baseline of four numbers, age and sex: patient" in out
    assert {"sex", "age"} <= set(found.subgroups)
    assert (flat / "runs/ViTModel/evaluation/confounding.png").is_file()
    page = (flat / "runs/ViTModel/evaluation/report.html").read_text()
    assert page.index("CHECK: age and sex alone") < page.index("<h2") < page.index("Age, sex, site and scanner")


def test_the_audit_finds_that_age_predicts_the_class(flat, call_script, monkeypatch):
    import audit

    monkeypatch.setattr("data_setup.audit.findings.find_shortcuts", lambda *_: [])
    code, out, _ = call_script(audit.main, "flat", "--table", "participants.tsv", "--strict", "--out", "report")
    assert code == 1
    assert "WRONG  age alone can predict diseased or not: AUROC 1.00" in out
    numbers = json.loads((flat / "report/audit.json").read_text())
    assert [one["name"] for one in numbers["table"]] == ["age", "sex", "site", "all together"]
    few = [line for number, line in enumerate((flat / "participants.tsv").read_text().splitlines()) if number < 21]
    (flat / "few.tsv").write_text("\n".join(few) + "\n")
    code, out, _ = call_script(audit.main, "flat", "--table", "few.tsv", "--out", "report")
    assert "note   not known whether age or sex or site alone predicts the class: 30 patients" in out
    text = (flat / "participants.tsv").read_text().replace("sub-05\t", "sub-05\t80\tM\tAD\ta\nsub-05\t", 1)
    (flat / "participants.tsv").write_text(text)
    code, out, _ = call_script(audit.main, "flat", "--table", "participants.tsv", "--out", "report")
    assert "WRONG  participants.tsv: 1 patients have two sexes, the first sub-05" in out


@pytest.mark.parametrize(("old", "new", "message"), [
    ("\t83\t", "\t830\t", "the age '830' in column age is not between 0 and 120"),
    ("participant_id", "name", "needs a column subject"), ("sub-", "x-", "none of its 48 rows is about one of the 96")])
def test_what_cannot_be_used_is_one_line(flat, call_train, old, new, message):
    file = flat / "participants.tsv"
    file.write_text(file.read_text().replace(old, new))
    code, out, err = call_train("--train_dir", "flat", "--table", "participants.tsv", *TINY, "--epochs", "1")
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
    assert not (flat / "runs").exists()
