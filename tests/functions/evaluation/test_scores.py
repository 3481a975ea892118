import numpy as np
import pytest
from scipy.stats import t
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    brier_score_loss,
    cohen_kappa_score,
    f1_score,
    roc_auc_score,
)

from functions.evaluation import scores as evaluation
from functions.evaluation.auroc import auroc, auroc_interval
from functions.evaluation.confusion_scores import from_counts
from functions.evaluation.intervals import mean_of_positives, mean_of_proportions, share_of_clusters, wilson
from functions.evaluation.metrics import by_patient
from functions.evaluation.permutation import permuted

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


def people_of(seed, people=40, signal=0.9, slices=5):
    """A cohort with a row a patient."""
    return by_patient(*cohort(people=people, signal=signal, seed=seed, slices=slices))


def test_means_are_over_the_classes_that_are_scored():
    p, y, _ = people_of(3)
    found, call = evaluation.points(p, y, ORDER, healthy=1, classes=[0, 2]), p.argmax(1)
    assert found["balanced_accuracy"] == pytest.approx(np.mean([(call[y == k] == k).mean() for k in (0, 2)]))
    assert found["macro_f1"] == pytest.approx(f1_score(y, call, labels=[0, 2], average="macro"))
    assert found["auroc"] == pytest.approx(np.mean([roc_auc_score(y == k, p[:, k]) for k in (0, 2)]))
    alone = evaluation.points(p, y, ORDER, healthy=1, classes=[1])
    assert np.isnan([alone["balanced_accuracy"], alone["macro_f1"], alone["auroc"]]).all()
    assert alone["kappa"] == found["kappa"], "over all patients"


def test_every_score_of_patients_has_the_interval_that_was_chosen_for_it():
    p, y, who = people_of(3)
    found = evaluation.score_intervals(p, y, who, 1, [0, 1, 2])
    right, n = (p.argmax(1) == y).sum(), len(y)
    assert found["accuracy"] == pytest.approx(tuple(wilson(right, n, t.ppf(0.975, n - 1))))
    hits = [(p.argmax(1)[y == k] == k).sum() for k in range(3)]
    assert found["balanced_accuracy"] == pytest.approx(mean_of_proportions(hits, np.bincount(y)))
    assert found["auroc_disease"] == pytest.approx(auroc_interval(
        roc_auc_score(y != 1, -p[:, 1]), (y != 1).sum(), (y == 1).sum()))
    assert found["brier"] == pytest.approx(mean_of_positives(((p - np.eye(3)[y]) ** 2).sum(axis=1)))
    assert set(found) == {"accuracy", "balanced_accuracy", "auroc", "auroc_disease", "brier"}
    value = evaluation.points(p, y, ORDER, 1)
    assert all(low < value[name] < high for name, (low, high) in found.items())
    both = {"accuracy", "balanced_accuracy"}
    for few, given in ((19, {"accuracy"}), (20, both), (29, both), (30, both | {"auroc"}), (39, both | {"auroc"})):
        assert set(evaluation.score_intervals(p[:few], y[:few], who[:few], None, [0, 1, 2])) == given, "of so few"
    assert np.isnan(evaluation.score_intervals(p[:19], y[:19], who[:19], None, [0, 1, 2])["accuracy"]).all()


def test_intervals_of_slices_are_those_of_their_patients():
    """Nine copies of each slice are no evidence; an interval over slices would be three times too narrow."""
    p, y, who = cohort(slices=3)
    often = [np.repeat(part, 9, axis=0) for part in (p, y, who)]
    one, nine = evaluation.slice_intervals(p, y, who), evaluation.slice_intervals(*often)
    assert one == {"accuracy": pytest.approx(nine["accuracy"])}
    low, high = one["accuracy"]
    patients = evaluation.score_intervals(*by_patient(p, y, who), 1, [0, 1, 2])["accuracy"]
    assert high - low > 0.8 * (patients[1] - patients[0])


