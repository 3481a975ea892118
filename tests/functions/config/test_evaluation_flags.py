from pathlib import Path

import pytest

from functions.config.evaluation_flags import evaluation_parser


def test_the_defaults_are_the_run_s_own():
    given = evaluation_parser("").parse_args(["runs/x"])
    assert given.run == Path("runs/x")
    assert (given.data, given.table, given.subjects, given.device) == (None, None, None, "auto")


def test_a_share_is_between_zero_and_one(capsys):
    for wrong in ("0", "1", "10"):
        with pytest.raises(SystemExit) as end:
            evaluation_parser("").parse_args(["runs/x", "--prevalence", wrong])
        assert end.value.code == 2
        assert "--prevalence" in capsys.readouterr().err
