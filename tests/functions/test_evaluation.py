import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    brier_score_loss,
    cohen_kappa_score,
    f1_score,
    roc_auc_score,
)

from functions import evaluation
from functions.metrics import by_patient, middle_95, patient_weights
from functions.permutation import permuted

ORDER = [1, 0, 2]      # class 1 is the mildest, then 0, then 2


def cohort(people=40, slices=5, signal=0.9, seed=3, own=1.0):
    """People of 3 classes; what the network thinks of a person (`own`) is shared by all of the person's slices."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(generator.integers(0, 3, people), slices)
    subjects = np.repeat(np.array([f"P{i:03d}" for i in range(people)]), slices)
    taste = np.repeat(own * generator.normal(size=(people, 3)), slices, axis=0)
    logits = taste + signal * np.eye(3)[labels] + 0.1 * generator.normal(size=(people * slices, 3))
    odds = np.exp(logits)
    return odds / odds.sum(axis=1, keepdims=True), labels, subjects


def test_points_are_scikit_learns():
    p, y, _ = cohort()
    found, call = evaluation.points(p, y, ORDER, healthy=1), p.argmax(1)
    rank = np.array([1, 0, 2])
    assert found["accuracy"] == accuracy_score(y, call)
    assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(y, call))
    assert found["macro_f1"] == pytest.approx(f1_score(y, call, average="macro"))
    assert found["auroc"] == pytest.approx(roc_auc_score(y, p, multi_class="ovr"))
    assert found["auroc_disease"] == pytest.approx(roc_auc_score(y != 1, 1 - p[:, 1]))
    assert found["kappa"] == pytest.approx(cohen_kappa_score(rank[y], rank[call], weights="quadratic"))
    assert found["brier"] == pytest.approx(brier_score_loss(y, p))
    bins = np.minimum((p.max(1) * 10).astype(int), 9)
    expected = sum(abs((p.max(1) - (call == y))[bins == b].sum()) for b in range(10)) / len(y)
    assert found["ece"] == pytest.approx(expected)


def test_the_order_of_stages_changes_kappa_alone():
    p, y, _ = cohort()
    one, other = evaluation.points(p, y, [0, 1, 2]), evaluation.points(p, y, ORDER)
    assert {name for name in one if one[name] != other[name]} == {"kappa"}


@pytest.mark.parametrize(("decimals", "classes"), [(9, (0, 1, 2)), (1, (0, 1, 2)), (1, (0, 1)), (9, (0, 2)), (0, (2,))],
                         ids=["plain", "ties", "ties, one class absent", "no healthy", "one class"])
def test_draws_are_points_of_the_resampled_rows(decimals, classes):
    p, y, subjects = cohort()
    keep = np.isin(y, classes)
    p, y, subjects = np.round(p[keep], decimals), y[keep], subjects[keep]
    weights = next(patient_weights(y, subjects, 7, seed=0))
    found = evaluation.draws(p, y, weights, ORDER, healthy=1)
    for i, row in enumerate(weights.astype(int)):
        again = np.repeat(np.arange(len(y)), row)
        expected = evaluation.points(p[again], y[again], ORDER, healthy=1)
        for name, value in expected.items():
            assert found[name][i] == pytest.approx(value, nan_ok=True), name
        if len(classes) < 3:
            continue
        call = p[again].argmax(1)
        for k in range(3):
            assert found["sensitivity"][i, k] == pytest.approx((call[y[again] == k] == k).mean())
            assert found["specificity"][i, k] == pytest.approx((call[y[again] != k] != k).mean())
            assert found["class_auroc"][i, k] == pytest.approx(roc_auc_score(y[again] == k, p[again, k]))


def test_resamples_of_ten_thousand_slices_scatter_as_patients_do():
    """Var of the mean over n patients drawn within K classes: Σ_k n_k Var_k / n², Var_k over the class's patients."""
    p, y, subjects = cohort(people=320, slices=32)
    sample = evaluation.resampled(p, y, subjects, ORDER, healthy=1)["accuracy"]
    right = (p.argmax(1) == y).reshape(320, 32).mean(axis=1)
    label = y.reshape(320, 32)[:, 0]
    expected = np.sqrt(sum((label == k).sum() * right[label == k].var() for k in range(3))) / 320
    assert len(sample) == 2000
    assert sample.mean() == pytest.approx(right.mean(), abs=4 * expected / np.sqrt(2000))
    assert sample.std() == pytest.approx(expected, rel=0.07), "over slices it would be a fifth of it"


@pytest.mark.parametrize(("signal", "verdict"), [(0.0, "cannot be told from guessing"), (1.0, "better than guessing"),
                                                 (3.0, "too good: check the split")])
