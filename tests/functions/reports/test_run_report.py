import json
import re
import shutil
import subprocess
from dataclasses import replace
from html import escape, unescape

import numpy as np
import pandas as pd
import pytest

from functions.evaluation.evaluate import evaluate
from functions.reports.audit_report import audit_content
from functions.reports.evaluation_plots import main_figures, more_figures
from functions.reports.evaluation_report import page_content
from functions.reports.evaluation_text import evaluation_content
from functions.reports.html_page import Table, picture, render
from functions.reports.plots import plot_curve
from functions.reports.run_report import RunContent, check_reportable, read_results, write_report
from tests.forkserver import finish, start
from tests.functions.evaluation.cohorts import NAMES, predictions
from tests.functions.reports.test_audit_report import FINDINGS, NUMBERS
from tests.functions.reports.test_html_page import read
from tests.functions.reports.test_plots import CURVES

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def leaky(tmp_path_factory, arguments):
    folder = tmp_path_factory.mktemp("leaky")
    ended = finish(start(folder, "train", "--epochs", 2, "--split", "folder", *arguments), folder)
    assert ended.code == 0, ended
    return folder / "runs" / "ViTModel"


@pytest.fixture
def run(leaky, tmp_path):
    """A copy of a finished run, which a test may change, as if it had begun in the test's folder."""
    copy = shutil.copytree(leaky, tmp_path / "runs" / "ViTModel")
    record = (copy / "run.json").read_text()
    (copy / "run.json").write_text(record.replace(str(leaky.parents[1]), str(tmp_path)))
    return copy


def test_the_report_of_a_training_says_what_was_run_on_whom_and_how_it_went(run):
    text = (run / "report.html").read_text(encoding="utf-8")
    shown = " ".join(read(text).text)
    record = json.loads((run / "run.json").read_text())
    for words in ("LEAKY SPLIT", "Run ViTModel", record["command"], record["fingerprint"], "balanced accuracy",
                  "always", "not stated", "slices: 24 patients are in several partitions", "label_smoothing"):
        assert words in shown, words
    assert all(source.startswith("data:") for source in read(text).sources)


def test_an_evaluation_takes_the_place_of_the_runs_own(run):
    content = evaluation_content(read_results(run)[0].test, [], errors="Worst errors: three of them")
    shown = " ".join(read(write_report(run, content).read_text()).text)
    assert "three of them" in shown
    assert shown.count("Scores per patient") == 1


def test_the_report_of_a_training_has_figures_of_its_predictions_if_they_are_there(run):
    """ROC, confusion matrix, loss and accuracy; damaged or other predictions are no reason to have no report."""
    assert len(read((run / "report.html").read_text()).sources) == 4
    text = (run / "predictions.csv").read_text()
    for damaged in (text.replace(",AD,", ",XX,"), text[:text.rindex("\n", 0, -1)], "path\n"):
        (run / "predictions.csv").write_text(damaged)
        assert len(read(write_report(run).read_text()).sources) == 2
    (run / "predictions.csv").unlink()
    assert len(read(write_report(run).read_text()).sources) == 2


def test_settings_and_model_card_are_folded_and_stages_are_in_their_order(run):
    text = (run / "report.html").read_text()
    folded = re.findall(r"<details>\s*<summary>([^<]*)", text)
    assert folded[:3] == ["Settings", "Model card", "Provenance"]
    shown = " ".join(" ".join(read(text).text).split())
    counts = shown[shown.index("Data and split"):]
    assert counts.index(" CN ") < counts.index(" AD ") < counts.index(" all ")


def test_what_an_audit_of_the_same_slices_found_is_in_the_report(run, slices):
    for name, data in (("audit-slices", slices), ("audit-split", run / "split.csv"), ("audit-other", run)):
        folder = run.parent / name
        folder.mkdir()
        findings = [{"what": "leak", "wrong": True, "text": f"found in {name}"}]
        (folder / "audit.json").write_text(json.dumps({"data": str(data), "findings": findings}))
    shown = " ".join(read(write_report(run).read_text()).text)
    assert "found in audit-slices" in shown
    assert "found in audit-split" in shown
    assert "found in audit-other" not in shown, "another data set's"


