"""Documents: what they name exists, what they claim is in the code, and their examples run."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from functions.config.parser import make_parser
from functions.config.settings import SCRATCH, TRANSFER
from tests.conftest import TINY
from tests.forkserver import fork_context

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCS = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
        for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]}
ELSEWHERE = {"--strict", "--out", "--allow_seen", "--against", "--order", "--data", "--write", "--figure",
             "--quick", "--rounds", "--party", "--contact_sheet", "--fault", "--kind", "--people", "--slices",
             "--no_four_numbers", "--help", "--first", "--seeds", "--nproc_per_node", "--nnodes",
             "--format", "--license", "--push",                                               # tools/export.py
             "--auroc", "--prevalence", "--half_width", "--difference", "--correlation", "--power",      # tools/plan.py
             "--labels", "--key", "--series", "--size", "--spacing", "--bits", "--orientation",      # prepare_data.py
             "--workers", "--window",
             "--folds", "--repeats", "--fold_seed", "--jobs", "--tune", "--keep_weights",      # tools/cross_validate.py
             "--show_test",
             "--methods", "--patients", "--report_only",                                      # tools/compare.py
             "--port",                                                                                # tools/app.py
             "--again", "--budget", "--cohorts", "--limit",                                           # gpu_story
             "--features", "--networks", "--tuned",                       # benchmarks pretraining_curve, combination
             "--tta", "--attention",                                                                  # predict.py
             "--method", "--count", "--orders", "--dpi",                                      # tools/attention.py
             "--rdzv_backend", "--rdzv_endpoint", "--rdzv_id", "--max-restarts",    # torchrun's
             "--job-name", "--nodes", "--ntasks-per", "--gpus-per", "--cpus-per", "--time", "--signal", "--requeue",
             "--open-mode", "--logdir"}                                             # sbatch's, tensorboard's
# What the examples need: published sizes made tiny, and a weights file.
PRELUDE = """
from dataclasses import replace
import torch
from models import VARIANTS, build
from models.pretrained import to_torchvision
for name, size in VARIANTS.items():
    VARIANTS[name] = replace(size, num_layers=2, embedding_dim=12, num_heads=3, mlp_size=20)