def test_the_verdict_follows_how_much_a_network_knows(signal, verdict):
    p, y, subjects = cohort(people=90, signal=signal, seed=3 if signal else 5)
    means, labels, people = by_patient(p, y, subjects)
    found = evaluation.evaluate(means, labels, people, ORDER, largest=0, healthy=1, resamples=400)
    for name in ("balanced_accuracy", "auroc", "auroc_disease"):
        assert found[name]["verdict"] == verdict, name
        assert found[name]["null"] == pytest.approx(0.5 if "auroc" in name else 1 / 3, abs=0.03)
        assert found[name]["low"] < found[name]["value"] < found[name]["high"]
        assert (found[name]["p"] == pytest.approx(1 / 401)) == bool(signal)
    assert "verdict" not in found["brier"]


@pytest.mark.parametrize(
    ("given", "words"),
    [({"value": 0.80, "low": 0.70, "p": 0.001, "classes": 3}, "too good: check the split"),
     ({"value": 0.80, "low": 0.70, "p": 0.001, "classes": 2}, "better than guessing"),         # one stage against one
     ({"value": 1.00, "low": 1.00, "p": 0.330, "classes": 2}, "cannot be told from guessing"),  # three people
     ({"value": 0.60, "low": 0.30, "p": 0.010, "classes": 3}, "cannot be told from guessing"),
     ({"value": 0.60, "low": 0.40, "p": 0.060, "classes": 3}, "cannot be told from guessing"),
     ({"value": 0.60, "low": float("nan"), "p": 0.010, "classes": 3}, "better than guessing"),
     ({"value": 0.60, "low": 0.40, "p": 0.010, "classes": 3, "met": True},
      "better than guessing, on people it has met")],
)
def test_the_verdict_needs_permutations_and_interval_and_distrusts_what_nobody_reaches(given, words):
    assert evaluation.verdict("balanced_accuracy", constant=0.34, **given) == words


def test_the_null_is_that_of_scores_counted_one_permutation_at_a_time():
    """With ties, several slices a person and unequal people."""
    p, y, subjects = cohort(people=30, signal=0.5, seed=8)
    keep = np.random.default_rng(0).random(len(y)) < 0.7
    p, y, subjects = np.round(p[keep], 1), y[keep], subjects[keep]
    found = permuted(p, y, subjects, ORDER, 1, repeats=20, seed=3)
    generator = np.random.default_rng(4)
    _, first, person = np.unique(subjects, return_index=True, return_inverse=True)
    for i in range(20):
        expected = evaluation.points(p, y[first][generator.permutation(len(first))][person], ORDER, 1)
        assert set(found) == set(expected) - {"brier", "ece"}
        for name, values in found.items():
            assert values[i] == pytest.approx(expected[name]), name


def test_permutations_reject_in_five_percent_of_cohorts_without_signal():
    """400 cohorts of 24 people with 4 slices each: whole people are permuted, so slices being alike does no harm."""
    rejected = 0
    for seed in range(5000, 5400):
        p, y, subjects = cohort(people=24, slices=4, signal=0.0, seed=seed)
        null = permuted(p, y, subjects, ORDER, None, repeats=39, seed=seed)["auroc"]
        rejected += (1 + (null >= evaluation.points(p, y, ORDER)["auroc"]).sum()) / 40 <= 0.05
    assert 0.03 <= rejected / 400 <= 0.07


def spans(p, y, subjects, resamples, seed):
    """name → (low, high) of every score, as `evaluate` makes them."""
    sample = evaluation.resampled(p, y, subjects, ORDER, 1, resamples, seed)
    low_ece = sample.pop("ece_floor")
    found = {name: middle_95(values, y, subjects) for name, values in sample.items() if values.ndim == 1}
    found |= {f"class 2's {what}": middle_95(sample[what][:, 2], y, subjects) for what in evaluation.OF_CLASS}
    return found | {"ece": (middle_95(low_ece, y, subjects)[0], found["ece"][1])}


def every_point(p, y):
    call = p.argmax(1)
    return evaluation.points(p, y, ORDER, 1) | {
        "class 2's sensitivity": (call[y == 2] == 2).mean(), "class 2's specificity": (call[y != 2] != 2).mean(),
        "class 2's class_auroc": roc_auc_score(y == 2, p[:, 2])}


def test_intervals_of_every_score_cover_the_truth_of_patients():
    """500 cohorts of 60 people with 8 slices that agree; how the network scores new people is known."""
    known = [every_point(*by_patient(*cohort(2000, 8, seed=s))[:2]) for s in range(20)]
    truth = {name: np.mean([one[name] for one in known]) for name in known[0]}
    covered = dict.fromkeys(truth, 0)
    for seed in range(500):
        p, y, people = by_patient(*cohort(people=60, slices=8, seed=1000 + seed))
        for name, (low, high) in spans(p, y, people, 300, seed).items():
            covered[name] += low <= truth[name] <= high
    print({name: count / 500 for name, count in covered.items()})
    assert all(0.92 <= count / 500 <= 0.98 for count in covered.values()), covered
    assert covered["accuracy"] / 500 >= 0.93


