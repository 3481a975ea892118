import pytest

from functions.command_line import make_parser
from functions.settings import SCRATCH, TRANSFER


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--epochs", "0"], "--epochs"),
        (["--epochs", "many"], "whole number"),
        (["--image_size", "1x2x3"], "1x2x3"),
        (["--dropout", "1.5"], "between 0 and 0.99"),
        (["--epoch", "3"], "--epoch"),
        (["--precision", "fp8"], "fp8"),
        (["--lr"], "--lr"),
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
        (["--backbone", "theirs"], "none of torchvision, ours"),
        (["--patch_size", "8"], "--patch_size"),
        (["--layer_decay", "2"], "between 0 and 1"),
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
