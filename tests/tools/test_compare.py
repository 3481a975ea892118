import json
import runpy
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from functions.learning_curves.methods import METHODS
from tests.conftest import leave_blank

TOOL = Path(__file__).resolve().parents[2] / "tools" / "compare.py"
SMALL = ("--folds", "2", "--steps", "1", "--image_size", "40x40", "--jobs", "1", "--out", "runs/C")


@pytest.fixture
def compare(tmp_path, monkeypatch, capsys):
    """Runs the tool in this process in an empty folder: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    leave_blank(monkeypatch.setattr)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", [str(TOOL), *map(str, arguments)])
        code = 0
        try:
            runpy.run_path(str(TOOL), run_name="__main__")
        except SystemExit as ended:
            code = ended.code or 0
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def data(slices):
    return ("--train_dir", slices / "train", "--test_dir", slices / "test")


def predictions(folder="runs/C"):
    """File → its patients and probabilities as text."""
    return {file.relative_to(folder).as_posix(): pd.read_csv(file, dtype=str).drop(columns=["seconds", "cpu_seconds"])
            for file in sorted(Path(folder).rglob("predictions/*/*.csv"))}


def test_every_patient_is_tested_once_and_the_same_command_continues_bit_for_bit(compare, data, slices):
    command = (*data, *SMALL, "--patients", "6,50,all", "--methods",
               "constant,age_sex,four_numbers,boosting,nearest,vit_probe,vit")
    code, out, err = compare(*command)
    assert (code, err) == (0, "")
    assert "24 patients, 96 slices; 20 fits of 5 methods in runs/C, 1 at a time" in out
    assert "left out: 50 patients: a fold has no more than that" in out
    assert "left out: age and sex, logistic regression: no table of patients, --table FILE" in out
    assert "left out: pretrained ViT, ridge on frozen features: no weights, --weights vit_ti_16=FILE" in out
    assert "AUROC of ViT from scratch against four numbers" in out
    found = predictions()
    assert len(found) == 20
    everyone = sorted({path.name.split("_")[0] for path in slices.rglob("*.png")})
    orders = pd.read_csv("runs/C/subsets.csv", dtype={"subject": str})
    for method in ("constant", "four_numbers", "boosting", "nearest", "vit"):
        for size in ("6", "all"):
            parts = [found[f"predictions/{method}/{size}-r1f{fold}.csv"] for fold in (1, 2)]
            assert sorted(pd.concat(parts)["subject"]) == everyone
            assert {count for part in parts for count in part["patients"]} == {"6" if size == "6" else "12"}
            for fold, part in enumerate(parts, start=1):
                assert not set(part["subject"]) & set(orders[orders["fold"] == fold]["subject"])
    for file in ("nearest/6-r1f2.csv", "vit/all-r1f1.csv"):
        (Path("runs/C/predictions") / file).unlink()
    code, out, _ = compare(*command)
    assert code == 0
    assert out.count("images, ") == 2
    assert all(table.equals(found[name]) for name, table in predictions().items())
    assert compare(*command, "--report_only")[0] == 0
    code, _, err = compare(*command, "--steps", "2")
    assert (code, err.count("\n")) == (2, 1)
    assert "another steps" in err


def test_all_networks_are_fitted_with_their_weights_and_images(compare, data):
    from models import build
    from models.pretrained import to_torchvision

    torch.save(to_torchvision(build("vit_ti_16", image_size=32, num_classes=3)), "ti.pth")
    code, out, err = compare(*data, *SMALL, "--patients", "6", "--weights", "ti=ti.pth", "--methods",
                             "vit_probe,vit_head,hybrid,resnet18,vit_tuned,resnet18_tuned")
    assert (code, err) == (0, "")
    assert "left out: pretrained ResNet-18, fine-tuned: no weights, --weights resnet18=FILE" in out
    content = json.loads(Path("runs/C/metrics.json").read_text())
    images = {point["method"]: point["images_per_fit"] for point in content["points"]}
    assert images == {"vit_probe": 0, "vit_head": 8 * 24, "hybrid": 48, "resnet18": 24, "vit_tuned": 24}
    assert {(gap["first"], gap["second"]) for gap in content["differences"]} == {
        (name, "resnet18") for name in ("vit_probe", "vit_head", "vit_tuned")}
    assert Path("runs/C/features/vit_ti_16.safetensors").is_file()


def test_weights_that_are_refused_do_not_reserve_the_folder_and_a_folder_of_weights_is_read(compare, data):
    from models import build
    from models.pretrained import to_torchvision

    Path("ti").mkdir()
    save_file(to_torchvision(build("vit_ti_16", image_size=32, num_classes=3)), "ti/model.safetensors")
    command = (*data, *SMALL, "--patients", "6", "--methods", "vit_probe", "--weights")
    code, _, err = compare(*command, "s16=ti")
    assert (code, "they are of vit_ti_16" in err) == (2, True)
    assert "unknown pretrained model" in compare(*command, "vit_zz_9=ti")[2]
    assert not Path("runs/C/plan.json").exists()
    assert compare(*command, "ti=ti")[0] == 0
    assert compare(*command, "ti=ti/model.safetensors")[0] == 0, "the same weights"


def test_shares_divide_the_fits_and_the_report_is_that_of_one_process(compare, data, monkeypatch):
    from tools.comparison import run as module

    command = (*data, *SMALL, "--patients", "6,all", "--methods", "constant,nearest")
    assert compare(*command)[0] == 0
    shutil.move("runs", "alone")
    shares = []

    def run_jobs(jobs, parallel, environments, finished):
        assert len(environments) == parallel == len(jobs) == 3
        before = list(sys.argv)
        for job in jobs:
            sys.argv[:] = job.arguments
            runpy.run_path(job.arguments[0], run_name="__main__")
            shares.append(len(predictions()))
        sys.argv[:] = before

    monkeypatch.setattr(module, "run_jobs", run_jobs)
    code, out, _ = compare(*command, "--jobs", "3")
    assert code == 0
    assert shares == [3, 6, 8]
    assert all(table.equals(predictions("alone/C")[name]) for name, table in predictions().items())
    assert "8 fits of 2 methods in runs/C, 3 at a time" in out


def test_the_demo_knows_age_and_sex_and_says_that_it_is_a_phantom(compare, small_demo):
    code, out, err = compare("--demo", "--folds", "2", "--jobs", "1", "--patients", "6", "--methods",
                             "age_sex,four_numbers,nearest")
    assert (code, err) == (0, "")
    assert "left out: four numbers, logistic regression: a patient has 2 slices, four numbers need 4" in out
    assert f"| {METHODS['age_sex'].title} | 6 | " in out
    assert "PHANTOM DEMO" in Path("runs/Comparison/report.html").read_text()


def test_age_and_sex_are_those_of_a_clinical_table_and_missing_ones_are_named(compare, data, slices):
    patients = sorted({path.name.split("_")[0] for path in slices.rglob("*.png")})
    rows = [f"{subject},{60 + number},{'FM'[number % 2]}" for number, subject in enumerate(patients)]
    Path("t.csv").write_text("\n".join(["subject,age,sex", *rows]))
    command = (*data, *SMALL, "--table", "t.csv", "--patients", "all", "--methods", "constant,age_sex")
    code, out, err = compare(*command)
    assert (code, err) == (0, "")
    assert f"| {METHODS['age_sex'].title} | 12 (all) | 1.000" in out, "AD patients are the first, hence younger"
    Path("t.csv").write_text("\n".join(["subject,age,sex", *rows[:-1]]))
    code, out, _ = compare(*command, "--out", "runs/D")
    assert code == 0
    assert "left out: age and sex, logistic regression: t.csv has no age or no sex for 4 of 96 slices" in out


@pytest.mark.parametrize(("given", "message"), [
    (("--methods", "vgg"), 'no method "vgg"'), (("--patients", "3"), "at least 5"), (("--folds", "0"), "at least 1"),
    (("--image_size", "16x12"), "at least 40"), (("--weights", "ti"), "MODEL=FILE"), (("--patients", "90"), "no fold"),
    (("--methods", "vit_head"), "no weights"), (("--share", "3/2"), "such as 1/2"),
    (("--report_only",), "no method is complete"), (("--epochs", "3"), "--epochs"),
])
def test_bad_arguments_are_one_line(given, message, compare, data):
    code, _, err = compare(*data, *SMALL, *given)
    assert (code, err.count("\n")) == (2, 1)
    assert message in err
