"""No file that somebody gives us can start code: nothing that could do so is called, and a hostile run does nothing."""

import ast
import functools
import pickle
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted(path for path in ROOT.rglob("*.py")
                 if not {"tests", ".venv", "venv", "build"} & set(path.relative_to(ROOT).parts[:-1]))
FORBIDDEN = {"eval", "exec", "compile", "__import__", "read_pickle", "system", "popen", "startfile", "import_module",
             "run_path", "run_module", "full_load", "unsafe_load", "load_all", "Unpickler", "read_hdf", "read_sql"}
MODULES = {"dill", "cloudpickle", "joblib", "shelve", "marshal", "xmlrpc", "webbrowser", "code", "imp"}


@functools.cache
def nodes(path):
    return tuple(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


@functools.cache
def calls(path):
    """(node, what the function is an attribute of, its name) of every call in a file."""
    return tuple(_calls(path))


def _calls(path):
    for node in nodes(path):
        if isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            owner = ast.unparse(node.func.value) if isinstance(node.func, ast.Attribute) else ""
            yield node, owner, name


def keywords(node):
    return {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_called_that_runs_code_from_a_file(path):
    for node, owner, name in calls(path):
        where, given = f"{path.name}:{node.lineno} {owner}.{name}", keywords(node)
        harmless = name in ("eval", "compile") and owner not in ("", "builtins", "pd", "pandas") or owner == "platform"
        ours = "benchmarks" in path.parts and name in ("run_path", "import_module")      # our own scripts and modules
        assert name not in FORBIDDEN or harmless or ours, where
        if owner == "yaml" and name == "load":             # its loader is a SafeLoader: test_recipe_files.py
            assert ast.unparse(node.args[1]) == "_Loader", where
        elif name in ("load", "loads"):
            assert owner.split(".")[-1].lower() not in ("pickle", "_pickle", "yaml", "marshal", ""), where
        if owner == "torch" and name == "load":
            assert given.get("weights_only") == "True", where
        if owner in ("np", "numpy") and name == "load":
            assert given.get("allow_pickle") == "False", where
        if owner == "subprocess":
            assert "shell" not in given, where
    assert not {alias.name.split(".")[0] for node in nodes(path)
                if isinstance(node, ast.Import) for alias in node.names} & MODULES


def test_outside_the_benchmarks_git_and_the_training_scripts_are_the_only_programs_that_are_started():
    started = [(path.name, ast.unparse(node.args[0])[:7]) for path in SOURCES if "benchmarks" not in path.parts
               for node, owner, name in calls(path) if owner == "subprocess"]
    # a fixed text of ours, the training scripts of a cross-validation, git
    assert sorted(started) == [("jobs.py", "[sys.ex"), ("regex.py", "[sys.ex"), ("run_folder.py", "['git',")]


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, target):
        self.target = str(target)

    def __reduce__(self):
        return open, (self.target, "w")


@pytest.fixture
def sent_run(finished, tmp_path):
    """A finished run that somebody sent; each pickle it could hold makes a file when it is opened."""
    return shutil.copytree(finished, tmp_path / "runs/ViTModel")


def test_a_run_folder_that_somebody_sent_runs_nothing(sent_run, call_script, tmp_path):
    import evaluate

    marker = tmp_path / "it ran"
    bomb = pickle.dumps(Bomb(marker))
    pickle.loads(bomb)
    assert marker.exists(), "the bomb works"
    marker.unlink()
    for name in ("ViTModel_losses.pkl", "another_losses.pkl", "results.pkl", "previous.pt", "last.pt"):
        (sent_run / name).write_bytes(bomb)
    code, _, err = call_script(evaluate.main, "runs/ViTModel")
    assert (code, err) == (0, ""), "the curves come from results.csv"
    for name in ("results.csv", "split.csv", "metrics.json", "run.json", "best.pt"):
        kept = shutil.move(sent_run / name, tmp_path / "kept")
        (sent_run / name).write_bytes(bomb)
        code, _, err = call_script(evaluate.main, "runs/ViTModel")
        assert (code, err.count("\n")) == (2, 1), (name, err)
        shutil.move(kept, sent_run / name)
    assert not marker.exists()
    (sent_run / "ViTModel_losses.pkl").unlink()
    assert call_script(evaluate.main, "runs/ViTModel")[::2] == (0, ""), "the pickle is the notebook's alone"
