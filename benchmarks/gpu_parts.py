"""The parts of `python -m benchmarks gpu_story`: purpose, commands and expected seconds of each."""

import importlib.util
from dataclasses import dataclass, field
from pathlib import Path

PHANTOM = "data/phantom-100x8-seed0"       # where --demo looks for its slices: data_setup.listing.data_folders.PHANTOM
SCRIPTS = ("train.py", "train_transferlearning.py", "evaluate.py")
PEERS = ("torchvision", "timm", "transformers")


@dataclass(frozen=True)
class Step:
    """One command: arguments of Python. `table`: the Markdown file that it writes; none: its last lines are kept.

    SCRIPTS and the phantom have a folder of their own, removed after the part; all else runs in the repository.
    """

    command: tuple[str, ...]
    table: Path | None = None
    needs_gpu: bool = False
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def is_script(self) -> bool:
        return any(argument in SCRIPTS or argument == "data_setup.phantom" for argument in self.command)


@dataclass(frozen=True)
class Part:
    """`seconds` is what the part is expected to take on an H100; `note` says what it leaves out and why."""

    name: str
    question: str
    seconds: int
    steps: tuple[Step, ...]
    note: str = ""


def make_parts(out: Path, quick: bool, cores: int) -> list[Part]:
    """Every part in its order; tables are written below `out`/records/<part>."""
    records = out / "records"
    return [
        Part("run", "Does every command run?", 240, run_steps(quick)),
        Part("checks", "Rates, attention backends, costs beside the network, numerics, determinism", 90, (
            module("benchmarks.gpu_checks", records / "checks" / "checks.md", quick,
                   environment={"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}),)),
        Part("variants", "Effect of each change of the training step", 480, (
            module("benchmarks.gpu_variants", records / "variants" / "variants.md", quick,
                   *(["eager", "compile+residual+all_tokens+patches", "eager+fused_augment"] if quick else [])),)),
        peers_part(records / "peers", quick),
        Part("loop", "How fast is the whole training loop, and what do data and saving cost?", 240, tuple(
            module("benchmarks.gpu_loop", records / "loop" / f"{how}.md", quick, how,
                   environment=without_compiler(quick and how == "compile"))
            for how in ("eager", "compile"))),
        Part("rows", "Memory, a frozen backbone, whole jobs beside the replicated loop, saving", 420, tuple(
            row(name, records / "rows", quick, *([] if quick else ["--rounds", str(rounds)]))
            for name, rounds in (("memory", 1), ("frozen", 2), ("job", 2), ("saving", 1)))),
        suite_part(quick, cores),
    ]


def module(name: str, table: Path, quick: bool, *arguments: str, environment: dict[str, str] | None = None) -> Step:
    """A module of benchmarks that writes its table to --out."""
    command = ("-m", name, *arguments, "--out", str(table), *(["--quick"] if quick else []))
    return Step(command, table, environment=environment or {})


def row(name: str, folder: Path, quick: bool, *arguments: str) -> Step:
    """A row of `python -m benchmarks`, which writes <row>.md to the folder --out."""
    command = ("-m", "benchmarks", name, *arguments, "--out", str(folder), *(["--quick"] if quick else []))
    return Step(command, folder / f"{name}.md")


def without_compiler(really: bool) -> dict[str, str]:
    """torch.compile leaves everything as it is: compiling a tiny network on a CPU takes longer than all else."""
    return {"TORCHDYNAMO_DISABLE": "1"} if really else {}


def run_steps(quick: bool) -> tuple[Step, ...]:
    """Both training scripts with what changes the CUDA path, a paused and resumed run, its evaluation, torchrun."""
    train, transfer = ("train.py", "--demo"), ("train_transferlearning.py", "--demo", "--weights", "random")
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=1")
    epochs = ("--epochs", "1" if quick else "2")
    small = ("--batch_size", "8", "--num_transformer_layer", "1") if quick else ()
    small_transfer = ("--image_size", "32", "--batch_size", "8") if quick else ()
    fast = ("--model", "resnet18") if quick else ()
    small_phantom = Step(("-m", "data_setup.phantom", PHANTOM, "--people", "12", "--slices", "2"))
    return (
        *([small_phantom] if quick else []),
        Step((*train, *small, *(epochs if quick else ()))),
        *(Step((*train, *epochs, *small, "--precision", precision), needs_gpu=precision == "fp16")
          for precision in ("fp32", "fp16")),
        Step((*train, *epochs, *small, "--compile"), environment=without_compiler(quick)),
        Step((*train, *epochs, *small, "--checkpoint_activations")),
        Step((*train, *epochs, *small, "--compile", "--checkpoint_activations"), environment=without_compiler(quick)),
        Step((*train, *epochs, *small, "--accumulation", "2")),
        Step((*train, *epochs, *small, "--deterministic")),
        Step((*train, "--epochs", "2", *small, "--stop_after", "1", "--name", "paused")),
        Step(("train.py", "--resume", "runs/paused")),
        Step(("evaluate.py", "runs/paused")),
        Step((*torchrun, *train, "--epochs", "2", *small, "--shard", "--stop_after", "1", "--name", "sharded")),
        Step((*torchrun, "train.py", "--resume", "runs/sharded")),
        Step(("evaluate.py", "runs/sharded")),
        Step((*transfer, *epochs, *small_transfer, *fast)),
        Step((*transfer, *epochs, *small_transfer, *fast, "--no_cache")),
        Step((*transfer, *epochs, *small_transfer, *fast, "--train", "last:2")),
        Step((*transfer, *epochs, *small_transfer, "--model", "resnet18", "--train", "all")),
    )


def peers_part(folder: Path, quick: bool) -> Part:
    """The row `gpu` with the peers that are installed."""
    missing = [peer for peer in PEERS if importlib.util.find_spec(peer) is None]
    parties = ["ours", *(peer for peer in PEERS if peer not in missing and not (quick and peer != "torchvision"))]
    step = row("gpu", folder, quick, "--image_size", "224", "--precision", "bf16", "--batch_size", "256", "--compile",
               "eager", "compile", "--party", *parties)
    note = f"Not installed, so not measured: {', '.join(missing)}." if missing else ""
    return Part("peers", "Training throughput beside the peers", 300, (step,), note)


def suite_part(quick: bool, cores: int) -> Part:
    """The tests of the three packages, which then use the GPU; in several processes if pytest-xdist is installed."""
    folders = ["tests/models/test_config.py"] if quick else ["tests/functions", "tests/data_setup", "tests/models"]
    xdist = importlib.util.find_spec("xdist") is not None and not quick
    spread = ("-n", str(max(1, min(12, cores - 2)))) if xdist else ()
    page = importlib.util.find_spec("gradio") is not None
    left_out = () if page or quick else ("--ignore=tests/functions/app",)
    step = Step(("-m", "pytest", "-q", "--no-showlocals", *spread, *folders, *left_out),
                environment={"OMP_NUM_THREADS": "1"})
    notes = ["" if xdist or quick else "pytest-xdist is not installed: one process runs all tests.",
             "gradio is not installed: tests/functions/app is left out." if left_out else ""]
    return Part("suite", "Do the tests pass with CUDA?", 240 if xdist else 540, (step,), " ".join(filter(None, notes)))
