import importlib.util
import sys

import pytest

from functions.config.parser import make_parser
from functions.config.settings import SCRATCH, TRANSFER
from tests.test_layout import SCRIPTS


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--epochs", "0"], "--epochs"),
        (["--train_dir", ""], "--train_dir has no value"),
        (["--test_dir="], "--test_dir has no value"),
        (["--name", " "], "--name has no value"),
        ([""], "an argument has no value"),
        (["--epochs", "many"], "integer"),
        (["--image_size", "1x2x3"], "1x2x3"),
        (["--dropout", "1.5"], "between 0 and 0.99"),
        (["--epoch", "3"], "--epoch"),
        (["--precision", "fp8"], "fp8"),
        (["--lr"], "--lr"),
        (["--epoch", "3"], "did you mean --epochs?"),
        (["--batch-size", "3"], "did you mean --batch_size?"),
        (["--Batch_Size=3"], "did you mean --batch_size?"),
        (["-epochs", "3"], "did you mean --epochs?"),
        (["--no_augmnt"], "did you mean --no_augment?"),
        (["--device", "gpu"], "none of auto, cpu, cuda"),
        (["--device", "cuda:-1"], "none of auto, cpu, cuda"),
        (["--num_transformer_layer", "1000000000"], "between 1 and 1,000"),
        (["--embedding_dim", "1" + "0" * 5000], "between 1 and 65,536"),
        (["--image_size", "1000000"], "at most 4,096 pixels"),
        (["--num_workers", "100000"], "between 0 and 256"),
    ],
)
def test_a_wrong_flag_is_one_line_and_exit_code_2(capsys, arguments, complaint):
    with pytest.raises(SystemExit) as end:
        make_parser("", SCRATCH).parse_args(arguments)
    error = capsys.readouterr().err
    assert end.value.code == 2
    assert error.count("\n") == 1
    assert complaint in error


@pytest.mark.parametrize(("flag", "value"), [("--cache", True), ("--no-cache", False), ("--no_cache", False)])
def test_an_on_off_flag_can_be_spelt_as_the_others_are(flag, value):
    assert make_parser("", TRANSFER).parse_args([flag]).cache is value


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--train", "some"], "none of head, last:K"),
        (["--train", "last:0"], "none of head, last:K"),
        (["--backbone", "theirs"], "none of auto, torchvision, ours"),
        (["--patch_size", "8"], "--patch_size"),
        (["--layer_decay", "2"], "between 0 and 1"),
        (["--train", "last:" + "9" * 5000], "none of head, last:K"),
        (["--views", "1_0"], '"1_0" is not an integer'),
        (["--image_size", "1_000"], "is not an image size"),
        (["--views", "1000000000"], "between 1 and 1,000"),
        (["--weight", "x"], "did you mean --weights?"),
    ],
)
def test_a_wrong_flag_of_the_second_script_is_one_line_too(capsys, arguments, complaint):
    with pytest.raises(SystemExit) as end:
        make_parser("", TRANSFER).parse_args(arguments)
    error = capsys.readouterr().err
    assert (end.value.code, error.count("\n")) == (2, 1)
    assert complaint in error


@pytest.mark.parametrize("script", [SCRATCH, TRANSFER], ids=lambda script: script.run_name)
def test_help_names_every_setting(script):
    text = make_parser("", script).format_help()
    assert all(f"--{name} " in text or f"--{name}," in text for name in script.settings)


def test_a_flag_like_no_other_gets_no_suggestion(capsys):
    with pytest.raises(SystemExit):
        make_parser("", SCRATCH).parse_args(["--xyzzy"])
    assert "did you mean" not in capsys.readouterr().err


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_every_script_shows_tracebacks_if_asked_and_suggests_flags(script, monkeypatch, capsys):
    """Of scripts that need an argument it is given, so that the unknown flag is what is wrong."""
    spec = importlib.util.spec_from_file_location(script.stem, script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    given = {"cross_validate.py": ["train.py"], "prepare_data.py": ["a", "--out", "b"]}.get(script.name, ["a", "b"])
    monkeypatch.setattr(sys, "argv", [script.name, "--tracebak", *given])
    with pytest.raises(SystemExit) as end:
        module.main()
    assert end.value.code == 2
    assert "did you mean --traceback?" in capsys.readouterr().err


def test_traceback_is_no_setting_of_a_run():
    assert vars(make_parser("", SCRATCH).parse_args(["--traceback"])) == {}