def test_relative_paths_mean_what_they_meant_where_run_and_audit_began(run, slices, tmp_path, monkeypatch):
    """The run's slices by a relative path; the audit an older one, whose path is relative to beside runs/."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").symlink_to(slices)
    split = pd.read_csv(run / "split.csv", dtype=str)
    split["path"] = split["path"].str.replace(str(slices), "data")
    split.to_csv(run / "split.csv", index=False)
    (run.parent / "audit-data").mkdir()
    findings = [{"what": "leak", "wrong": True, "text": "a leak was found"}]
    (run.parent / "audit-data" / "audit.json").write_text(json.dumps({"data": "data", "findings": findings}))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert "a leak was found" in write_report(run).read_text()


def test_a_run_that_is_not_finished_has_no_report(run):
    check_reportable(run)
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(record | {"state": "paused"}))
    with pytest.raises(ValueError, match="is paused, not finished: continue with python train.py --resume"):
        check_reportable(run)


@pytest.fixture(scope="module")
def pages():
    """A run's report with an evaluation and an audit's page, each with long words, wide tables and all figures."""
    test, val = predictions("test"), predictions("val")
    test = replace(test, given_subjects=[f"{subject}-{'x' * 60}" for subject in test.given_subjects])
    evaluation = evaluate(test, NAMES[1], [1, 2, 0], val=val, other=np.full_like(test.probabilities, 1 / 3))

    def read_image(path):
        return np.zeros((208, 176), np.uint8)

    main, more = (draw(evaluation, test, ["LEAKY SPLIT"]) for draw in (main_figures, more_figures))
    content = page_content(evaluation, test, main, more, read_image)
    card = Table(["setting", "value"], [["train_dir", "/a/folder/" * 30], ["w" * 80, "torch 2.15, " * 20]], pairs=True)
    curves = [picture(plot_curve(CURVES, metric), metric) for metric in ("loss", "acc")]
    run = RunContent([], curves, Table(["class", "n"], [["c" * 90, 3]]), ["n" * 400], card, card, "", card, ["f" * 400])
    text = render("run.html.j2", "Run " + "r" * 300, ["LEAKY SPLIT"], evaluation=content, run=run)
    found = audit_content(FINDINGS, NUMBERS, {"copies": ["/long/path" * 12] * 3}, read_image)
    return {"report": text.replace("<details>", "<details open>"),
            "audit": render("audit.html.j2", "Audit of " + "/a/folder" * 30, [], audit=found)}


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium to open the reports in")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_open_in_a_browser_at_desk_and_phone_width_in_light_and_dark(pages, tmp_path, scheme):
    """Frames of the true widths, since a headless window is never narrower than 500 pixels.

    A script in the outer page measures them, and Chromium prints the page with what was measured.
    """
    frames = {f"{name} {width}": f'<iframe style="width:{width}px; border:0" srcdoc="{escape(text)}"></iframe>'
              for name, text in pages.items() for width in (1200, 390)}
    (tmp_path / "outer.html").write_text("<!DOCTYPE html><meta charset=utf-8><body>" + "".join(frames.values()) + """
      <script>onload = () => { document.body.innerHTML = JSON.stringify([...document.querySelectorAll("iframe")]
        .map(f => {
        const d = f.contentDocument, style = f.contentWindow.getComputedStyle(d.body), images = [...d.images];
        return {seen: f.contentWindow.innerWidth, room: d.documentElement.clientWidth,
                needed: d.documentElement.scrollWidth, paper: style.backgroundColor, ink: style.color,
                images: images.length, broken: images.filter(i => !i.naturalWidth).length,
                caveats: d.querySelectorAll(".caveat").length, text: d.body.innerText.length,
                sizes: [...new Set([...d.querySelectorAll("td, th, li, p.quiet")].map(
                  e => f.contentWindow.getComputedStyle(e).fontSize))],
                side_by_side: new Set([...d.querySelectorAll(".figures:first-of-type img")].slice(0, 2).map(
                  i => i.getBoundingClientRect().top)).size == 1,
                cues: [...d.querySelectorAll(".scroll")].filter(e => e.scrollWidth > e.clientWidth).map(
                  e => f.contentWindow.getComputedStyle(e).backgroundImage.split("linear-gradient").length - 1)};
      })); }</script>""", encoding="utf-8")
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
               "--disable-background-networking", "--disable-component-update", "--disable-sync",
               f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1300,900",
               f"--blink-settings=preferredColorScheme={0 if scheme == 'dark' else 1}", "--dump-dom",
               (tmp_path / "outer.html").as_uri()]
    dumped = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    measured = dict(zip(frames, json.loads(unescape(re.search(r"<body>(\[.*\])", dumped)[1])), strict=True))
    for name, page in measured.items():
        assert page["seen"] == int(name.split()[1])
        assert page["needed"] <= page["room"], f"{name} overflows sideways"
        paper, ink = (sum(map(int, re.findall(r"\d+", page[what])[:3])) / 3 for what in ("paper", "ink"))
        assert (paper < 60 and ink > 200) if scheme == "dark" else (paper > 230 and ink < 60), name
        assert page["broken"] == 0
        assert page["text"] > 500
        assert page["sizes"] == ["16px"], "one size of type for body and tables"
        assert set(page["cues"]) <= {4}, "a shadow at either edge of a table that scrolls"
    assert measured["report 390"]["images"] > 10
    assert measured["report 390"]["caveats"] == 1
    assert len(measured["report 390"]["cues"]) >= 3
    assert measured["report 1200"]["side_by_side"]
    assert not measured["report 390"]["side_by_side"]