def test_intervals_cover_the_truth_and_those_over_slices_do_not():
    """300 cohorts of 60 people with 8 slices that agree; the accuracy of new people is known. The whole table:
    python -m benchmarks coverage.
    """
    truth = np.mean([evaluation.points(*people_of(s, 4000, slices=8)[:2], ORDER)["accuracy"] for s in range(5)])
    slices = np.mean([evaluation.points(*cohort(4000, 1, seed=s)[:2], ORDER)["accuracy"] for s in range(5)])
    covered = {"patients": 0, "slices of patients": 0, "slices": 0}
    for seed in range(300):
        p, y, who = cohort(people=60, slices=8, seed=1000 + seed)
        for unit, target, (low, high) in (
                ("patients", truth, share_of_clusters(np.equal(*_called(*by_patient(p, y, who)[:2])), np.arange(60))),
                ("slices of patients", slices, share_of_clusters(p.argmax(1) == y, who)),
                ("slices", slices, share_of_clusters(p.argmax(1) == y, np.arange(len(y))))):
            covered[unit] += low <= target <= high
    assert 0.92 <= covered["patients"] / 300 <= 0.985
    assert 0.92 <= covered["slices of patients"] / 300 <= 0.985
    assert covered["slices"] / 300 < 0.75


def _called(p, y):
    return p.argmax(1), y


@pytest.mark.parametrize(("signal", "verdict"), [(0.0, "not shown to be better"), (1.2, "better"),
                                                 (6.0, "too good: check the split")])
def test_the_verdict_follows_how_much_a_network_knows(signal, verdict):
    p, y, who = people_of(3 if signal else 5, people=90, signal=signal)
    found = evaluation.evaluate_patients(p, y, who, ORDER, largest=0, healthy=1, resamples=400)
    assert found["auroc_disease"]["verdict"] == verdict
    assert (found["auroc_disease"]["p"] == pytest.approx(1 / 401)) == bool(signal)
    assert found["auroc_disease"]["null"] == pytest.approx(0.5, abs=0.03)
    assert found["balanced_accuracy"]["null"] == pytest.approx(1 / 3, abs=0.03)
    assert [name for name, score in found.items() if "verdict" in score or "p" in score] == ["auroc_disease"]
    found = evaluation.evaluate_patients(p, y, who, ORDER, largest=0, healthy=None, resamples=50)
    assert [name for name, score in found.items() if "verdict" in score] == ["auroc"]


@pytest.mark.parametrize(
    ("given", "words"),
    [({"value": 0.98, "low": 0.95, "p": 0.001}, "too good: check the split"),
     ({"value": 0.98, "low": 0.93, "p": 0.001}, "better"),                  # an honest 0.9 reaches that by chance
     ({"value": 0.98, "low": 0.95, "p": 0.001, "disease": False}, "better"),       # no number is known to compare with
     ({"value": 1.00, "low": 0.70, "p": 0.330}, "not shown to be better"),         # three people
     ({"value": 0.60, "low": 0.45, "p": 0.010}, "not shown to be better"),
     ({"value": 0.70, "low": 0.55, "p": 0.060}, "not shown to be better"),
     ({"value": 1.00, "low": float("nan"), "p": 0.001}, evaluation.NO_VERDICT),     # a mean of few patients' AUROCs
     ({"value": 0.70, "low": 0.55, "p": float("nan")}, evaluation.NO_VERDICT),
     ({"value": float("nan"), "low": 0.55, "p": 0.01}, "not scored"),
     ({"value": 0.70, "low": 0.55, "p": 0.010, "seen": True}, "better, on patients it was trained on")],
)
def test_the_verdict_needs_permutations_and_interval_and_distrusts_what_nobody_reaches(given, words):
    assert evaluation.verdict(**{"constant": 0.5, "disease": True} | given) == words


def test_permutations_reject_in_five_percent_of_cohorts_without_signal():
    """400 cohorts of 24 people."""
    rejected = 0
    for seed in range(5000, 5400):
        p, y, who = people_of(seed, people=24, signal=0.0, slices=2)
        null = permuted(p, y, who, ORDER, None, [0, 1, 2], repeats=39, seed=seed)["auroc"]
        rejected += evaluation.p_value(np.mean([auroc(p[:, k], y == k)[0] for k in range(3)]), null) <= 0.05
    assert 0.03 <= rejected / 400 <= 0.07


