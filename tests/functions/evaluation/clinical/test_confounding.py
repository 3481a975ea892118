import numpy as np
import pandas as pd
import pytest

from data_setup.phantom.people import Draws, draw_person
from functions.evaluation.clinical.confounding import confounding
from functions.evaluation.clinical.covariates import covariates, of_patients
from functions.evaluation.clinical.predictability import messages, predictability
from functions.evaluation.predictions import Predictions
from functions.evaluation.stages import healthy_stage

NAMES = ["AD", "CN"]


def cohort(gap, effect=0.0, count=80, names=NAMES, slices=2, seed=0):
    """Test predictions whose P(AD) rises with age and disease, and their traits, one row per slice."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % 2                                    # 1: healthy
    age = generator.normal(72 + gap * (labels == 0), 8)
    p = 1 / (1 + np.exp(-(age - 74) / 8 - effect * (labels == 0)))
    ids = [f"s{k:03d}" for k in range(count)]
    columns = pd.DataFrame({"age": age, "sex": generator.choice(["F", "M"], count), "site": None, "scanner": None})
    rows = np.repeat(np.arange(count), slices)
    test = Predictions([f"{k}.png" for k in range(len(rows))], [ids[k] for k in rows], labels[rows],
                       np.stack([p, 1 - p], axis=1)[rows], list(names))
    return test, of_patients(test, columns.iloc[rows].reset_index(drop=True)), test.probabilities


def test_a_network_that_sees_age_alone_is_exposed():
    test, traits, same = cohort(gap=8)
    found = confounding(test, traits, {"age": same})
    assert found.adjusted.crude.value > 0.7
    assert found.adjusted.auroc.value == pytest.approx(0.5, abs=1e-9)
    assert found.baselines[0].auroc == found.baselines[0].network
    assert found.baselines[0].difference.value == 0
    assert any(note.startswith("CHECK: age alone have an AUROC of 0.7") for note in found.notes)
    assert abs(found.matched.auroc.value - found.matched.age_alone) < 1e-9


def test_a_network_that_sees_disease_is_not():
    test, traits, _ = cohort(gap=0, effect=3)
    age = np.where(np.isfinite(test.probabilities), 0.5, 0.5)
    found = confounding(test, traits, {"age": age})
    assert found.adjusted.auroc.low > 0.7
    assert found.matched.auroc.low > 0.6
    assert found.baselines[0].difference.low > 0
    assert not any("CHECK" in note for note in found.notes)


def test_patients_whom_a_baseline_does_not_know_are_left_out_of_both():
    test, traits, same = cohort(gap=8)
    part = np.where(np.arange(len(same))[:, None] < 60, np.nan, same)
    [found] = confounding(test, traits, {"age": part}).baselines
    assert found.patients == 50
    assert found.auroc == found.network
    assert confounding(test, traits, {"age": np.full_like(same, np.nan)}).baselines == []


def test_what_cannot_be_given_is_a_note():
    test, traits, _ = cohort(gap=80)
    found = confounding(test, traits, {}, ["the table's note"])
    assert found.adjusted is found.matched is None
    assert any(note.startswith("cannot be matched: 0 pairs of the same sex within 2 years among 40 diseased and 40 "
                               "healthy") for note in found.notes)
    assert any("no age-adjusted AUROC: too few of 40 diseased and 40 healthy" in note for note in found.notes)
    assert found.notes[0] == "the table's note"
    assert healthy_stage(["AD", "other"]) is None
    assert "no class is known to be healthy" in confounding(*cohort(8, names=["AD", "other"])[:2], {}).notes[0]
    assert "fewer than 5 healthy" in confounding(*cohort(8, count=8)[:2], {}).notes[0]


def test_a_scanner_that_goes_with_the_disease_is_exposed():
    test, traits, _ = cohort(gap=0)
    ill = test.rows("patient")[1] == 0
    traits.scanner[:] = np.where(ill, "Skyra", "Trio")
    traits.site[:] = np.where(np.arange(80) % 4 < 2, "A", "B")              # both have healthy and diseased patients
    assert [note for note in confounding(test, traits, {}).notes if "CHECK" in note] == [
        "CHECK: no scanner has both 5 healthy and 5 diseased test patients: the network may have learnt the scanner "
        "instead of the disease"]
    traits.scanner[:] = [str(k // 4) for k in range(80)]                    # many of few patients show nothing
    assert not any("CHECK" in note for note in confounding(test, traits, {}).notes)


def test_unknown_values_are_counted():
    test, traits, _ = cohort(gap=8)
    traits.age[:7] = np.nan
    traits.sex[:3] = None
    notes = confounding(test, traits, {}).notes
    assert "the age of 7 of 80 test patients is unknown: they are in no score by age" in notes
    assert "the sex of 3 of 80 test patients is unknown: they are in no score by sex" in notes
    assert not any("site" in note for note in notes)


def phantom(confounded, people=300):
    """Patients of the phantom, (id, stage) and traits, without drawing their slices."""
    drawn = [draw_person(0, number, Draws(0, number, 2), confounded) for number in range(people)]
    patients = [(person.subject, person.stage) for person in drawn]
    return patients, pd.DataFrame({"age": [person.age for person in drawn], "sex": [person.sex for person in drawn],
                                   "site": None, "scanner": None})


@pytest.mark.parametrize("confounded", [True, False])
def test_the_phantom_s_fault_age_is_exposed_and_the_sound_phantom_is_not_accused(confounded):
    patients, columns = phantom(confounded)
    stages = ["NonDemented", "VeryMildDemented", "MildDemented"]
    accused = messages(predictability(patients, stages, covariates(patients, columns)))
    assert [text[:9] for text in accused] == ["age alone"] * confounded
    p = 1 / (1 + np.exp(-(columns["age"].to_numpy() - 70) / 10))         # a network that sees age alone
    test = Predictions([one for one, _ in patients], [one for one, _ in patients],
                       np.array([stage for _, stage in patients]), np.stack([1 - p, p / 2, p / 2], axis=1), stages)
    found = confounding(test, of_patients(test, columns), {"age": test.probabilities})
    assert found.adjusted.auroc.value == pytest.approx(0.5, abs=1e-9)
    assert (found.adjusted.crude.low > 0.85) == confounded
    assert any("CHECK: age alone" in note for note in found.notes) == confounded
