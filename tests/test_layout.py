"""The map that DESIGN promises: imports point down only, and importing does nothing."""

import ast
import functools
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("models", "data_setup", "functions")
SCRIPTS = sorted(path for path in [*ROOT.glob("*.py"), *ROOT.glob("tools/*.py")])
LEAVES = {"functions.runtime.errors", "functions.evaluation.intervals"}      # import nothing of ours
LEVELS = {       # a room imports from rooms of earlier levels, and from itself
    "functions": ("runtime", "config evaluation epoch_metrics", "engine checkpointing", "reports", "explain",
                  "exporting prediction training", "app cross_validation", "learning_curves", "helper_functions"),
    "data_setup": ("resources", "images similarity", "phantom", "listing", "subjects", "clinical", "splits", "volumes",
                   "loading", "audit"),
}
# file → packages it may import beyond its own (of ours), and beyond torch (of others)
ALLOWED = {"functions/checkpointing/checkpoint.py": {"models"}, "functions/explain/attention.py": {"models"},
           "functions/explain/figures.py": {"models"}, "functions/explain/inspection.py": {"models"},
           "functions/prediction/features.py": {"models"},
           "data_setup/phantom/__main__.py": {"functions"}}                 # a command, as a script is
BEYOND_TORCH = {"pretrained/preprocessing.py": {"torchvision"}, "transfer.py": {"torchvision"},
                "pretrained/sources.py": {"torchvision"}, "pretrained/weight_files.py": {"numpy", "safetensors"},
                "pretrained/places/hub.py": {"huggingface_hub"}}
MAX_FILES = 12          # of a room: a list that a reader takes in at once


@functools.cache
def imports(path):
    """Every module that a file imports, in full, also inside functions."""
    return tuple(_imports(path))


def _imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports would escape these rules"
            rooms = node.module in PACKAGES
            yield from (f"{node.module}.{alias.name}" for alias in node.names) if rooms else (node.module,)


def imported(path, but=()):
    """The first part of the name of every module that a file imports, without the modules `but`."""
    return {module.split(".")[0] for module in imports(path) if module not in but}


def modules():
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def name(path):
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", modules(), ids=name)
def test_imports_between_packages_point_down_only(path):
    mine = name(path).split("/")[0]
    others = (imported(path, but=LEAVES) & set(PACKAGES)) - {mine}
    assert others <= ALLOWED.get(name(path), set())
    assert not imported(path) & {script.stem for script in SCRIPTS}, "nothing imports a script"
    assert "benchmarks" not in imported(path), "nothing imports a benchmark"


@pytest.mark.parametrize("package", LEVELS)
def test_imports_between_rooms_point_down_only(package):
    level = {room: number for number, rooms in enumerate(LEVELS[package]) for room in rooms.split()}
    found = {path.stem if path.is_file() else path.name for path in (ROOT / package).iterdir()}
    assert found - {"__init__", "__pycache__"} == set(level)
    upward = []
    for path in sorted((ROOT / package).rglob("*.py")):
        mine = name(path).split("/")[1].removesuffix(".py")
        for module in imports(path):
            parts = module.split(".")
            if parts[0] == package and mine != "__init__" and parts[1] != mine and level[parts[1]] >= level[mine]:
                upward.append(f"{name(path)} imports {module}")
    assert upward == []


def test_a_room_is_no_longer_list_than_a_reader_takes_in():
    rooms = {path.parent for path in modules()}
    counts = {name(room): sum(file.name != "__init__.py" for file in room.glob("*.py")) for room in rooms}
    assert {room: count for room, count in counts.items() if count > MAX_FILES} == {}
    assert all((room / "__init__.py").read_text(encoding="utf-8").startswith('"""') for room in rooms)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_never_import_scripts(path):
    assert not imported(path) & {script.stem for script in SCRIPTS}


def test_what_every_package_may_import_imports_nothing_of_ours():
    for leaf in LEAVES:
        assert not imported(ROOT / f"{leaf.replace('.', '/')}.py") & set(PACKAGES), leaf


def test_models_import_torch_only():
    for path in sorted((ROOT / "models").rglob("*.py")):
        outside = imported(path, but={"functions.runtime.errors"}) - {"models", "torch"} - set(sys.stdlib_module_names)
        assert outside <= BEYOND_TORCH.get(path.relative_to(ROOT / "models").as_posix(), set()), path


def test_every_module_has_its_mirror_test():
    missing = [name(path) for path in modules() if not path.name.startswith("__")
               and not (ROOT / "tests" / path.parent.relative_to(ROOT) / f"test_{path.name}").exists()]
    shared = {  # tested through another module's file
        "functions/config/recipes.py",              # config/test_settings.py
        "functions/helper_functions.py",            # reports/test_plots.py
        "functions/runtime/errors.py",              # runtime/test_exits.py
        "functions/evaluation/predictions.py",      # reports/test_plots.py
        "functions/training/start.py",              # tests/scripts/test_train.py
        "functions/training/fit.py",                # tests/scripts/test_train.py
    }
    assert set(missing) - shared == {m for m in missing if m.startswith("data_setup/phantom/")}


def test_no_file_is_longer_than_promised():
    def longer(paths, limit):
        return [name(path) for path in paths if len(path.read_text(encoding="utf-8").splitlines()) > limit]

    assert longer([*modules(), *ROOT.glob("benchmarks/*.py")], 300) == []
    assert longer(SCRIPTS, 160) == []
    assert longer([ROOT / "train.py"], 80) == longer([ROOT / "train_transferlearning.py"], 100) == []


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_importing_a_script_does_nothing_and_loads_no_torch(path, tmp_path):
    code = (f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(path.parent)!r}]; import {path.stem}; "
            "sys.exit('torch' in sys.modules)")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


def test_the_checks_before_a_commit_are_those_before_the_tests():
    hooks = re.findall(r"entry: (.+)", (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    lint = re.findall(r"^\t\$\(VENV\)/bin/((?:ruff|mypy).*)$", makefile, re.MULTILINE)
    assert hooks == lint == ["ruff check .", "mypy"]
    needed = (ROOT / "requirements-dev.txt").read_text(encoding="utf-8")
    assert all(re.search(rf"^{hook.split()[0]}>=", needed, re.MULTILINE) for hook in hooks)


def test_every_directory_of_the_map_is_there():
    for file in ("train.py", "train_transferlearning.py", "audit.py", "evaluate.py", "predict.py", "README.md",
                 "CONTRIBUTING.md", "CHANGELOG.md", "CITATION.cff", "LICENSE", "Makefile", "env.yml",
                 "requirements.txt", "requirements-dev.txt", "pyproject.toml", ".ci/run", ".github/workflows/ci.yml",
                 ".pre-commit-config.yaml", "notebooks/loss_curves.ipynb", "notebooks/the_paper_in_code.ipynb",
                 "requirements-notebook.txt", "docs/notebooks.md", "docs/prediction.md", "benchmarks/__main__.py",
                 "docs/data.md",
                 "docs/audit.md", "docs/training.md", "docs/weights.md", "docs/evaluation.md", "docs/explain.md",
                 "docs/api.md", "docs/RESULTS.md", "docs/HONESTY.md", "docs/BENCHMARKS.md", "docs/SCALING.md",
                 "docs/LOG.md"):
        assert (ROOT / file).is_file(), file
