import pytest
import yaml

from functions.exporting.card import Card, check_license, render_card
from functions.exporting.preparation import Preparation
from functions.runtime.errors import UserError

PREPARATION = Preparation((24, 18), "fit", 1.0, "bilinear", (0.3,), (0.2,))
DESCRIPTION = {"class_names": ["AD", "C|N*"], "caveats": ["LEAKY <b>SPLIT"], "steps": PREPARATION.steps(),
               "output": {"probabilities": "softmax"}, "network": {"kind": "ViTConfig"}}
FILES = {"model.onnx": "1.2 MB", "model.safetensors": "1.1 MB"}


def card(**changes):
    return Card(**{"title": "mine", "description": DESCRIPTION, "preparation": PREPARATION, "files": FILES,
                   "license": "mit"} | changes)


def header(text):
    _, between, rest = text.split("---\n", 2)
    return yaml.safe_load(between), rest


def test_the_hubs_header_and_the_warning_come_first():
    found, rest = header(render_card(card()))
    assert found == {"license": "mit", "library_name": "transformers", "pipeline_tag": "image-classification",
                     "tags": ["vision-transformer", "medical", "brain-mri", "dementia", "research-only"]}
    assert rest.strip().startswith("# mine\n\n**Research only, not a diagnosis.**")
    assert "> **LEAKY &lt;b>SPLIT**" in rest, "caveats are escaped, and stand before everything else"
    assert rest.index("LEAKY") < rest.index("## Files")


def test_a_licence_that_is_not_stated_is_called_so_and_a_resnet_is_no_transformer():
    found, _ = header(render_card(card(license="other", files={"model.onnx": ""},
                                       description=DESCRIPTION | {"network": {"model": "resnet18"}})))
    assert (found["license"], found["license_name"], found["library_name"]) == ("other", "not-stated", "onnx")
    assert found["tags"][0] == "resnet"
    assert "library_name" not in header(render_card(card(files={"model.pt2": ""})))[0]


def test_classes_steps_files_and_how_to_load_them_are_there_and_escaped():
    text = render_card(card(deviations=["first of two", "second"], scores=["``` 40 patients: AUROC 0.8"],
                            items=[["Intended use", "a|b"]]))
    assert r"Classes, in the order of the logits: AD, C\|N\*." in text
    assert PREPARATION.code() in text
    assert "1. read as 8-bit gray" in text
    assert "| `model.onnx` | 1.2 MB |" in text
    assert "session.run" in text
    assert "ViTForImageClassification" in text
    assert "torch.export.load" not in text, "there is no such file"
    assert "- first of two\n- second" in text
    assert "\n    ``` 40 patients: AUROC 0.8\n" in text, "a line cannot end its block"
    assert r"| Intended use | a\|b |" in text
    assert "CLAIM 2024" in text


def test_without_a_run_there_are_neither_scores_nor_items():
    text = render_card(card())
    assert "Not known here" in text
    assert "CLAIM" not in text
    assert "cannot express" not in text


@pytest.mark.parametrize("name", ["MIT!", "", "a b", "x\ny", "mit\nevil: true", "-", "a" * 60])
def test_what_is_no_licence_identifier_is_refused(name):
    with pytest.raises(UserError, match="^--license .*not an identifier of the Hub"):
        check_license(name)
    assert check_license("cc-by-nc-4.0") == "cc-by-nc-4.0"
