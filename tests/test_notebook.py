import json
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from tests.conftest import TINY

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "notebooks" / "loss_curves.ipynb"


def test_the_notebook_draws_a_finished_run(call_train, slices, tmp_path, monkeypatch):
    call_train("--epochs", 2, "--train_dir", slices / "train", "--test_dir", slices / "test", *TINY)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))          # the run lies elsewhere than the code
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == 4, "the curves and three slices"


def test_the_notebook_is_kept_without_outputs():
    for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
