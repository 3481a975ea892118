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


def test_the_folders_of_a_cross_validation_say_where_results_and_weights_are(finished, tmp_path):
    (tmp_path / "CV").mkdir()
    (tmp_path / "CV" / "plan.json").touch()
    with pytest.raises(UserError, match="not one network: its results are in .*report.html"):
        load_trained(tmp_path / "CV")
    run = shutil.copytree(finished, tmp_path / "CV-r1f1", ignore=shutil.ignore_patterns("*.pt"))
    with pytest.raises(UserError, match="CV-r1f1: no checkpoint: .*--keep_weights"):
        load_trained(run)
    for name in ("other-r1f1", "CV"):                  # no cross-validation beside it; not one of its folds
        (tmp_path / "CV" / "plan.json").unlink(missing_ok=True)
        alone = shutil.copytree(run, tmp_path / name, dirs_exist_ok=True)
        with pytest.raises(UserError, match="best.pt: no such file"):
            load_trained(alone)
