"""How unlucky and hostile inputs end, as a table: python -m tests.hostile [--kind K] [--limit N]

Refused well: exit code 2 and exactly one line, which names the file or the flag. Worked: exit code 0. Failed: anything
else, such as a traceback, a hang, a program started, a file written outside the folder, a .part file left, or an input
accepted that must be refused. Exit code 1 if one failed.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.forkserver import fork_context
from tests.hostile.bench import FAILED, REFUSED, WORKED, Bench, Case
from tests.hostile.cases import all_cases


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kind", default="", help="only kinds that contain this; several with commas between")
    parser.add_argument("--name", default="", help="only inputs whose name contains this")
    parser.add_argument("--limit", type=int, default=20, help="inputs of each kind, evenly chosen; 0: all [20]")
    parser.add_argument("--show", action="store_true", help="print every input with what was said")
    arguments = parser.parse_args()
    fork_context("tests.hostile.few_resamples")
    began, counts, kinds = time.monotonic(), Counter(), Counter()
    with tempfile.TemporaryDirectory(prefix="hostile-") as root:
        bench = Bench(Path(root).resolve())
        for number, case in enumerate(chosen(list(all_cases(bench)), arguments)):
            outcome, why, seconds = bench.try_case(case, number)
            kinds[case.kind] += 1
            counts[case.kind, outcome] += 1
            if outcome == FAILED or arguments.show:
                line = f"{outcome}: {case.title} ({case.script}, {seconds:.1f} s): {why}"[:700]
                print(line.encode(errors="backslashreplace").decode(), file=sys.stderr, flush=True)
    print("| kind | tried | refused well | worked | failed |\n|---|---|---|---|---|")
    for kind, tried in kinds.items():
        print(f"| {kind} | {tried} | " + " | ".join(str(counts[kind, o]) for o in (REFUSED, WORKED, FAILED)) + " |")
    sums = [sum(n for (_, found), n in counts.items() if found == outcome) for outcome in (REFUSED, WORKED, FAILED)]
    print(f"| **all** | **{sum(kinds.values())}** | " + " | ".join(f"**{n}**" for n in sums) + " |")
    print(f"\n{time.monotonic() - began:.0f} s")
    sys.exit(sums[2] > 0)


def chosen(cases: list[Case], arguments: argparse.Namespace) -> list[Case]:
    """The inputs that were asked for, of each kind at most --limit, evenly spread over the kind."""
    kinds = {}
    for case in cases:
        if any(kind in case.kind for kind in arguments.kind.split(",")) and arguments.name in case.name:
            kinds.setdefault(case.kind, []).append(case)
    every = {kind: max(1, len(of) / arguments.limit) if arguments.limit else 1 for kind, of in kinds.items()}
    return [of[int(place * every[kind])] for kind, of in kinds.items() for place in range(int(len(of) / every[kind]))]


if __name__ == "__main__":
    main()
