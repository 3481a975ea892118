"""A sample of the hostile inputs; python -m tests.hostile tries all of them."""

import pytest

from tests.hostile.bench import FAILED, REFUSED, WORKED, Bench, Case, judge
from tests.hostile.cases import all_cases

SAMPLE = (
    "EPS named .png",
    "pickle named .png",
    "PNG that claims 100000x100000",
    "pipe",
    "link to /dev/zero",
    "up link in a class",
    "one class",
    "class of .dcm",
    "torn gzip for --subjects",
    "UTF-32 for --split",
    "two answers for --subjects",
    ",train as ',trian'",
    "alias bomb",
    "code",
    "twice",
    "--lr '-1'",
    "--embedding_dim '-1'",
    "--name '../x'",
    "--mean 'nan'",
    "nowhere",
    "NaN, half",
    "a list, done",
    "twice a key",
    "cut, half",
    "resumed file: bomb",
    "a tensor: NaN",
    "a tensor: complex",
    "a tensor: sparse",
    "std 0",
    "a billion layers",
    "file: module",
    "safetensors: shape overflow",
    "npz of objects",
    "split.csv NaN, half",
    "BOM, half",
    "'(all)'",
    "names and special files --out a.json",
    "s.csv --subjects s_patients.csv",
    "tools.attention runs/done --dpi 999999",
    "age 61,234",
    "two sexes",
)


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return Bench(tmp_path_factory.mktemp("hostile").resolve())


@pytest.fixture(scope="module")
def cases(bench):
    return list(all_cases(bench))


def test_a_sample_of_hostile_inputs_is_refused_in_one_line_or_works(bench, cases):
    wanted, outcomes, failed = set(SAMPLE), [], []
    for number, case in enumerate(cases):
        if case.name in wanted:
            wanted.remove(case.name)
            outcome, why, seconds = bench.try_case(case, number)
            print(f"{seconds:.1f} s  {case.title}")
            outcomes.append(outcome)
            failed += [f"{case.title}: {why}"] * (outcome == FAILED)
    assert failed == []
    assert not wanted, "the sample names inputs that there are"
    assert outcomes.count(REFUSED) > len(outcomes) / 2


def test_there_are_at_least_four_hundred_inputs_each_named_once(cases):
    titles = [(case.title, case.script) for case in cases]
    assert len(titles) >= 400
    assert len(set(titles)) == len(titles)


def test_the_judge_of_unreadable_images():
    case = Case("images", "x", "predict", ["D"], must="work", unreadable=True)
    for code, err, outcome in ((1, "note: 9 images: 1 unreadable, 0 seen\n", WORKED), (0, "", FAILED),
                               (1, "note: 9 images: 0 unreadable, 0 seen\n", FAILED), (1, "error: D\n", FAILED)):
        assert judge(case, code, "", err, {"D"})[0] == outcome
    assert judge(Case("images", "x", "predict", ["D"]), 1, "", "note: 9 images: 1 unreadable\n", {"D"})[0] == FAILED


@pytest.mark.parametrize(
    ("code", "err", "must", "outcome"),
    [
        (2, "error: --lr is no number\n", "", REFUSED),
        (0, "", "", WORKED),
        (0, "", "refuse", FAILED),
        (2, "error: --lr\n", "work", FAILED),
        (1, "ValueError: x\n", "", FAILED),
        (2, "error: --lr\nmore\n", "", FAILED),
        (2, "error: something\n", "", FAILED),
        (2, "Traceback (most recent call last):\n", "", FAILED),
        (2, "error: --lr \x1b[31m\n", "", FAILED),
        (-11, "", "", FAILED),
        (-100, "", "", FAILED),
    ],
)
def test_the_judge(code, err, must, outcome):
    assert judge(Case("flags", "x", "train", ["--lr", "x"], must=must), code, "", err, {"--lr"})[0] == outcome


@pytest.mark.parametrize(
    ("act", "why"),
    [
        ("open('../canary', 'w')", "outside"),
        ("__import__('os').system('true')", "program"),
        ("__import__('os').mkdir('../x')", "outside"),
        ("open('a.part', 'w')", ".part"),
        ("1 / 0", "traceback"),
    ],
)
def test_the_bench_notices(bench, act, why):
    outcome, reason, _ = bench.try_case(Case("flags", "x", "tests.hostile.acts", [act]), 99_999)
    assert (outcome, why in reason) == (FAILED, True), reason
