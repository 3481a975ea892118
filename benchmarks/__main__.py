"""Measured side by side: python -m benchmarks [ROW ...] prints Markdown tables and writes them to a folder."""

import argparse
import contextlib
import shlex
import sys
from importlib import import_module
from pathlib import Path

ROWS = ("step", "gpu", "job", "saving", "frozen", "memory", "growth")
COMMANDS = {"gpu_story": "benchmarks.gpu_story", "coverage": "benchmarks.coverage", "attention": "benchmarks.attention",
            "transfer": "benchmarks.transfer.command", "pretraining": "benchmarks.pretraining.command",
            "pretraining_curve": "benchmarks.pretraining.curve", "combination": "benchmarks.combination.command",
            "small_data": "benchmarks.small_data.command"}
OTHERS = ("python -m benchmarks gpu_story runs everything that needs a GPU, python -m benchmarks coverage simulates "
          "interval coverage, python -m benchmarks attention compares attention with the phantom's anatomy, "
          "python -m benchmarks transfer cross-validates pretrained weights, python -m benchmarks pretraining learns "
          "from generated brains, python -m benchmarks combination adds scores of three kinds, python -m benchmarks "
          "small_data changes the small ViT (each has its own --help)")


def main() -> None:
    """Parses the command line and runs the rows; each is written as soon as it is finished."""
    if (name := next(iter(sys.argv[1:2]), "")) in COMMANDS:
        import_module(COMMANDS[name]).main(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__, epilog=OTHERS)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"one of {', '.join(ROWS)} (default: all but gpu)")
    parser.add_argument("--quick", action="store_true", help="smoke test: tiny sizes, one round")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="class folders in train/ (default: a phantom)")
    parser.add_argument("--slices", type=int, nargs="+", help="number of slices (job, frozen: one number)")
    parser.add_argument("--rounds", type=int, help="rounds per row (default: its own)")
    parser.add_argument("--model", nargs="+", help="names in VARIANTS; small: mri_cpu.yaml's network (job)")
    parser.add_argument("--image_size", type=int, nargs="+")
    parser.add_argument("--batch_size", type=int, nargs="+")
    parser.add_argument("--party", nargs="+", choices=["ours", "torchvision", "timm", "transformers"])
    parser.add_argument("--precision", nargs="+", choices=["fp32", "bf16"])
    parser.add_argument("--compile", nargs="+", choices=["eager", "compile"])
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks"), help="folder of the tables")
    options = parser.parse_args()
    for row in options.rows:
        if row not in ROWS:
            parser.error(f'no row "{row}": it is one of {", ".join(ROWS)}')
    from models import VARIANTS

    for model in options.model or []:
        if model not in VARIANTS and not (model == "small" and options.rows == ["job"]):
            parser.error(f'no model "{model}": it is one of {", ".join(VARIANTS)}, or small for the row job')
    run(options)


def run(options: argparse.Namespace) -> None:
    """Runs the rows in `options.rows` and writes one Markdown file per row."""
    import torch

    from data_setup.resources import available_cores
    from functions.checkpointing.run_folder import provenance
    from functions.runtime.device import describe_device, pick_device

    options.device = pick_device()
    torch.manual_seed(0)
    options.out.mkdir(parents=True, exist_ok=True)
    facts = provenance()
    versions = ", ".join(f"{name} {number}" for name, number in (facts["versions"] | peer_versions()).items())
    where = f"{describe_device(options.device)}, {available_cores()} cores"
    command = f"python -m benchmarks {shlex.join(sys.argv[1:])}"
    for row in options.rows or [row for row in ROWS if row != "gpu"]:
        chosen = with_defaults(options, row)
        head = (f"### {row}\n\n`{command}`, commit {facts['commit']}, {where}; {versions}. "
                f"Medians and quartiles of {chosen.rounds} round(s).\n")
        text = f"{head}\n{function_of(row)(chosen)}\n"
        (options.out / f"{row}.md").write_text(text, encoding="utf-8")
        print(text, flush=True)


def with_defaults(options: argparse.Namespace, row: str) -> argparse.Namespace:
    """The options with a row's own number of rounds, and with tiny sizes if they are to be quick."""
    rounds = {"step": 15, "gpu": 5, "job": 5, "saving": 3, "frozen": 3, "memory": 1, "growth": 3}[row]
    chosen = argparse.Namespace(**vars(options) | {"rounds": options.rounds or (1 if options.quick else rounds)})
    if options.quick:
        chosen.model, chosen.image_size, chosen.batch_size = ["vit_ti_16"], [32], [2]
        chosen.slices, chosen.compile, chosen.precision = [24], ["eager"], ["fp32"]
    return chosen


def peer_versions() -> dict[str, str]:
    """Versions of the peers that are installed."""
    from importlib.metadata import PackageNotFoundError, version

    versions = {}
    for name in ("timm", "transformers"):
        with contextlib.suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions


def function_of(row: str):
    """The function of a row; its module is imported here."""
    if row in ("step", "gpu"):
        from benchmarks import steps

        return {"step": steps.row_step, "gpu": steps.row_gpu}[row]
    if row in ("job", "frozen"):
        from benchmarks import jobs

        return {"job": jobs.row_job, "frozen": jobs.row_frozen}[row]
    if row == "saving":
        from benchmarks.saving import row_saving

        return row_saving
    if row == "memory":
        from benchmarks.memory import row_memory

        return row_memory
    from benchmarks.growth import row_growth

    return row_growth


if __name__ == "__main__":
    main()
