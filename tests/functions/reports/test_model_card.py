import pandas as pd

from functions.reports.model_card import NOT_STATED, model_card

RECORD = {"settings": {"model": "vit_ti_16", "demo": False, "lr": 0.001}, "preprocessing": {"size": [16, 12]},
          "class_names": ["AD", "CN"], "stamps": ["LEAKY SPLIT"],
          "versions": {"torch": "2.15"}, "notes": ["by patient"]}
SPLIT = pd.DataFrame({"path": ["a", "b", "c"], "class": "AD", "subject": ["1", "1", "2"],
                      "split": ["train", "train", "test"]})


def card(split=SPLIT, evaluated=False, **settings):
    return dict(model_card(RECORD | {"settings": RECORD["settings"] | settings}, split, evaluated))


def test_the_card_says_at_which_level_partitions_are_disjoint():
    level = "Level at which partitions are disjoint"
    assert card()[level] == "patients: disjoint"
    assert card(SPLIT.assign(subject=""))[level] == "patients unknown"
    assert card(SPLIT.assign(subject="1"))[level] == "slices: 1 patients are in several partitions"
    assert card()["Partitions"] == "test 1 patients, train 1 patients"


def test_what_a_program_cannot_know_is_not_stated():
    found = card()
    for item in ("Data source", "De-identification", "External validation", "Funding, conflicts of interest"):
        assert found[item] == NOT_STATED
    assert found["Caveats"] == "LEAKY SPLIT"
    assert "phantom" in card(demo=True)["Data source"]
    assert "evaluate.py" in found["Failure analysis"]
    assert "above" in card(evaluated=True)["Failure analysis"]


def test_the_card_of_a_run_with_a_clinical_table_does_not_deny_its_scores_by_age():
    subgroups = "Robustness, subgroups, fairness"
    assert "no score is corrected for age" in card(evaluated=True)["Age, sex, ethnicity and comorbidity"]
    assert card(evaluated=True)[subgroups] == NOT_STATED
    found = card(evaluated=True, table="clinical.csv")
    assert "no score" not in found["Age, sex, ethnicity and comorbidity"]
    assert found[subgroups].startswith("above: scores by age, sex")
    assert "evaluate.py" in card(table="clinical.csv")[subgroups]


def test_the_card_names_the_intervals_that_are_computed():
    found = card()["Uncertainty"]
    assert "Wilson, MOVER, Newcombe" in found
    assert "resampling" not in found


def test_the_sizes_of_a_vit_are_told_where_they_are_known():
    sizes = {"num_transformer_layer": 4, "embedding_dim": 64, "num_heads": 2, "mlp_size": 128, "patch_size": 8}
    assert card(**sizes)["Model"].startswith("vit_ti_16 with L = 4, D = 64, 2 heads, MLP 128, P = 8, images")
    hybrid = card(**sizes | {"model": "r50_vit_b_16", "patch_size": 16})["Model"]
    assert hybrid.startswith("r50_vit_b_16 with L = 4, D = 64, 2 heads, MLP 128, pixels per token of the hybrid = 16")
    assert card(embedding_dim=None)["Model"].startswith("vit_ti_16, images")


def test_a_record_without_preprocessing_still_has_a_card():
    record = {name: value for name, value in RECORD.items() if name != "preprocessing"}
    assert dict(model_card(record, SPLIT, False))["Preprocessing"] == NOT_STATED
