from argparse import Namespace
from unittest import mock

import pytest
import torch

from functions.config.parser import make_parser
from functions.config.settings import SCRATCH, TRANSFER
from functions.training.console import epoch_estimate, print_few_steps


def warning(capsys, slices, per_epoch, **settings):
    print_few_steps(slices, per_epoch, Namespace(**{"epochs": 10, "batch_size": 64, "accumulation": 1} | settings))
    return capsys.readouterr().out


def test_few_steps_are_warned_of_with_both_numbers_and_the_flag(capsys):
    assert warning(capsys, 85, 2) == (
        "WARNING  85 training slices in batches of 64 (--batch_size) give 2 steps per epoch, 20 in total, too few to "
        "learn from; try --batch_size 6 or a larger --epochs\n")
    text = warning(capsys, 85, 1, accumulation=16)
    assert "16 batches per step (--accumulation)" in text
    assert "try --accumulation 1 or" in text
    assert "try a larger --epochs" in warning(capsys, 5, 5, batch_size=1)
    assert "19 steps per epoch, 190 in total, too few to learn from; try a larger --epochs\n" in warning(
        capsys, 1216, 19)


@pytest.mark.parametrize("settings", [{"per_epoch": 20}, {"per_epoch": 10, "epochs": 20},
                                      {"per_epoch": 2, "epochs": 250}, {"per_epoch": 2, "steps": 500}])
def test_enough_steps_are_no_reason_for_a_warning(capsys, settings):
    assert warning(capsys, 85, settings.pop("per_epoch"), **settings) == ""


def test_few_steps_by_their_own_setting_are_too_few(capsys):
    assert "20 in total" in warning(capsys, 85, 2, steps=20, epochs=999)


@pytest.mark.parametrize("script", [SCRATCH, TRANSFER], ids=lambda script: script.run_name)
def test_the_advice_for_a_long_epoch_names_what_the_script_knows(script):
    images = mock.MagicMock(dataset=range(100), __iter__=lambda self: iter([(torch.zeros(1), None)]))
    with mock.patch("functions.training.console.seconds_per_image", return_value=(10.0, 1.0)):
        text = epoch_estimate(None, mock.Mock(train=images, val=images), True, "fp32", script)
    flags = [word for word in text.replace(",", "").replace(";", "").split() if word.startswith("--")]
    assert flags
    assert set(flags) <= set(make_parser("", script)._option_string_actions)
    assert ("vit_ti_16" in text) == (script is SCRATCH), "the other script loads weights of one size"