def test_patients_with_several_labels_count_once_and_have_no_interval_of_rows():
    """Three diseased people, each seen at two stages, beside ten healthy ones: six rows are three people."""
    p, y = np.random.default_rng(0).dirichlet([1, 1, 1], 16), np.r_[np.zeros(10, int), [1, 2] * 3]
    who = np.r_[np.arange(10), np.repeat([10, 11, 12], 2)]
    found = evaluation.evaluate_patients(p, y, who, [0, 1, 2], 0, healthy=0, resamples=50)
    assert np.isnan(found["auroc_disease"]["value"])
    assert found["auroc_disease"]["verdict"] == "not scored"
    assert not any(np.isfinite(score["low"]) for score in found.values()), "13 people of 16 rows are too few"
    assert not any("sensitivity" in row for row in evaluation.by_class(p, y, who, "abc"))
    many, of = np.r_[np.zeros(12, int), [1, 2] * 12], np.r_[np.arange(12), np.repeat(np.arange(12, 24), 2)]
    q = np.random.default_rng(1).dirichlet([1, 1, 1], 36)
    scored = evaluation.evaluate_patients(q, many, of, [0, 1, 2], 0, healthy=0, resamples=50)["auroc_disease"]
    assert np.isfinite(scored["value"])
    assert np.isnan(scored["p"]), "those of two labels exchange them among themselves: nothing changes"
    assert scored["verdict"] == evaluation.NO_VERDICT
    rows = evaluation.paired(q, np.roll(q, 1, axis=0), many, of, 0)
    assert [name for name, row in rows.items() if np.isfinite(row["low"])] == ["accuracy", "brier"]


def test_a_constant_network_has_a_p_value_of_1():
    for healthy, name in ((0, "auroc_disease"), (None, "auroc")):
        found = evaluation.evaluate_patients(np.full((45, 3), 1 / 3), np.arange(45) % 3, np.arange(45), [0, 1, 2], 0,
                                             healthy, resamples=20)[name]
        assert (found["p"], found["verdict"]) == (1, "not shown to be better")


def test_of_slices_there_is_no_p_value_no_verdict_and_one_interval():
    p, y, who = cohort()
    found = evaluation.evaluate_slices(p, y, who, ORDER, largest=0, healthy=1)
    assert not any({"p", "verdict", "null"} & set(score) for score in found.values())
    assert [name for name, score in found.items() if np.isfinite(score["low"])] == ["accuracy"]
    unknown = evaluation.evaluate_slices(p, y, np.arange(len(y)), ORDER, largest=0, healthy=1, known=False)
    assert not any(np.isfinite(score["low"]) for score in unknown.values())


def test_two_networks_are_compared_on_the_same_patients():
    (p, y, who), (q, _, _) = people_of(3, people=80, signal=1.8), people_of(3, people=80, signal=0.2)
    found = evaluation.paired(p, q, y, who, 1)
    assert set(found) == {"accuracy", "balanced_accuracy", "brier", "auroc", "auroc_disease"}
    assert found["accuracy"]["difference"] == pytest.approx(
        accuracy_score(y, p.argmax(1)) - accuracy_score(y, q.argmax(1)))
    for name in ("accuracy", "balanced_accuracy", "auroc", "auroc_disease"):
        assert 0 < found[name]["low"] < found[name]["difference"] < found[name]["high"], name
    assert found["auroc_disease"]["p"] < 0.05
    assert "p" not in found["accuracy"]
    back = evaluation.paired(q, p, y, who, 1)
    for name, row in back.items():
        assert (row["low"], row["high"]) == pytest.approx((-found[name]["high"], -found[name]["low"])), name
    itself = evaluation.paired(p, p, y, who, 1)
    assert all(row["difference"] == 0 for row in itself.values())
    assert not any(row["low"] < 0 or row["high"] > 0 for row in itself.values())


def test_differences_are_of_patients_and_those_of_mean_aurocs_of_thirty():
    """Each row of a patient of two labels again: no more patients, so the same interval."""
    (p, y, who), (q, _, _) = people_of(3, people=36, signal=1.8), people_of(3, people=36, signal=0.2)
    assert np.isfinite(evaluation.paired(p, q, y, who, 1)["auroc"]["low"])
    few = evaluation.paired(p[:29], q[:29], y[:29], who[:29], 1)
    assert np.isnan([few["auroc"][end] for end in ("low", "high", "p")]).all()
    assert np.isfinite(few["auroc_disease"]["low"])
    twice = evaluation.paired(*(np.repeat(part, 2, axis=0) for part in (p, q, y, who)), 1)
    once = evaluation.paired(p, q, y, who, 1)
    for name in ("accuracy", "brier"):
        assert (twice[name]["low"], twice[name]["high"]) == pytest.approx((once[name]["low"], once[name]["high"]))


