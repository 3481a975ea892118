import json
import os
import re
import runpy
import sys
import time
from unittest import mock

import pytest
import torch

import functions.training.throughput
from benchmarks import __main__ as command
from benchmarks import gpu_checks, gpu_loop, gpu_story, gpu_variants
from benchmarks.gpu_parts import PHANTOM, Part, Step, make_parts
from benchmarks.gpu_timing import TableFile, choose_sizes
from data_setup.listing import data_folders as folders
from functions.config.parser import make_parser
from functions.config.settings import SCRATCH, TRANSFER
from models import ViT
from tests.conftest import ROOT, leave_blank
from tests.forkserver import fork_context

CPU = torch.device("cpu")


def python(code, **options):
    return Step(("-c", code), **options)


def part(name, *steps, seconds=1):
    return Part(name, "does it?", seconds, steps)


@pytest.fixture
def story(tmp_path, monkeypatch):
    """Runs parts and returns what became of each; files are in tmp_path / "out"."""
    out = tmp_path / "out"
    out.mkdir()

    def run(*parts, again=False, budget=None, chosen=None, quick=False):
        return gpu_story.run_story(parts, chosen or [p.name for p in parts], out, "a card", has_gpu=False, quick=quick,
                                   again=again, budget=budget)

    return run


def test_a_failed_command_is_recorded_with_its_last_lines_and_the_next_goes_on(story, tmp_path):
    became = story(part("first", python("print('begun'); 1 / 0"), python("print('second command')")),
                   part("second", python("print('second part')")))
    assert became == {"first": "failed", "second": "finished"}
    text = (tmp_path / "out" / "1_first.md").read_text()
    assert "ZeroDivisionError: division by zero" in text
    assert "| exit 1 |" in text
    assert "second command" in text
    assert "a card" in text
    assert "second part" in (tmp_path / "out" / "2_second.md").read_text()
    assert "begun" in (tmp_path / "out" / "records" / "first" / "01.txt").read_text()


def test_a_finished_part_runs_again_only_when_asked(story, tmp_path):
    count = python(f"open({str(tmp_path / 'runs')!r}, 'a').write('x')")
    fails = python("import sys; sys.exit(3)")
    runs = lambda: len((tmp_path / "runs").read_text())  # noqa: E731
    story(part("good", count), part("bad", count, fails))
    assert runs() == 2
    became = story(part("good", count), part("bad", count, fails))
    assert became["good"].startswith("finished before")
    assert runs() == 3                                   # the failed part only
    story(part("good", count), part("bad", count, fails), again=True, chosen=["good"])
    assert runs() == 4
    story(part("good", count), quick=True)               # a quick pass does not stand for the full one, or the reverse
    assert runs() == 5


def test_a_part_that_was_killed_counts_as_cut_short(story, tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_story, "run_step", mock.Mock(side_effect=[gpu_story.Outcome("exit 0"), KeyboardInterrupt]))
    with pytest.raises(KeyboardInterrupt):
        story(part("long", python("1"), python("2")))
    assert json.loads((tmp_path / "out" / "state.json").read_text())["long"]["state"] == "cut short"
    assert "1 command(s) not run yet" in (tmp_path / "out" / "1_long.md").read_text()


def test_parts_that_do_not_fit_the_budget_are_named_and_shorter_ones_run(story, tmp_path):
    became = story(part("long", python("1"), seconds=1000), part("short", python("1"), seconds=1), budget=100)
    assert became["long"].startswith("left out: about 1000 s,")
    assert became["short"] == "finished"
    assert not (tmp_path / "out" / "1_long.md").exists()


def test_a_command_is_stopped_at_the_limit_with_everything_it_started(story, tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_story, "LIMIT", 1.5)
    table = tmp_path / "partial.md"
    child = f"import time; time.sleep(3); open({str(tmp_path / 'survived')!r}, 'w')"
    code = (f"import subprocess, sys, time; open({str(table)!r}, 'w').write('| one row |'); "
            f"subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(60)")
    became = story(part("slow", python(code, table=table), python("1")))
    assert became == {"slow": "cut short"}
    text = (tmp_path / "out" / "1_slow.md").read_text()
    assert re.search(r"stopped after \d+ s", text)
    assert "not run: no time left" in text
    assert "| one row |" in text                         # what was measured before
    time.sleep(2.5)
    assert not (tmp_path / "survived").exists()


