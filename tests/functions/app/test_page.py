import asyncio
import inspect
from dataclasses import replace
from pathlib import Path

import gradio
import numpy as np
import pytest
from torchvision.models import resnet18

from functions.app.page import MEAN, Actions, build_page, upload_field
from functions.explain.overlay_files import METHOD

SKIPPED = gradio.skip()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "uploads").mkdir()
    return tmp_path / "uploads"


@pytest.fixture
def actions(predictor, folder):
    return Actions(predictor, lambda path: np.zeros((16, 12), np.uint8), folder)


@pytest.fixture
def uploaded(folder, new):
    def moved(name, seed):
        path = folder / str(seed) / name
        path.parent.mkdir()
        return str(Path(new(name, seed)).rename(path))

    return moved


def test_uploads_are_deleted_after_the_answer_also_of_what_cannot_be_predicted(actions, uploaded, folder, monkeypatch):
    two = [uploaded("a.png", 1), uploaded("b.png", 2)]
    answer, html, details, slices, overlay, similar, files = actions.predict(two)
    assert (len(answer.read), details["visible"], overlay, similar, files) == (2, True, "", "", None)
    assert slices["choices"] == [("1: a.png", 0), ("2: b.png", 1)]
    assert slices["visible"]
    assert list(folder.iterdir()) == []
    many = [uploaded(f"{seed}.png", seed) for seed in range(3, 70)]
    answer, html, details, *_ = actions.predict(many)
    assert (answer, details["visible"]) == (None, False)
    assert "67 files at once" in html
    assert list(folder.iterdir()) == []
    path = uploaded("c.png", 100)
    broken = Actions(replace(actions.predictor, read=lambda paths: 1 / 0), actions.read_gray, folder)
    with pytest.raises(ZeroDivisionError):
        broken.predict([path])
    assert list(folder.iterdir()) == []


def test_a_new_map_makes_the_one_before_stale_and_its_test_changes_nothing(actions, new, drawn_maps):
    answer = actions.predictor.answer([new("a.png", 1), new("b.png", 2)])
    first, overlay, similar = actions.show(None, answer, 0)
    target = int(answer.read[0].probabilities.argmax())
    assert first.choice == {"method": METHOD, "layer": None, "head": None, "target": target}
    assert f"a.png: relevance for {actions.predictor.class_names[target]};" in overlay
    assert similar.count("<figure>") == 5
    second, overlay, _ = actions.show(first, answer, 1, "attention", 0, MEAN)
    assert (first.stale, second.stale) == (True, False)
    assert second.choice == {"method": "attention", "layer": 0, "head": None, "target": None}
    assert second.found.name == "b.png"
    assert "b.png: attention, layer 1 of 2, mean of 3 heads;" in overlay
    assert actions.test(first) == SKIPPED
    assert actions.test(None) == SKIPPED
    assert "not tested yet" not in actions.test(second)
    third, overlay, _ = actions.show(second, answer, 1, "rollout", 0, 1)
    assert third.choice == {"method": "rollout", "layer": None, "head": None, "target": None}


@pytest.fixture
def drawn_maps(monkeypatch):
    """Figures are a blank pixel: drawing is most of the time."""
    from tests.conftest import leave_blank
    leave_blank(monkeypatch.setattr)


def test_nothing_is_shown_for_a_slice_that_there_is_not(actions, new):
    answer = actions.predictor.answer([new("a.png", 1)])
    for chosen in ((None, 0), (answer, None), (answer, 1), (answer, -1)):
        assert actions.show(None, *chosen) == (None, "", "")


def test_a_network_without_attention_says_so_in_place_of_the_map(predictor, new, folder):
    network = replace(predictor, model=resnet18(num_classes=3).eval())
    actions = Actions(network, lambda path: np.zeros((16, 12), np.uint8), folder)
    answer = predictor.answer([new("a.png", 1)])
    request, overlay, similar = actions.show(None, answer, 0)
    assert request is None
    assert "no map: attention maps need a Vision Transformer: ResNet has no self-attention" in overlay
    assert similar.count("<figure>") == 5
    labels = {block.label for block in build_page(actions, "title", [], []).blocks.values() if hasattr(block, "label")}
    assert "Slice" in labels
    assert not labels & {"Map", "Layer", "Head"}


def test_an_address_in_a_files_place_is_not_downloaded():
    with gradio.Blocks():
        uploads = upload_field("files")
    for address in ("http://127.0.0.1:1/x.png", "https://example.com/x.png"):
        with pytest.raises(gradio.Error, match="addresses are not downloaded"):
            asyncio.run(uploads.async_move_resource_to_block_cache(address))
    assert uploads.preprocess(None) == []
    assert list(Path(inspect.getfile(Actions)).parent.glob("*.pyi")) == [], "Gradio writes one for each subclass"
