"""The map that DESIGN promises: imports point down only, and importing does nothing."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("models", "data_setup", "functions")
SCRIPTS = sorted(path for path in [*ROOT.glob("*.py"), *ROOT.glob("tools/*.py")])
LEAVES = {"functions.errors", "functions.intervals"}     # import nothing of ours, and every package may import them
# file → packages of ours it may import, beyond its own
BEYOND_TORCH = {"image_settings.py": {"torchvision"}, "transfer.py": {"torchvision"},
                "transfer_weights.py": {"torchvision"}, "weight_files.py": {"numpy", "safetensors"}}
ALLOWED = {"functions/checkpoints.py": {"models"}, "functions/attention_maps.py": {"models"}}


def imported(path, but=()):
    """Top-level names of everything a file imports, also inside functions, without the modules `but`."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module not in but:
            names.add(node.module.split(".")[0])
    return names


def modules():
    return [path for package in PACKAGES for path in sorted((ROOT / package).glob("*.py"))]


@pytest.mark.parametrize("path", modules(), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_imports_point_down_only(path):
    mine = path.parent.name
    others = (imported(path, but=LEAVES) & set(PACKAGES)) - {mine}
    assert others <= ALLOWED.get(f"{mine}/{path.name}", set())
    assert not imported(path) & {script.stem for script in SCRIPTS}, "nothing imports a script"
    assert "benchmarks" not in imported(path), "nothing imports a benchmark"


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_never_import_scripts(path):
    assert not imported(path) & {script.stem for script in SCRIPTS}


def test_what_every_package_may_import_imports_nothing_of_ours():
    for name in LEAVES:
        assert not imported(ROOT / f"{name.replace('.', '/')}.py") & set(PACKAGES), name


def test_models_import_torch_only():
    for path in sorted((ROOT / "models").glob("*.py")):
        outside = imported(path, but={"functions.errors"}) - {"models", "torch"} - set(sys.stdlib_module_names)
        assert outside <= BEYOND_TORCH.get(path.name, set()), path.name


def test_every_module_has_its_mirror_test():
    missing = [f"{path.parent.name}/{path.name}" for path in modules()
               if path.name != "__init__.py" and not (ROOT / "tests" / path.parent.name / f"test_{path.name}").exists()]
    shared = {  # tested through another module's file
        "functions/recipes.py",           # test_settings.py
        "functions/helper_functions.py",  # test_plots.py
        "functions/errors.py",            # test_exits.py
        "functions/predictions.py",       # test_plots.py
        "functions/training_run.py",      # tests/scripts/test_train.py
    }
    assert set(missing) - shared == {m for m in missing if m.startswith("data_setup/phantom_")}


def test_no_file_is_longer_than_promised():
    def longer(paths, limit):
        return [str(path) for path in paths if len(path.read_text(encoding="utf-8").splitlines()) > limit]

    assert longer([*modules(), *ROOT.glob("benchmarks/*.py")], 300) == []
    assert longer(SCRIPTS, 160) == []


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_importing_a_script_does_nothing_and_loads_no_torch(path, tmp_path):
    code = (f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(path.parent)!r}]; import {path.stem}; "
            "sys.exit('torch' in sys.modules)")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


def test_every_directory_of_the_map_is_there():
    for name in ("train.py", "train_transferlearning.py", "audit.py", "evaluate.py", "docs/HONESTY.md", "README.md",
                 "LICENSE", "Makefile", "env.yml", "requirements.txt", "requirements-dev.txt",
                 "pyproject.toml", ".ci/run", "notebooks/loss_curves.ipynb", "docs/RESULTS.md", "docs/LOG.md",
                 "docs/HOWTO.md", "docs/BENCHMARKS.md", "benchmarks/__main__.py"):
        assert (ROOT / name).is_file(), name
