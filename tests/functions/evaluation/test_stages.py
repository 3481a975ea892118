import unicodedata

import pytest

from functions.evaluation.stages import are_of_dementia, healthy_stage, order_hint, stage_order


@pytest.mark.parametrize("names", [        # from healthy to ill
    ["NonDemented", "VeryMildDemented", "MildDemented", "ModerateDemented"],
    ["Non_Demented", "Very_Mild_Demented", "Mild_Demented", "Moderate_Demented"],
    ["Non Demented", "Very mild Dementia", "Mild Dementia", "Moderate Dementia"],
    ["No Impairment", "Very Mild Impairment", "Mild Impairment", "Moderate Impairment"],
    ["nondemented", "very mild", "mild", "moderate", "severe"],
    ["Final CN JPEG", "Final EMCI JPEG", "Final MCI JPEG", "Final LMCI JPEG", "Final AD JPEG"],
    ["CN", "SMC", "EMCI", "MCI", "LMCI", "AD"], ["CN", "MCI", "AD"], ["NC", "MCI", "AD"], ["NL", "MCI", "Dementia"],
    ["CN", "CI", "AD"], ["HC", "sMCI", "pMCI", "AD"], ["Normal", "Mild Cognitive Impairment", "Alzheimer's Disease"],
    ["Cognitively Normal", "Early MCI", "Late MCI", "Alzheimer’s Disease"], ["Nondemented", "Converted", "Demented"],
    ["Control", "Alzheimer"], ["Non_Demented", "Mild_Demented"], ["CDR 0", "CDR 0.5", "CDR 1", "CDR 2"],
    ["0", "0.5", "1"], ["cdr_0", "cdr_0_5", "cdr_3"], ["normal", "abnormal"], ["Healthy", "Diseased"],
    ["controls", "patients"], ["No_Stenosis", "stenosis"], ["without stenosis", "mild stenosis", "severe stenosis"],
])
def test_the_stages_of_the_usual_sets_are_ordered_from_healthy_to_ill(names):
    by_name = sorted(names)
    assert [by_name[k] for k in stage_order(by_name)] == names
    assert by_name[healthy_stage(by_name)] == names[0]


@pytest.mark.parametrize("names", [["left", "right"], ["0", "1", "2", "3"], ["AD", "CN", "FTD"],
                                   ["AD", "Alzheimer", "CN"], ["Mild", "Mild Dementia", "CN"], ["a", "AD"],
                                   ["non small cell", "small cell"], ["0", "1"], ["node", "nose"],
                                   ["negative", "positive"]])
def test_no_order_is_guessed_and_a_hint_says_how_to_give_one(names):
    assert stage_order(names) is None
    assert f"--order '{','.join(names)}'" in order_hint(names)
    assert "'a,\"b,c\"'" in order_hint(["a", "b,c"])


def test_dementia_is_known_by_names_that_no_other_disease_has():
    for names in (["NonDemented", "mild"], ["CN", "AD"], ["normal", "MCI"], ["CDR 0", "CDR 1"], ["0", "0.5"]):
        assert are_of_dementia(names), names
    for names in (["normal", "abnormal"], ["normal", "mild", "very mild", "moderate", "severe"], ["0", "1", "2"],
                  ["no stenosis", "stenosis"], ["control", "patient"]):
        assert not are_of_dementia(names), names


def test_an_order_can_be_given_and_must_be_whole():
    assert stage_order(["a", "b", "c"], "c, a,b") == [2, 0, 1]
    for wrong in ("a,b", "a,b,c,d", "a,a,b", ""):
        with pytest.raises(ValueError, match="must name each class once: a,b,c"):
            stage_order(["a", "b", "c"], wrong)


def test_class_names_with_commas_can_be_ordered():
    names = ["CN", "Mild, early", "Mild, late"]
    assert stage_order(names, "CN,Mild, early,Mild, late") == [0, 1, 2]
    assert stage_order(names, 'Mild, late , "Mild, early",CN') == [2, 1, 0]
    assert stage_order(["a", "a,b", "b"], 'a,"a,b",b') == [0, 1, 2]
    with pytest.raises(ValueError, match='must name each class once: a,"a,b",b'):
        stage_order(["a", "a,b", "b"], "a,b,a,b")          # "a,b" a b, or a b "a,b"


def test_an_order_may_be_typed_in_another_unicode_form():
    composed, decomposed = (unicodedata.normalize(form, "légère") for form in ("NFC", "NFD"))
    assert stage_order(["CN", composed], f"CN,{decomposed}") == [0, 1]
    assert stage_order(["CN", decomposed], f"{composed},CN") == [1, 0]
