"""Files that a disk or a copy damaged: refused in one line that names them, the one before used, nothing lost."""

import json
import random
import re
import shutil

import pytest

from functions.checkpointing.checkpoint import load_checkpoint, load_model
from tests.survival import runs
from tests.survival.faults import wait_for_checkpoints

LINES = {"run.json": "run.json is damaged", "split.csv": "split.csv is damaged or was changed"}


def flip(path, generator):
    """Turns one bit over, anywhere in the file, in place."""
    content = bytearray(path.read_bytes())
    content[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
    path.write_bytes(content)


def cut(path, generator):
    path.write_bytes(path.read_bytes()[: generator.randrange(path.stat().st_size)])


def refused_or_equal(path, whole):
    """Whether a damaged checkpoint is refused; one that is not must hold what the whole one does."""
    try:
        checkpoint = load_checkpoint(path)
    except ValueError as error:
        refusal = str(error)
    else:
        assert runs.equal(checkpoint, whole), "flipped bits were taken for weights"
        return False
    assert str(path) in refusal
    assert "\n" not in refusal
    return True


@pytest.mark.parametrize(("damage", "least"), [(flip, 0.8), (cut, 1.0)])
def test_damage_anywhere_in_a_checkpoint_is_noticed(tmp_path, whole, damage, least):
    """Refused, unless it hit what means nothing in a zip file (padding, dates), a sixth of one as small as this."""
    generator, original = random.Random(7), whole / runs.RUN / "last.pt"
    expected, refused = load_checkpoint(original), 0
    for _ in range(150):
        shutil.copy(original, tmp_path / "damaged.pt")
        damage(tmp_path / "damaged.pt", generator)
        refused += refused_or_equal(tmp_path / "damaged.pt", expected)
    assert refused >= least * 150


def test_a_bit_of_a_weight_is_enough_and_evaluation_refuses_it_too(tmp_path, whole):
    path = tmp_path / "best.pt"
    shutil.copy(whole / runs.RUN / "best.pt", path)
    content = bytearray(path.read_bytes())
    weights = load_checkpoint(path)["weights"]["classifier.weight"].numpy().tobytes()
    content[content.index(weights) + 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"best\.pt is damaged.*checksum"):
        load_model(path)


@pytest.fixture(scope="module")
def every_epoch(tmp_path_factory, command):
    """The folder of a run that wrote each of its epochs."""
    return runs.undisturbed(tmp_path_factory.mktemp("every_epoch"), command, wait_for_checkpoints)


@pytest.fixture
def copy(tmp_path, every_epoch):
    """A copy of a finished run, as another machine would have it: no hard links, the working folder the same."""
    shutil.copytree(every_epoch, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.mark.parametrize("damage", [flip, cut])
def test_the_epoch_before_takes_the_place_of_a_damaged_last_one(copy, whole, command, damage):
    generator, run = random.Random(11), copy / runs.RUN
    original = load_checkpoint(run / "last.pt")
    while refused_or_equal(run / "last.pt", original) is False:
        damage(run / "last.pt", generator)
    ended = runs.go_on(copy, command)
    assert (ended.code, ended.err) == (0, "")
    [line] = [line for line in ended.out.splitlines() if " is damaged" in line]
    assert "last.pt" in line
    assert "previous.pt (epoch 2) instead" in line
    assert "resuming after epoch 2" in ended.out
    runs.assert_same(copy, whole)


def test_a_damaged_best_one_is_taken_from_the_last_where_that_is_the_same_epoch(copy, whole, command):
    run = copy / runs.RUN
    assert load_checkpoint(run / "last.pt")["best"]["epoch"] == 3
    cut(run / "best.pt", random.Random(1))
    ended = runs.go_on(copy, command)
    assert (ended.code, ended.err) == (0, "")
    assert re.search(r"best\.pt is damaged.*: using .*last\.pt, which holds the same epoch 3", ended.out)
    runs.assert_same(copy, whole)


@pytest.mark.parametrize("name", LINES)
def test_a_damaged_record_is_one_line_before_anything_is_trained(copy, command, name):
    generator, path = random.Random(5), copy / runs.RUN / name
    before = path.read_bytes()
    cut(path, generator)
    runs.one_line(runs.go_on(copy, command), 2, LINES[name])
    path.write_bytes(before[:40] + b"\xff\x00" + before[42:])
    runs.one_line(runs.go_on(copy, command), 2, LINES[name])
    path.unlink()
    runs.one_line(runs.go_on(copy, command), 2, name)


def test_damaged_tables_of_results_are_written_anew(copy, whole, command):
    for path in (copy / runs.RUN).iterdir():
        if path.suffix in (".csv", ".pkl", ".png", ".html") and path.name != "split.csv" or path.name == "metrics.json":
            cut(path, random.Random(path.name))
    ended = runs.go_on(copy, command)
    assert (ended.code, ended.err) == (0, "")
    runs.assert_same(copy, whole)


def test_a_record_with_flipped_bits_never_ends_in_a_traceback(copy, command):
    path = copy / runs.RUN / "run.json"
    before, generator = path.read_bytes(), random.Random(2)
    settings = before.index(b'"settings"')
    for _ in range(4):
        content = bytearray(before)
        content[generator.randrange(settings, len(content))] ^= 1 << generator.randrange(8)
        path.write_bytes(content)
        ended = runs.go_on(copy, command)
        assert "Traceback" not in ended.err
        if ended.code:
            runs.one_line(ended, 2)
    assert json.loads(before)["state"] == "finished"