def test_what_needs_a_gpu_is_named_where_there_is_none(story, tmp_path):
    assert story(part("fp16", python("1 / 0", needs_gpu=True), python("1"))) == {"fp16": "finished"}
    assert "not run: needs a GPU" in (tmp_path / "out" / "1_fp16.md").read_text()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_full_story_is_refused_in_one_line(tmp_path, monkeypatch, call_script):
    monkeypatch.setattr(sys, "argv", ["benchmarks"])
    code, _, error = call_script(command.main, "gpu_story", "--out", tmp_path / "out")
    assert code == 2
    assert error == "error: torch finds no CUDA GPU here: --quick tries the command itself at tiny sizes on a CPU\n"
    code, _, error = call_script(command.main, "gpu_story", "rnu")
    assert code == 2
    assert 'no part "rnu": it is one of run, checks' in error


@pytest.mark.parametrize("quick", [False, True])
def test_every_command_is_understood_by_what_it_calls(quick, tmp_path, monkeypatch):
    """The full commands run on a GPU only: their flags must not go out of date before."""
    understood = []
    monkeypatch.setattr(command, "run", lambda options: understood.append(options.rows))
    monkeypatch.setattr(gpu_loop, "run_loop", lambda how, *_: understood.append(how))
    for one in make_parts(tmp_path, quick, 16):
        (tmp_path / "records" / one.name).mkdir(parents=True)
        for step in one.steps:
            if "train.py" in step.command or "train_transferlearning.py" in step.command:
                script = next(name for name in step.command if name.startswith("train"))
                flags = step.command[step.command.index(script) + 1:]
                make_parser("", SCRATCH if script == "train.py" else TRANSFER).parse_args(flags)
            elif step.command[:2] == ("-m", "benchmarks"):
                monkeypatch.setattr(sys, "argv", ["benchmarks", *step.command[2:]])
                command.main()
            elif step.command[:2] == ("-m", "benchmarks.gpu_loop"):
                gpu_loop.main(list(step.command[2:]))
            elif step.command[:2] == ("-m", "pytest"):
                assert all((ROOT / path).exists() for path in step.command if path.startswith("tests/"))
    assert understood == [["gpu"], "eager", "compile", ["memory"], ["frozen"], ["job"], ["saving"]]
    assert str(folders.PHANTOM) == PHANTOM


def forked(step, work, log, limit):
    """gpu_story.run_step in a process that has torch loaded."""
    log.touch()
    process = fork_context().Process(target=_run_step, args=(step.command, work if step.is_script else ROOT, log))
    process.start()
    process.join()
    written = step.table.read_text() if step.table and step.table.exists() else ""
    return gpu_story.Outcome(f"exit {process.exitcode}", 1.0, tuple(log.read_text().splitlines()[-20:]), written)


def _run_step(command, folder, log):
    output = os.open(log, os.O_WRONLY)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.chdir(folder)
    functions.training.throughput.measured_peak = lambda *_: 1e12
    leave_blank()
    is_module = command[0] == "-m"
    sys.argv = list(command[is_module:])
    if is_module:
        runpy.run_module(command[1], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(str(ROOT / command[0]), run_name="__main__")


def test_the_quick_story_runs(tmp_path, monkeypatch, capsys):
    """Most commands of these parts; a lone flag of a script has its own tests."""

    def only_some(step, *where):
        repeated = {"--precision", "--compile", "--checkpoint_activations", "--accumulation", "torch.distributed.run",
                    "train_transferlearning.py", "evaluate.py", "compile"}
        plain = step.command[0] == "train.py" and not {"--name", "--resume"} & set(step.command)
        return gpu_story.Outcome("exit 0") if plain or repeated & set(step.command) else forked(step, *where)

    monkeypatch.setattr(gpu_story, "run_step", only_some)
    arguments = ["gpu_story", "run", "checks", "variants", "loop", "--quick", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["benchmarks", *arguments])
    command.main()                                       # SystemExit if a command failed: the output says which
    texts = {file.stem: file.read_text() for file in tmp_path.glob("*.md")}
    assert sorted(texts) == ["1_run", "2_checks", "3_variants", "5_loop"]
    for text in texts.values():
        for fact in ("benchmarks gpu_story run", "torch ", "CUDA ", "cuDNN ", "torchvision ", "commit "):
            assert fact in text
    assert "compile+residual+all_tokens+patches" in texts["3_variants"]
    assert "resuming after epoch 1" in (tmp_path / "records" / "run" / "11.txt").read_text()
    assert "start-up" in texts["5_loop"]
    state = json.loads((tmp_path / "state.json").read_text())
    assert {name: entry["state"] for name, entry in state.items()} == dict.fromkeys(
        ("run", "checks", "variants", "loop"), "finished")


@pytest.mark.parametrize("changes", [("all_tokens",), ("patches",), ("residual",),
                                     ("residual", "all_tokens", "patches")])
def test_variants_compute_the_same_function_and_gradients(changes):
    """Otherwise their speed would be that of another network."""
    sizes = choose_sizes(True, CPU)
    torch.manual_seed(0)
    variant = gpu_variants.VariantViT(sizes.config(), changes)
    torch.nn.init.normal_(variant.classifier.weight)
    plain = ViT(sizes.config())
    plain.load_state_dict(variant.state_dict())
    images = torch.randn(3, 3, 32, 32, dtype=torch.double)
    outputs = [model.double()(images) for model in (plain, variant)]
    torch.testing.assert_close(*outputs)
    for output in outputs:
        output.square().sum().backward()
    for (name, ours), theirs in zip(plain.named_parameters(), variant.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, msg=name)


def test_the_residual_stream_has_the_autocast_type():
    variant, seen = gpu_variants.VariantViT(choose_sizes(True, CPU).config(), ("residual",)), []
    variant.norm.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].dtype))
    with torch.autocast("cpu", torch.bfloat16):
        variant(torch.randn(1, 3, 32, 32))
    assert seen == [torch.bfloat16]


