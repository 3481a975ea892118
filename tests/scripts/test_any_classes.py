"""No class name, number of classes or kind of image is built in: fifty classes of RGB images, and vessels."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from data_setup.phantom.vessels import make_vessels
from tests.conftest import TINY

OF_BRAINS = re.compile(r"dement|alzheimer|\bbrains?\b|\bMRI\b|ageing|too good|field strength|expected stage",
                       re.IGNORECASE)


def save_colours(folder, classes, images):
    """`images` RGB images of each class in a flat folder, whose names say nothing about patients."""
    generator = np.random.default_rng(0)
    for k, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for number in range(images):
            pixels = np.clip(generator.normal((k * 5, 250 - k * 5, 99), 30, (16, 12, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{chr(97 + number)}{generator.integers(10**6)}.png")


def test_fifty_classes_of_rgb_images_without_patients_are_trained_and_scored(call_train, tmp_path):
    names = [*map(str, range(47)), "Größe 3", "日本", "no finding"]
    save_colours(tmp_path / "flat", names, 4)
    code, out, err = call_train("--train_dir", "flat", "--epochs", 1, *TINY, "--in_channels", 3)
    assert (code, err) == (0, "")
    assert "no verdict: the patients are unknown" in out
    assert out.count("PATIENTS UNKNOWN") > 1
    assert not OF_BRAINS.search(out)
    found = json.loads((tmp_path / "runs/ViTModel/metrics.json").read_text(encoding="utf-8"))["test"]
    assert sorted(found["class_names"]) == sorted(names)
    assert found["patient"] is None
    assert found["order"] is None
    assert not OF_BRAINS.search((tmp_path / "runs/ViTModel/report.html").read_text(encoding="utf-8"))


def test_one_class_is_refused_in_one_line(call_train, tmp_path):
    save_colours(tmp_path / "flat", ["abnormal"], 2)
    code, out, err = call_train("--train_dir", "flat", "--epochs", 1, *TINY)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "holds one class, abnormal: at least two are needed" in err


@pytest.fixture(scope="module")
def vessels(tmp_path_factory):
    return make_vessels(tmp_path_factory.mktemp("vessels") / "set", people=30, views=2)


def test_vessels_are_normal_or_abnormal_with_precision_and_recall_from_training_to_the_report(
        call_train, call_script, vessels, tmp_path):
    import evaluate

    code, trained, err = call_train("--train_dir", vessels, "--epochs", 1, *TINY, "--recipe",
                                    evaluate.__file__.replace("evaluate.py", "recipes/coronary.yaml"))
    assert (code, err) == (0, "")
    code, out, err = call_script(evaluate.main, "runs/ViTModel")
    assert (code, err) == (0, "")
    table = trained[trained.index("class, per patient"):].splitlines()
    assert table[0].split("  ")[-1].strip() == "precision (PPV)"
    assert [line.split()[0] for line in table[1:3]] == ["normal", "abnormal"]
    for words in ("AUROC of diseased or not", "kappa", "sensitivity (recall)", "precision (PPV)", "average precision"):
        assert words in out, words
    report = (tmp_path / "runs/ViTModel/report.html").read_text(encoding="utf-8")
    assert "precision (PPV)" in report
    for text in (trained, out, report.replace("ViT-Dementia", "")):
        assert not OF_BRAINS.search(text), OF_BRAINS.search(text)
    found = json.loads((tmp_path / "runs/ViTModel/evaluation/metrics.json").read_text(encoding="utf-8"))["test"]
    assert found["order"] == ["normal", "abnormal"]
    rows = {row["name"]: row for row in found["slice"]["classes"]}
    assert set(rows) == {"normal", "abnormal"}
    assert all("precision" in row for row in rows.values())
