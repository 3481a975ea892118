import os
import shutil

import pytest
import torch

from functions.checkpointing.retention import find_best, find_last, retain
from tests.functions.plain import plain_checkpoint

BEST_EPOCHS = {1, 2, 5, 6}      # of seven; best at once, again, not for two epochs, again, ...


def checkpoint(epoch):
    best = max(number for number in BEST_EPOCHS if number <= epoch)
    return plain_checkpoint(epoch, best={"epoch": best}, weights={"w": torch.full((5, 7), float(epoch))})


def save(folder, epoch):
    retain(folder, checkpoint(epoch), epoch in BEST_EPOCHS)


def flip(path, position=0.5):
    content = bytearray(path.read_bytes())
    content[int(position * len(content))] ^= 4
    path.write_bytes(content)


def cut(path):
    content = path.read_bytes()
    path.unlink()               # as a copy is cut short: other names keep what they have
    path.write_bytes(content[: len(content) // 2])


def go_on(folder):
    """(the epoch to go on from, the best epoch), both whole."""
    last, _ = find_last(folder)
    best, _ = find_best(folder, last["best"]["epoch"])
    for found in (last, best):
        assert (found["weights"]["w"] == found["epoch"]).all()
    return last["epoch"], best["epoch"]


@pytest.fixture
def saved(tmp_path):
    """A folder for each number of epochs saved: 0 to 7."""
    folders = [tmp_path / "0"]
    folders[0].mkdir()
    for epoch in range(1, 8):
        folders.append(tmp_path / str(epoch))
        shutil.copytree(folders[-2], folders[-1])
        save(folders[-1], epoch)
    return folders


def test_a_run_goes_on_from_its_last_epoch_and_an_epoch_is_written_once(saved):
    assert find_last(saved[0]) == (None, "")
    for epoch in range(1, 8):
        assert go_on(saved[epoch]) == (epoch, checkpoint(epoch)["best"]["epoch"])
    assert (saved[6] / "best.pt").samefile(saved[6] / "last.pt")
    assert not list(saved[7].glob(".*"))
    assert not (saved[7] / "previous_best.pt").exists()


def killed_at(step, folder, epoch):
    """Saves an epoch in a process that ends at the n-th change of the folder; whether it got that far."""
    child = os.fork()
    if child == 0:
        count = [0]

        def counted(change):
            def counting(*paths):
                count[0] += 1
                if count[0] == step:
                    os._exit(9)
                return change(*paths)
            return counting

        os.link, os.replace, os.unlink, os.fsync = map(counted, (os.link, os.replace, os.unlink, os.fsync))
        try:
            save(folder, epoch)
            os._exit(0)
        finally:                    # an error must not reach pytest, which would go on in this process too
            os._exit(1)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert ended in (0, 9)
    return ended == 9


@pytest.mark.skipif(torch.cuda.is_available(), reason="a forked process cannot use CUDA")
@pytest.mark.parametrize("epoch", range(1, 8))
def test_a_kill_between_any_two_steps_loses_nothing_even_if_the_last_is_then_damaged(saved, tmp_path, epoch):
    step = 1
    while True:
        folder = tmp_path / f"killed-{step}"
        shutil.copytree(saved[epoch - 1], folder)
        if not killed_at(step, folder, epoch):
            break
        if epoch > 1 or (folder / "last.pt").exists():
            assert go_on(folder)[0] in (epoch - 1, epoch)
        if epoch > 2:
            for name in ("last.pt", "best.pt"):
                again = tmp_path / f"damaged-{step}-{name}"
                shutil.copytree(folder, again)
                cut(again / name)
                if name == "last.pt":
                    assert go_on(again)[0] >= epoch - 2
                elif (again / "previous_best.pt").exists() or find_last(again)[0]["best"]["epoch"] >= epoch - 1:
                    assert go_on(again)[0] >= epoch - 1
        step += 1
    assert step > 4


def test_what_was_used_instead_is_told_in_one_line_that_names_both(saved):
    flip(saved[4] / "last.pt")
    last, told = find_last(saved[4])
    assert last["epoch"] == 3
    for words in ("last.pt is damaged", "previous.pt (epoch 3)"):
        assert words in told
    assert "\n" not in told
    assert find_last(saved[4])[1] == "", "it has taken its place"
    cut(saved[6] / "best.pt")
    best, told = find_best(saved[6], 6)
    assert best["epoch"] == 6
    for words in ("best.pt is damaged", "last.pt, which holds the same epoch 6"):
        assert words in told


def test_where_nothing_is_left_it_is_said_what_to_do(saved):
    cut(saved[4] / "best.pt")
    with pytest.raises(ValueError, match=r"best epoch, 2: .*best\.pt is damaged.*restore a copy.*or start a new run"):
        find_best(saved[4], 2)
    for path in saved[5].glob("*.pt"):
        cut(path)
    with pytest.raises(ValueError, match=r"last\.pt is damaged.*previous\.pt is damaged.*restore a copy"):
        find_last(saved[5])
    for path in saved[6].glob("*.pt"):
        path.unlink()
    (saved[6] / "predictions.csv").write_text("x")
    with pytest.raises(ValueError, match=r"last\.pt: no such file"):
        find_last(saved[6])


def test_the_best_epoch_alone_is_enough_to_go_on(saved):
    for name in ("last.pt", "previous.pt"):
        (saved[4] / name).unlink()
    assert go_on(saved[4]) == (2, 2)


def test_only_process_0_changes_the_folder(saved, monkeypatch):
    monkeypatch.setattr("functions.runtime.distributed.rank", lambda: 1)
    before = {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in saved[2].iterdir()}
    save(saved[2], 3)
    save(saved[2], 5)
    assert {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in saved[2].iterdir()} == before