def test_intervals_cover_the_truth_and_those_over_slices_do_not():
    """500 cohorts of 60 people with 8 slices that agree: the accuracy of a slice of a new person is known."""
    truth = np.mean([evaluation.points(*cohort(4000, 1, seed=s)[:2], ORDER)["accuracy"] for s in range(20)])
    covered = {"people": 0, "slices": 0}
    for seed in range(500):
        p, y, subjects = cohort(people=60, slices=8, seed=1000 + seed)
        for unit, who in (("people", subjects), ("slices", np.arange(len(y)))):
            right = (p.argmax(1) == y).astype(float)
            sample = np.concatenate([w @ right / w.sum(1) for w in patient_weights(y, who, 300, seed=seed)])
            low, high = middle_95(sample, y, who)
            covered[unit] += low <= truth <= high
    print({unit: count / 500 for unit, count in covered.items()})
    assert 0.93 <= covered["people"] / 500 <= 0.97
    assert covered["slices"] / 500 < 0.75


def test_two_networks_are_compared_on_the_same_patients():
    p, y, subjects = cohort(people=60, signal=1.5)
    q, _, _ = cohort(people=60, signal=0.3)
    found = evaluation.paired(p, q, y, subjects, ORDER, resamples=300)
    assert found["accuracy"]["difference"] == pytest.approx(
        accuracy_score(y, p.argmax(1)) - accuracy_score(y, q.argmax(1)))
    assert found["accuracy"]["low"] > 0
    itself = evaluation.paired(p, p, y, subjects, ORDER, resamples=50)
    assert all(row == {"difference": 0, "low": 0, "high": 0} for row in itself.values())


def test_classes_of_few_people_get_counts_and_no_scores():
    p, y, subjects = cohort(people=40)
    keep = ~((y == 2) & ~np.isin(subjects, subjects[y == 2][:11]))
    p, y, subjects = p[keep], y[keep], subjects[keep]
    sample = evaluation.resampled(p, y, subjects, ORDER, resamples=200)
    rows = evaluation.by_class(p, y, subjects, ["a", "b", "c"], sample)
    assert set(rows[2]) == {"class", "people", "rows"}
    assert rows[2]["people"] < 5
    share = rows[0]["sensitivity"]
    assert share["value"] == pytest.approx((p.argmax(1)[y == 0] == 0).mean())
    assert share["low"] < share["value"] < share["high"]
    two = y != 1
    sample = evaluation.resampled(p[two], y[two], subjects[two], ORDER, resamples=20)
    rows = evaluation.by_class(p[two], y[two], subjects[two], ["a", "b", "c"], sample)
    assert "specificity" not in rows[0], "it would be the sensitivity of the few others"
    scored = evaluation.evaluate(p, y, subjects, ORDER, 0, healthy=2, resamples=20)
    assert np.isnan(scored["auroc_disease"]["value"])
    assert "verdict" not in scored["auroc_disease"]


@pytest.mark.parametrize("rows", [[0], [0, 1, 2, 3, 4], [0, 5]], ids=["a slice", "a patient", "two patients"])
def test_next_to_nobody_gives_no_error_and_no_verdict(rows):
    p, y, subjects = (part[rows] for part in cohort(people=40))
    scored = evaluation.evaluate(p, y, subjects, ORDER, 0, healthy=1, resamples=50)
    assert {score.get("verdict", "cannot be told from guessing") for score in scored.values()} == {
        "cannot be told from guessing"}
    evaluation.by_class(p, y, subjects, ["a", "b", "c"], evaluation.resampled(p, y, subjects, ORDER, 1, 50))


def test_ways_from_slices_to_a_patient():
    p = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.45, 0.55]])
    y, who = np.array([0, 1, 0, 0]), np.array(["A", "B", "A", "A"])
    ways = evaluation.aggregated(p, y, who)
    np.testing.assert_allclose(ways["mean probability"], [[1.75 / 3, 1.25 / 3], [0.2, 0.8]])
    np.testing.assert_allclose(ways["median probability"], [[0.45, 0.55], [0.2, 0.8]])
    np.testing.assert_allclose(ways["majority of slices"], [[1 / 3, 2 / 3], [0, 1]])
    assert by_patient(p, y, who)[1].tolist() == [0, 1]


def test_stages_are_ranked_by_the_order_and_not_by_its_inverse():
    """[1, 2, 0] is not its own inverse: class 1 is stage 0, class 2 stage 1, class 0 stage 2."""
    p, y, _ = cohort()
    stage = {1: 0, 2: 1, 0: 2}
    truth, call = ([stage[k] for k in each] for each in (y, p.argmax(1)))
    expected = cohen_kappa_score(truth, call, weights="quadratic")
    assert evaluation.points(p, y, [1, 2, 0])["kappa"] == pytest.approx(expected)
    assert evaluation.draws(p, y, np.ones((1, len(y))), [1, 2, 0])["kappa"][0] == pytest.approx(expected)
    assert evaluation.points(p, y, [2, 0, 1])["kappa"] != pytest.approx(expected), "the inverse"