torch.save(to_torchvision(build("vit_b_16")), "vit_b_16.pth")
"""


def python_blocks(document):
    return re.findall(r"^```python\n(.*?)^```", DOCS[document], flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("name", DOCS)
def test_every_flag_that_is_named_exists(name):
    known = {flag for script in (SCRATCH, TRANSFER) for action in make_parser("", script)._actions
             for flag in action.option_strings} | ELSEWHERE
    assert set(re.findall(r"(?<![\w-])--[a-z]\w*(?:-[a-z]+)?", DOCS[name])) - known == set()


@pytest.mark.parametrize("name", DOCS)
def test_every_file_that_is_named_exists(name):
    folders = "recipes|tools|docs|functions|data_setup|models|notebooks|tests|benchmarks"
    named = set(re.findall(rf"(?<![\w/])((?:{folders})/(?:\w+/)*\w+\.\w+)", DOCS[name]))
    former = {"docs/HOWTO.md"} if name == "CHANGELOG.md" else set()
    assert {path for path in named if not (ROOT / path).exists()} == former


def headings(document):
    """The anchors that GitHub gives to a document's headings."""
    text = re.sub(r"^```.*?^```", "", document, flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("name", DOCS)
def test_every_link_leads_somewhere(name):
    for link in re.findall(r"\]\((?!http)([^)\s]+)\)", DOCS[name]):
        file, _, anchor = link.partition("#")
        target = ((ROOT / name).parent / file).resolve() if file else ROOT / name
        assert target.exists(), link
        if anchor:
            assert anchor in headings(DOCS[target.relative_to(ROOT).as_posix()]), link


def test_what_the_readme_points_to_is_defined_there():
    """Each row of "Where to find what": every name is defined in one of its files, every file defines one of them."""
    rows = re.findall(r"^\|([^|]+)\|([^|]+)\|([^|]+)\|$", README.split("## Where to find what")[1], flags=re.MULTILINE)
    assert len(rows) > 12
    for _, files, names in rows[2:]:
        names = re.findall(r"`(\w+)`", names)
        defined = []
        for file in re.findall(r"`([\w/]+\.py)`", files):
            text = (ROOT / file).read_text(encoding="utf-8")
            here = [name for name in names
                    if re.search(rf"^(?:(?:def|class) {name}\b|{name}\b[^=\n]*= )", text, flags=re.MULTILINE)]
            assert here, f"{file} defines none of {names}"
            defined += here
        assert set(defined) == set(names) != set()


def test_the_readme_is_short():
    assert len(README.split()) <= 900


def test_the_readme_shows_forward_as_it_is():
    [shown] = [block for block in python_blocks("README.md") if "return self.classifier" in block]
    code = [line.strip() for line in (ROOT / "models/vit.py").read_text(encoding="utf-8").splitlines()]
    lines = shown.strip().splitlines()
    start = code.index(lines[0])
    assert code[start:start + len(lines)] == lines


def test_the_scores_in_the_readme_are_those_of_the_results():
    scores = re.findall(r"(?<![\d.])0\.\d{3}(?!\d)(?: ± 0\.\d{3})?", README)
    assert len(scores) > 3
    assert [score for score in scores if score not in DOCS["docs/RESULTS.md"]] == []


def run_text(script, folder):
    """Runs Python in a process of its own inside `folder`; what it writes to stderr is in err.txt."""
    os.chdir(folder)
    os.environ["MPLBACKEND"] = "agg"
    torch.set_num_threads(1)
    for number, file in ((1, "out.txt"), (2, "err.txt")):
        os.dup2(os.open(file, os.O_CREAT | os.O_WRONLY), number)
    exec(script, {"__name__": "__main__"})


@pytest.mark.parametrize("document", ["README.md", "docs/api.md"])
def test_the_python_examples_run(document, slices, call_train, tmp_path):
    """All of a document's examples, each with names of its own, on tiny models and 96 slices."""
    blocks = [block for block in python_blocks(document) if "return self.classifier" not in block]
    assert blocks
    shutil.copytree(slices, tmp_path / "data")
    shutil.copy(next(slices.glob("test/AD/*.png")), tmp_path / "slice.png")
    if "runs/ViTModel" in "".join(blocks):
        code, _, error = call_train("--epochs", 1, "--train_dir", "data/train", "--test_dir", "data/test", *TINY)
        assert code == 0, error
    script = PRELUDE + "".join(f"\nexec(compile({block!r}, 'example {i} of {document}', 'exec'), {{}})\n"
                               for i, block in enumerate(blocks, start=1))
    process = fork_context().Process(target=run_text, args=(script, tmp_path))
    process.start()
    process.join(120)
    assert process.exitcode == 0, (tmp_path / "err.txt").read_text()


def test_the_job_for_slurm_starts_resumes_and_is_queued_again_only_if_it_was_interrupted(tmp_path):
    """With stand-ins for SLURM's commands and torchrun, which writes down how the run ended."""
    [script] = re.findall(r"^```bash\n(#!/bin/bash\n.*?)^```", DOCS["docs/training.md"], flags=re.DOTALL | re.MULTILINE)
    stand_ins = {"srun": '"$@"', "scontrol": '[ "$1" = show ] && printf "node1\\nnode2\\n" || echo "$@" >> calls',
                 "torchrun": 'echo "$@" >> calls; mkdir -p runs/mine; echo "  \\"state\\": \\"$ENDS\\"," > '
                             'runs/mine/run.json; exit 3'}
    for name, body in stand_ins.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "train.sbatch").write_text(script)
    slurm = {"SLURM_JOB_NAME": "mine", "SLURM_JOB_ID": "7", "SLURM_NNODES": "2", "SLURM_CPUS_PER_TASK": "32",
             "SLURM_JOB_NODELIST": "node[1-2]", "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    for ends in ("interrupted", "failed", "finished"):
        done = subprocess.run(["bash", "-u", "train.sbatch"], cwd=tmp_path, capture_output=True, text=True,
                              env=slurm | {"ENDS": ends})
        assert (done.returncode, done.stderr) == (3, "")
    started = "--nnodes=2 --nproc_per_node=gpu --rdzv_id=7 --rdzv_backend=c10d --rdzv_endpoint=node1:29500 train.py "
    assert (tmp_path / "calls").read_text().splitlines() == [
        f"{started}--name mine --epochs 300 --train_dir DATA/train --test_dir DATA/test", "requeue 7",
        f"{started}--resume runs/mine", f"{started}--resume runs/mine"]


def test_the_commands_are_targets_of_the_makefile():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^make (\w+)", README, flags=re.MULTILINE)
    assert targets == ["demo", "test"]
    for target in targets:
        assert f"\n{target}:" in makefile


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
def test_make_test_says_first_how_long_it_takes():
    outside = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    done = subprocess.run(["make", "-n", "test"], cwd=ROOT, capture_output=True, text=True, env=outside)
    assert "minutes" in done.stdout.splitlines()[0]


def test_help_answers_and_names_the_flags():
    done = subprocess.run([sys.executable, str(ROOT / "train.py"), "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    for flag in ("--epochs", "--train_dir", "--resume", "--recipe", "--split"):
        assert flag in done.stdout


def test_the_results_are_the_table_that_the_tool_writes():
    from tests.tools.test_results_table import run
    from tools.results_table import BEGIN, END, table

    [block] = re.findall(f"{re.escape(BEGIN)}\n\n(.*?)\n\n{re.escape(END)}", DOCS["docs/evaluation.md"],
                         flags=re.DOTALL)
    written, made = block.splitlines(), table([[run(0.6), run(0.7, seed=1)]])
    assert written[:2] == made[:2]
    rows = [line for line in written[2:] if line.startswith("|")]
    assert len(rows) % 5 == 0
    score = r"[01]\.\d{3}( ± 0\.\d{3})?|- \(2 or 3 classes\)"
    number = rf"-|\**({score})\**|[01]\.\d\d to [01]\.\d\d(; [01]\.\d\d to [01]\.\d\d)*|[a-z :;,0-9]+"
    for row in rows:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert all(re.fullmatch(number, cell) for cell in cells[4:]), row
    assert written[-1].startswith("Test patients: ")
    assert "LEAKY SPLIT, PATIENTS SEEN IN TRAINING" in block