def test_a_failed_check_and_a_failed_variant_are_rows_and_the_others_go_on(tmp_path, monkeypatch):
    def broken(*_):
        yield "before", "1 ms"
        raise RuntimeError("no kernel\nfor this card")

    monkeypatch.setattr(gpu_checks, "CHECKS", (broken, gpu_checks.epoch_sums))
    out = TableFile(tmp_path / "checks.md", "check", "what", "result")
    assert gpu_checks.run_checks(choose_sizes(True, CPU), CPU, out) == ["broken"]
    rows = (tmp_path / "checks.md").read_text().splitlines()
    assert rows[3] == "| broken | FAILED | RuntimeError: no kernel |"
    assert "EpochSums.add" in rows[4]

    measure = gpu_variants.measure
    monkeypatch.setattr(gpu_variants, "measured_peak", lambda *_: 1e12)
    monkeypatch.setattr(gpu_variants, "measure", lambda name, *a: next(broken()) and 1 / 0 if name == "compile"
                        else measure(name, *a))
    with pytest.raises(SystemExit, match="failed: compile"):
        gpu_variants.main(["compile", "eager", "--quick", "--out", str(tmp_path / "variants.md")])
    rows = (tmp_path / "variants.md").read_text().splitlines()
    assert rows[2].startswith("| compile | FAILED | ZeroDivisionError")
    assert rows[3].startswith("| eager |")


def test_what_blocks_the_loop_is_the_saving_alone(tmp_path, monkeypatch):
    from types import SimpleNamespace

    from functions.training.training_run import TrainingRun

    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(TrainingRun, "save_epoch", lambda *_: now.__setitem__(0, now[0] + 8))
    scores = {"train": SimpleNamespace(seconds=4.0, data_wait=1.0, images_per_second=50.0),
              "val": SimpleNamespace(seconds=0.5), "test": SimpleNamespace(seconds=1.5)}
    with gpu_loop.epochs_recorded(TableFile(tmp_path / "t.md", *gpu_loop.HEAD), flops=2.0, peak=400.0) as moments:
        now[0] += 6
        TrainingRun.save_epoch(None, 1, scores, {}, 0.1)
        now[0] += 7
        TrainingRun.save_epoch(None, 2, scores, {}, 0.1)
    assert (tmp_path / "t.md").read_text().splitlines()[2:] == [
        "| 1 | 50 | 25.0% | 25.0% | 4.00 | 2.00 | 8.00 | 14.00 |",
        "| 2 | 50 | 25.0% | 25.0% | 4.00 | 2.00 | 8.00 | 15.00 |"]
    assert moments == {"first": 100.0, "last": 129.0}


def test_variants_and_checks_keep_every_tensor_on_the_gpu(monkeypatch, tmp_path):
    """On simulated CUDA tensors: one that stays on the CPU fails there as it does on a GPU."""
    from tests.cuda.simulated import simulated_cuda

    event = mock.Mock(return_value=mock.Mock(elapsed_time=lambda end: 1.0))
    monkeypatch.setattr(torch.cuda, "Event", event)
    checks = [gpu_checks.augmentation, gpu_checks.epoch_sums, gpu_checks.affine_precision, gpu_checks.cross_entropy]
    monkeypatch.setattr(gpu_checks, "CHECKS", checks)
    monkeypatch.setattr(gpu_checks, "median_seconds", lambda work, *_: work() is None or 1.0)
    monkeypatch.setattr(torch, "compile", lambda module, **options: module)
    with simulated_cuda():
        device = torch.device("cuda", 0)
        sizes = choose_sizes(True, device)
        assert sizes.precision == "bf16"
        row = gpu_variants.measure("eager+residual+patches+augment", sizes, device, 1e12)
        out = TableFile(tmp_path / "checks.md", "check", "what", "result")
        assert gpu_checks.run_checks(sizes, device, out) == []
    assert row[1] == "2000"                              # two images, one millisecond by the simulated events