def test_the_difference_of_balanced_accuracies_is_a_t_interval_within_classes():
    """Of two classes of many equal patients: the mean difference, and √Σ s² / n / 2 beside it."""
    generator = np.random.default_rng(0)
    y = np.repeat([0, 1], 400)
    first, second = (np.eye(2)[np.where(generator.random(800) < share, y, 1 - y)] for share in (0.8, 0.7))
    row = evaluation.paired(first, second, y, np.arange(800), None)["balanced_accuracy"]
    gaps = [((first.argmax(1) == y) * 1.0 - (second.argmax(1) == y))[y == k] for k in (0, 1)]
    half = 1.96 * np.sqrt(sum(gap.var(ddof=1) / 400 for gap in gaps)) / 2
    centre = np.mean([gap.mean() for gap in gaps])
    assert (row["low"], row["high"]) == pytest.approx((centre - half, centre + half), abs=2e-4)


def test_classes_of_few_people_get_counts_and_no_scores():
    p, y, who = people_of(3)
    keep = ~((y == 2) & ~np.isin(who, who[y == 2][:3]))
    p, y, who = p[keep], y[keep], who[keep]
    rows = evaluation.by_class(p, y, who, ["a", "b", "c"])
    assert set(rows[2]) == {"class", "people", "rows"}
    assert rows[2]["people"] == 3
    share = rows[0]["sensitivity"]
    assert share["value"] == pytest.approx((p.argmax(1)[y == 0] == 0).mean())
    assert (share["low"], share["high"]) == pytest.approx(tuple(wilson((p.argmax(1)[y == 0] == 0).sum(),
                                                                       (y == 0).sum())))
    assert rows[1]["specificity"]["value"] == pytest.approx((p.argmax(1)[y != 1] != 1).mean())
    assert rows[0]["auroc"]["value"] == pytest.approx(roc_auc_score(y == 0, p[:, 0]))
    two = y != 1
    assert "specificity" not in evaluation.by_class(p[two], y[two], who[two], ["a", "b", "c"])[0], (
        "it would be the sensitivity of the few others")
    scored = evaluation.evaluate_patients(p, y, who, ORDER, 0, healthy=2, resamples=20)
    assert np.isnan(scored["auroc_disease"]["value"])
    assert scored["auroc_disease"]["verdict"] == "not scored"
    few = evaluation.by_class(p[:19], y[:19], who[:19], ["a", "b", "c"])
    assert np.isnan([row["sensitivity"]["low"] for row in few if "sensitivity" in row]).all()
    assert any("sensitivity" in row for row in few)
    values = evaluation.by_class(p, y, who, ["a", "b", "c"], patients=False)
    assert np.isnan(values[0]["auroc"]["low"])


@pytest.mark.parametrize("rows", [[0], [0, 1, 2, 3, 4], [0, 5]], ids=["a slice", "a patient", "two patients"])
def test_next_to_nobody_gives_no_error_and_no_verdict(rows):
    p, y, subjects = (part[rows] for part in cohort(people=40))
    scored = evaluation.evaluate_patients(*by_patient(p, y, subjects), ORDER, 0, healthy=1, resamples=50)
    assert {score["verdict"] for score in scored.values() if "verdict" in score} == {"not scored"}
    evaluation.evaluate_slices(p, y, subjects, ORDER, 0, 1)
    evaluation.by_class(p, y, subjects, ["a", "b", "c"])
    evaluation.paired(*[by_patient(p, y, subjects)[0]] * 2, *by_patient(p, y, subjects)[1:], 1)


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
    calls = np.zeros((1, 3, 3))
    np.add.at(calls[0], (y, p.argmax(1)), 1)
    assert from_counts(calls, np.arange(3), [1, 2, 0])["kappa"][0] == pytest.approx(expected)
    assert evaluation.points(p, y, [2, 0, 1])["kappa"] != pytest.approx(expected), "the inverse"
