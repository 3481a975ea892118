import json
import shutil

import pytest

from functions.checkpointing.trained_model import load_trained
from functions.runtime.errors import UserError


def test_a_run_folder_or_a_file(finished, tmp_path):
    from_run, from_file = load_trained(finished), load_trained(finished / "last.pt")
    assert (from_run.run, from_run.file, from_run.folder) == (finished, finished / "best.pt", finished)
    assert (from_file.run, from_file.file, from_file.folder) == (None, finished / "last.pt", finished)
    assert not from_run.model.training
    assert from_run.checkpoint["class_names"] == ["AD", "CN"]


def test_the_checkpoint_of_another_run_is_refused(finished, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    record = json.loads((run / "run.json").read_text()) | {"run_id": "another"}
    (run / "run.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match="was written by another run"):
        load_trained(run)
    assert load_trained(run / "best.pt").run is None
