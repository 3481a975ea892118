"""What the README names exists, and what it orders works."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from functions.config.parser import make_parser
from functions.config.settings import SCRATCH, TRANSFER

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCS = {path.name: path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *ROOT.glob("docs/*.md")]}
ELSEWHERE = {"--strict", "--out", "--allow_seen", "--against", "--order", "--data", "--write", "--figure",
             "--quick", "--rounds", "--party", "--contact_sheet", "--fault", "--people", "--slices",
             "--no_four_numbers", "--help", "--first", "--seeds", "--nproc_per_node", "--nnodes",
             "--again", "--budget", "--cohorts", "--limit",                                           # gpu_story
             "--rdzv_backend", "--rdzv_endpoint", "--max-restarts"}    # torchrun's


@pytest.mark.parametrize("name", DOCS)
def test_every_flag_that_is_named_exists(name):
    known = {flag for script in (SCRATCH, TRANSFER) for action in make_parser("", script)._actions
             for flag in action.option_strings} | ELSEWHERE
    assert set(re.findall(r"(?<![\w-])--[a-z]\w*(?:-[a-z]+)?", DOCS[name])) - known == set()


@pytest.mark.parametrize("name", DOCS)
def test_every_file_that_is_named_exists(name):
    folders = "recipes|tools|docs|functions|data_setup|models|notebooks|tests|benchmarks"
    named = set(re.findall(rf"(?<![\w/])((?:{folders})/\w+\.\w+)", DOCS[name]))
    assert {path for path in named if not (ROOT / path).exists()} == set()
    links = re.findall(r"\]\((?!http)([^)#]+)\)", DOCS[name])
    folder = ROOT if name == "README.md" else ROOT / "docs"
    assert {link for link in links if not (folder / link).exists()} == set()


def test_the_two_commands_are_targets_of_the_makefile():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\w+)", README, flags=re.MULTILINE):
        assert f"\n{target}:" in makefile


def test_help_answers_and_names_the_flags():
    done = subprocess.run([sys.executable, str(ROOT / "train.py"), "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    for flag in ("--epochs", "--train_dir", "--resume", "--recipe", "--split"):
        assert flag in done.stdout


def test_the_results_are_the_table_that_the_tool_writes():
    from tests.tools.test_results_table import run
    from tools.results_table import BEGIN, END, table

    [block] = re.findall(f"{re.escape(BEGIN)}\n\n(.*?)\n\n{re.escape(END)}", README, flags=re.DOTALL)
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
