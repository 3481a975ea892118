"""How many injected faults a run survives, as a Markdown table: python benchmarks/survival.py

Every fault is drawn from --seed. Survived means: the expected exit code and message, no partial file
left, and the resumed run equals the uninterrupted one bit for bit (weights, optimiser, random numbers, history,
predictions, split) with no epoch repeated whose checkpoint was on the disk.
"""

import argparse
import os
import platform
import random
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import pytest  # noqa: E402
import torch  # noqa: E402

from benchmarks.survival_faults import Bench  # noqa: E402
from functions.checkpointing.run_folder import provenance  # noqa: E402

FAULTS = [    # what, how often, the method
    ("SIGKILL at a random call (start-up, epoch, checkpoint, results); every second one killed again on resume", 50,
     Bench.killed),
    ("the same, with the pause of 30 s between checkpoints: most epochs are repeated", 12,
     Bench.killed_in_the_pause),
    ("SIGKILL at a random time", 12, Bench.killed_by_the_clock),
    ("SIGKILL while Python and torch are being loaded", 3, Bench.killed_while_loading),
    ("Ctrl-C or SIGTERM at a random call: 130", 16, Bench.signalled),
    ("Ctrl-C or SIGTERM to the run and its worker processes: 130", 6, Bench.signalled_with_its_readers),
    ("disk full within a checkpoint (tmpfs): 2", 8, Bench.disk_full),
    ("file size limit within a checkpoint: 2", 6, Bench.file_limit),
    ("one bit of a checkpoint flipped: refused, or not one value differs", 1000, Bench.bits_flipped),
    ("checkpoint truncated: refused", 200, Bench.cut_short),
    ("last.pt damaged: the epoch before is used", 8, Bench.last_damaged),
    ("run.json or split.csv damaged: 2 or 0, never a traceback", 16, Bench.record_damaged),
    ("an image deleted or changed in an epoch: 2", 8, Bench.picture),
    ("NaN in a weight or in a batch: 2", 4, Bench.not_a_number),
    ("a worker process killed: 2", 4, Bench.reader_killed),
    ("two runs started at once under one name: two folders", 4, Bench.one_name),
    ("two processes resume one run: the second refused", 4, Bench.one_run),
    ("runs/ of another user, or on a read-only disk: 2, before any slice is read", 2, Bench.read_only),
    ("Unicode paths: spaces, quotes and letters of several scripts", 1, Bench.strange_letters),
    ("run names that Windows forbids: 2", 40, Bench.windows_name),
    ("worker processes by other start methods: spawn (Windows, macOS), forkserver", 2,
     Bench.readers_started_as_elsewhere),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="of all draws [0]")
    parser.add_argument("--share", type=float, default=1.0, help="of the number of tries of each fault [1]")
    arguments = parser.parse_args()
    began, rows, total = time.monotonic(), [], [0, 0]
    with tempfile.TemporaryDirectory() as root:
        os.chmod(root, 0o755)
        bench = Bench(Path(root))
        for what, count, fault in FAULTS:
            count, survived, notes = max(1, round(count * arguments.share)), 0, set()
            count = max(count, 2) if fault is Bench.read_only else count
            tried = count
            for number in range(count):
                folder = Path(root, f"{fault.__name__}-{number}")
                folder.mkdir()
                try:
                    fault(bench, folder, random.Random(f"{arguments.seed} {what} {number}"), number)
                    survived += 1
                except pytest.skip.Exception as reason:
                    tried -= 1
                    notes.add(f"not tried: {reason}")
                except Exception as failure:        # whatever it is, this one was not survived
                    print(f"{what}, number {number}: {failure!r}"[:2000], file=sys.stderr, flush=True)
            rows.append(f"| {what}{''.join(f' ({note})' for note in sorted(notes))} | {tried} | {survived} |")
            total = [total[0] + tried, total[1] + survived]
            print(f"{time.monotonic() - began:5.0f} s  {rows[-1]}", file=sys.stderr, flush=True)
    found = provenance()
    print(f"`python benchmarks/survival.py --seed {arguments.seed}`, commit {found['commit'][:12]}, Python "
          f"{found['versions']['python']}, torch {torch.__version__}, {platform.system()} {platform.release()}, "
          f"{time.monotonic() - began:.0f} s\n")
    rows.append(f"| **all** | **{total[0]}** | **{total[1]}** |")
    print("| fault | tried | survived |", "|---|---|---|", *rows, sep="\n")
    sys.exit(total[0] != total[1])


if __name__ == "__main__":
    main()
