import json
import re
from dataclasses import asdict, replace

import pytest

from functions.evaluation.evaluation import ClassScores, Evaluation, Metrics, Score, UnitScores
from functions.reports.markdown_text import write_between
from functions.reports.run_groups import group_runs
from functions.runtime.atomic_files import write_json
from functions.runtime.errors import UserError
from tools.results_table import BEGIN, END, check_figure, draw, main, read, table


def run(value, stamps=(), seed=0, recipe="mri_cpu", split="auto", **settings):
    score = Score(value, value - 0.1, value + 0.1, constant=0.5, nearest=0.4, verdict="better")
    classes = [ClassScores("AD", 12, 12), ClassScores("CN", 16, 16), ClassScores("MCI", 4, 4)]
    test = Evaluation(["AD", "CN", "MCI"], "CN", "auroc_disease", UnitScores(96, {"accuracy": score}, classes),
                      UnitScores(32, {"balanced_accuracy": score, "auroc_disease": score}, classes))
    settings |= {"recipe": f"recipes/{recipe}.yaml", "split": split, "seed": seed, "name": f"x{seed}"}
    return {"settings": settings, "commit": "0123456789", "fingerprint": "f", "state": "finished", "stamps": [],
            "class_names": ["AD", "CN"],
            "metrics": Metrics(test, list(stamps), commit="fedcba9876")}


def group(runs):
    return [[runs[number] for number in numbers] for numbers in group_runs(runs)]


def with_test(run, **changes):
    """The run with another evaluation."""
    return run | {"metrics": replace(run["metrics"], test=replace(run["metrics"].test, **changes))}


def with_score(run, name, **changes):
    """The run with another patient score."""
    patient = run["metrics"].test.patient
    score = replace(patient.scores[name], **changes)
    return with_test(run, patient=replace(patient, scores=patient.scores | {name: score}))


def test_runs_that_differ_in_their_seed_alone_are_one_group():
    runs = [run(0.6), run(0.9, split="slice"), run(0.7, seed=1), run(0.6, lr=2)]
    assert [[r["settings"]["seed"] for r in part] for part in group(runs)] == [[0, 1], [0], [0]]


def test_a_group_is_its_spread_every_interval_every_verdict_and_chance():
    runs = [run(0.6), run(0.7, seed=1), run(0.65, seed=2), run(0.87, ["LEAKY SPLIT"], recipe="memorise", split="slice")]
    runs[1] = with_score(runs[1], "auroc_disease", verdict="not shown to be better")
    lines = table(group(runs))
    assert lines[2].startswith("| `mri_cpu` | `--split auto` | - | **mean ± SD of 3 seeds** | **0.650 ± 0.050** |")
    assert "| 95 % interval of each | 0.50 to 0.70; 0.60 to 0.80; 0.55 to 0.75 |" in lines[3]
    assert lines[4].endswith("| better: 2 of 3; not shown to be better: 1 of 3 |")
    assert "| nearest image | 0.400 |" in lines[5]
    assert "| always CN | 0.500 |" in lines[6]
    assert lines[7].startswith("| `memorise` | `--split slice` | LEAKY SPLIT | **seed 0** | **0.870** |")
    assert "| verdict | better | better | better |" in lines[9]
    assert len({line.count("|") for line in lines[:-2]}) == 1
    assert lines[-1] == ("Test patients: 32; trained at commit 0123456, scored at fedcba9. Better: permutation p below "
                         "0.05 and the whole 95 % interval above the constant prediction.")


def test_seeds_that_score_other_classes_have_no_mean_over_classes():
    """4 patients of MCI in seed 0, 5 in seed 1: means of two classes and of three."""
    runs = [run(0.6), run(0.7, seed=1)]
    classes = [ClassScores(name, 5, 5) for name in ("AD", "CN", "MCI")]
    runs[1] = with_test(runs[1], patient=replace(runs[1]["metrics"].test.patient, classes=classes))
    lines = table(group(runs))
    assert lines[2].endswith("| **0.650 ± 0.071** | **- (2 or 3 classes)** | **0.650 ± 0.071** |")
    assert "; 0.60 to 0.80" in lines[3].split("|")[6], "every seed's interval stays"
    assert lines[5].split("|")[5:8] == [" 0.400 ", " - (2 or 3 classes) ", " 0.400 "]
    assert lines[-1].endswith("- (… classes): no mean over runs with different scored classes (those of 5 test "
                              "patients or more).")
    assert "(… classes)" not in table(group([run(0.6), run(0.7, seed=1)]))[-1]


def test_where_nobody_knows_the_patients_their_cells_are_empty():
    unknown = with_test(run(0.6), patient=None)
    assert table([[unknown]])[2].endswith("| **0.600** | **-** | **-** |")


def test_the_figure_shows_what_the_table_says():
    axis = draw(group([run(0.6), run(0.65, seed=1), run(0.87, ["LEAKY SPLIT"], split="slice")])).axes[0]
    assert [tick.get_text() for tick in axis.get_yticklabels()] == [
        "mri_cpu, --split auto", "mri_cpu, --split slice\nLEAKY SPLIT"]
    shown = {round(float(line.get_xdata()[0]), 2) for line in axis.lines if len(line.get_xdata()) == 1}
    assert shown >= {0.6, 0.65, 0.87, 0.4, 0.5}


