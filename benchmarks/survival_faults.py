"""The faults that benchmarks/survival.py injects: each breaks a small run and asserts that nothing is lost.

Most of them are the tests of tests/survival, on draws of their own.
"""

import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from functions.checkpointing.checkpoint import load_checkpoint
from functions.checkpointing.run_names import check_name
from tests.conftest import ROOT, make_slices
from tests.survival import (
    faults,
    runs,
    test_at_once,
    test_damage,
    test_epochs,
    test_interruptions,
    test_kills,
    test_places,
)


class Bench:
    """Faults on one small run: each method breaks `folder`'s run as `draw` says, and asserts that nothing was lost."""

    def __init__(self, root: Path):
        self.slices, self.whole = root / "slices", root / "whole"
        self.whole.mkdir()
        make_slices(self.slices)
        self.command = runs.command(self.slices)
        ended = runs.run(self.whole, *self.command, fault=faults.count_calls)
        assert ended.code == 0, ended
        began = time.monotonic()
        runs.run(root, *self.command)
        self.seconds = time.monotonic() - began

    def same(self, folder, *more):
        ended = runs.go_on(folder, [*self.command, *more])
        assert (ended.code, ended.err) == (0, ""), ended
        runs.assert_same(folder, self.whole)

    def killed(self, folder, draw, number):
        first = test_kills.draw(self.whole, test_kills.PHASES[number % 4], draw)
        second = test_kills.draw(self.whole, draw.choice(test_kills.PHASES), draw) if number % 2 else None
        test_kills.survive(folder, self.whole, self.command, first, second)

    def killed_in_the_pause(self, folder, draw, number):
        first = test_kills.draw(self.whole, test_kills.PHASES[number % 4], draw)
        test_kills.survive(folder, self.whole, self.command, first | {"pause": 30.0})

    def killed_by_the_clock(self, folder, draw, number):
        process = runs.start(folder, *self.command)
        process.join(draw.uniform(0, self.seconds))
        process.kill()
        runs.finish(process, folder)
        self.same(folder)

    def killed_while_loading(self, folder, draw, number):
        process = subprocess.Popen([sys.executable, str(ROOT / "train.py"), *map(str, self.command)], cwd=folder,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(draw.uniform(0.1, 4))
        process.kill()
        process.wait()
        self.same(folder)

    def signalled(self, folder, draw, number):
        call = test_kills.draw(self.whole, test_kills.PHASES[number % 4], draw)
        sent = draw.choice([signal.SIGINT, signal.SIGTERM])
        fault = partial(faults.kill_at, number=sent, **call)
        test_interruptions.interrupted(runs.run(folder, *self.command, fault=fault))
        self.same(folder)

    def signalled_with_its_readers(self, folder, draw, number):
        sent = [signal.SIGINT, signal.SIGTERM][number % 2]
        test_interruptions.test_a_signal_to_the_whole_group_ends_the_readers_too(folder, self.whole, self.command, sent)

    def disk_full(self, folder, draw, number):
        disk = folder / "runs"
        disk.mkdir()
        if refusal := runs.mount("-t", "tmpfs", "-o", "size=3m", "tmpfs", disk):
            pytest.skip(f"nothing can be mounted here: {refusal}")
        try:
            left = 4096 * draw.randrange((self.whole / runs.RUN / "last.pt").stat().st_size // 4096)
            epoch = draw.choice([1, 2, 3])
            ended = runs.run(folder, *self.command, fault=partial(faults.fill_the_disk, epoch, disk / "filler", left))
            full_disk_line(ended, folder)
            (disk / "filler").unlink()
            self.same(folder)
        finally:
            subprocess.run(["umount", "-l", disk], check=True)

    def file_limit(self, folder, draw, number):
        size = draw.randrange(1000, (self.whole / runs.RUN / "last.pt").stat().st_size)
        ended = runs.run(folder, *self.command, fault=partial(faults.files_of_at_most, draw.choice([1, 2, 3]), size))
        full_disk_line(ended, folder)
        self.same(folder)

    def bits_flipped(self, folder, draw, number, damage=test_damage.flip):
        path, whole = folder / "last.pt", self.whole / runs.RUN / "last.pt"
        path.write_bytes(whole.read_bytes())
        damage(path, draw)
        test_damage.refused_or_equal(path, load_checkpoint(whole))

    def cut_short(self, folder, draw, number):
        self.bits_flipped(folder, draw, number, test_damage.cut)

    def last_damaged(self, folder, draw, number):
        copied = test_damage.copy.__wrapped__(folder, self.whole)
        damage = [test_damage.flip, test_damage.cut][number % 2]
        test_damage.test_the_epoch_before_takes_the_place_of_a_damaged_last_one(copied, self.whole, self.command,
                                                                                damage)

    def record_damaged(self, folder, draw, number):
        copied = test_damage.copy.__wrapped__(folder, self.whole)
        path = copied / runs.RUN / ["run.json", "split.csv"][number % 2]
        draw.choice([test_damage.flip, test_damage.cut])(path, draw)
        ended = runs.go_on(copied, self.command)
        if ended.code or path.name == "split.csv":
            runs.one_line(ended, 2)

    def picture(self, folder, draw, number):
        act = [faults.remove, faults.change][number % 2]
        test_epochs.test_a_picture_that_vanished_or_changed_is_named(folder, self.whole, self.command, self.slices, act,
                                                                      number // 2 % 2)

    def not_a_number(self, folder, draw, number):
        act, step = [(faults.spoil_a_weight, 1), (faults.spoil_a_batch, 3)][number % 2]
        test_epochs.test_a_number_that_is_none_ends_the_epoch_and_the_good_one_goes_on(folder, self.whole, self.command,
                                                                                       act, step)

    def reader_killed(self, folder, draw, number):
        test_epochs.test_a_reader_that_is_killed_stops_the_run_in_one_line(folder, self.command, -(number % 2))

    def one_name(self, folder, draw, number):
        test_at_once.test_two_runs_started_at_once_under_one_name_get_two_whole_folders(folder, self.whole,
                                                                                        self.command)

    def one_run(self, folder, draw, number):
        test_at_once.test_of_two_that_go_on_with_one_run_the_second_is_refused_and_disturbs_nothing(folder, self.whole,
                                                                                                    self.command)

    def read_only(self, folder, draw, number):
        [test_places.test_a_folder_of_another_user_is_one_line_before_anything_is_read,
         test_places.test_a_disk_that_is_read_only_is_one_line_for_a_new_run_and_for_one_that_goes_on,
         ][number](folder, self.command)

    def strange_letters(self, folder, draw, number):
        test_places.test_spaces_and_letters_of_any_language_everywhere(folder, self.whole, self.command, self.slices)

    def windows_name(self, folder, draw, number):
        device = draw.choice(["CON", "nul", "Aux", "COM1", "lpt9", "PRN"])
        name = draw.choice([device, f"{device}.txt", f"a{draw.choice('<>:|?*')}b", "ends.", "ends "])
        with pytest.raises(ValueError, match="Windows"):
            check_name(name)

    def readers_started_as_elsewhere(self, folder, draw, number):
        ended = runs.run(folder, *self.command, "--num_workers", 1, fault=faults.read_from_disk,
                         readers=["spawn", "forkserver"][number])
        assert (ended.code, ended.err) == (0, ""), ended
        runs.assert_same(folder, self.whole)


def full_disk_line(ended, folder):
    """Asserts the message of a full disk, and that no partial file is left."""
    runs.one_line(ended, 2, "could not be written", "--resume runs/ViTModel")
    assert not list((folder / runs.RUN).glob("*.part"))
