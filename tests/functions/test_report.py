import json
import shutil
import subprocess

import pytest

from functions.report import write_report
from tests.functions.test_html_page import read

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture
def run(call_train, arguments, tmp_path):
    call_train("--epochs", 2, "--split", "folder", *arguments)
    return tmp_path / "runs" / "ViTModel"


def test_the_report_of_a_training_says_what_was_run_on_whom_and_how_it_went(run):
    text = (run / "report.html").read_text(encoding="utf-8")
    shown = " ".join(read(text).text)
    record = json.loads((run / "run.json").read_text())
    for words in ("LEAKY SPLIT", "Run ViTModel", record["command"], record["fingerprint"], "balanced accuracy",
                  "always", "not stated", "slices: 24 patients stand in several partitions", "label_smoothing"):
        assert words in shown, words
    assert all(source.startswith("data:") for source in read(text).sources)


def test_an_evaluation_adds_its_sections(run):
    write_report(run, [("Worst mistakes", "<p>three of them</p>")])
    assert "three of them" in (run / "report.html").read_text()


def test_what_an_audit_of_the_same_slices_found_is_in_the_report(run, slices):
    for name, data in (("audit-slices", slices), ("audit-other", run)):
        folder = run.parent / name
        folder.mkdir()
        findings = [{"what": "leak", "wrong": True, "text": f"found in {name}"}]
        (folder / "audit.json").write_text(json.dumps({"data": str(data), "findings": findings}))
    shown = " ".join(read(write_report(run).read_text()).text)
    assert "found in audit-slices" in shown
    assert "found in audit-other" not in shown, "another data set's"


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium to open the report in")
@pytest.mark.parametrize("width", [1200, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_opens_in_a_browser(run, tmp_path, width, scheme):
    dark = ["--force-dark-mode", "--enable-features=WebContentsForceDark"] if scheme == "dark" else []
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", *dark, f"--window-size={width},900",
               f"--screenshot={tmp_path / 'page.png'}", (run / "report.html").as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    from PIL import Image

    with Image.open(tmp_path / "page.png") as picture:
        assert picture.width == width
        assert len(picture.convert("L").getcolors()) > 20, "something is on the page"