def test_the_table_goes_between_its_marks(tmp_path):
    file = tmp_path / "R.md"
    file.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    for _ in range(2):
        write_between(file, BEGIN, END, ["| new |"])
        assert file.read_text() == f"before\n{BEGIN}\n\n| new |\n\n{END}\nafter\n"
    file.write_text("no marks\n")
    with pytest.raises(ValueError, match="once each"):
        write_between(file, BEGIN, END, ["| new |"])
    assert file.read_text() == "no marks\n"


def test_a_run_that_was_not_evaluated_is_refused(drawn, call_script, tmp_path):
    folder = tmp_path / "runs" / "x"
    (folder / "evaluation").mkdir(parents=True)
    with pytest.raises(ValueError, match="has not been evaluated: python evaluate.py"):
        read(folder)
    assert call_script(main, "runs/x")[0] == 2
    made = run(0.6)
    (folder / "run.json").write_text(json.dumps({k: v for k, v in made.items() if k != "metrics"}))
    (folder / "evaluation/metrics.json").write_text('{"slice": {}}')
    code, _, err = call_script(main, "runs/x")
    assert (code, err.count("\n")) == (2, 1)
    assert "older version: python evaluate.py runs/x" in err
    write_json(folder / "evaluation/metrics.json", asdict(made["metrics"]))
    (tmp_path / "R.md").write_text(f"{BEGIN}{END}")
    code, out, _ = call_script(main, "runs/x", "--figure", tmp_path / "f.png", "--write", "R.md")
    assert code == 0
    assert "| **seed 0** | **0.600** |" in out
    assert "| **seed 0** | **0.600** |" in (tmp_path / "R.md").read_text()
    assert (tmp_path / "f.png").stat().st_size > 5000


def test_names_from_runs_end_no_cell_and_no_mark():
    """Recipe, split, stamps, class and commit come from files that anybody may have written."""
    bad = run(0.6, ["a|b <b>"], recipe=f"x|{END}", split="p|q`")
    bad = with_test(bad, largest="C|N\n<script>")
    bad["metrics"] = replace(bad["metrics"], commit="|")
    lines = table([[bad]])
    assert len({len(re.split(r"(?<!\\)\|", line)) for line in lines[:-2]}) == 1
    assert "<" not in "".join(lines)
    assert all(line.isprintable() for line in lines)


def test_a_score_that_some_seeds_lack_says_how_many_have_it():
    lacking = run(0.7, seed=1)
    lacking = with_test(lacking, patient=replace(lacking["metrics"].test.patient, scores={}))
    assert "**0.600 (1 of 2)**" in table(group([run(0.6), lacking]))[2]


def test_a_low_accuracy_and_one_without_interval_are_in_the_figure():
    single = with_test(run(0.1), slice=UnitScores(96, {"accuracy": Score(0.1)}, []))
    axis = draw([[single], [run(0.2, split="slice")]]).axes[0]
    assert axis.get_xlim()[0] < 0.1


@pytest.mark.parametrize(("key", "value"), [("test", {"slice": {}}), ("test", None), ("caveats", "LEAKY"),
                                            ("probe", 3), ("commit", [])])
def test_a_damaged_evaluation_is_one_line_with_file_and_key(call_script, tmp_path, key, value):
    folder = tmp_path / "runs" / "x"
    (folder / "evaluation").mkdir(parents=True)
    made = run(0.6)
    (folder / "run.json").write_text(json.dumps({k: v for k, v in made.items() if k != "metrics"}))
    write_json(folder / "evaluation/metrics.json", asdict(made["metrics"]) | {key: value})
    code, _, err = call_script(main, "runs/x")
    assert (code, err.count("\n")) == (2, 1)
    assert f'evaluation/metrics.json is damaged: "{key}' in err


def test_a_file_that_is_no_text_is_one_line(tmp_path):
    (tmp_path / "R.md").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="not UTF-8 text"):
        write_between(tmp_path / "R.md", BEGIN, END, ["x"])


def test_a_figure_replaces_no_file_that_is_none(tmp_path):
    for name, content in (("run.json", b"{}"), ("f.png", b"\x89PNG")):
        (tmp_path / name).write_bytes(content)
    check_figure(tmp_path / "f.png", None)
    check_figure(tmp_path / "new.png", tmp_path / "R.md")
    for figure, table_file in ((tmp_path / "run.json", None), (tmp_path, None), (tmp_path / "x", tmp_path / "x")):
        with pytest.raises(UserError, match="exists and is not a PNG|is a folder"):
            check_figure(figure, table_file)


@pytest.mark.parametrize(("changes", "complaint"), [
    ({"data": "/other/slices"}, "is the evaluation of /other/slices, not of the run's own test set"),
    ({"run_id": "b2"}, "is the evaluation of another run"), ({"run_id": "a1"}, ""), ({}, "")])
def test_an_evaluation_of_other_slices_or_of_another_run_is_refused(changes, complaint, tmp_path):
    folder, made = tmp_path / "x", run(0.6)
    (folder / "evaluation").mkdir(parents=True)
    record = {key: value for key, value in made.items() if key != "metrics"} | {"run_id": "a1"}
    (folder / "run.json").write_text(json.dumps(record))
    write_json(folder / "evaluation/metrics.json", asdict(replace(made["metrics"], **changes)))
    if complaint:
        with pytest.raises(UserError, match=complaint):
            read(folder)
    else:
        assert read(folder)["metrics"].test.largest == "CN"
