"""The page: upload slices, then the answer, the map of one slice and the most similar training slices."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio
import numpy as np

from functions.app.answer import MAX_FILES, Answer, Predictor
from functions.app.environment import discard
from functions.app.fragments import (
    answer_html,
    head_html,
    map_html,
    message_html,
    notes_html,
    research_only_html,
    similar_html,
)
from functions.explain.attention import attention_layers
from functions.explain.faithfulness import faithfulness
from functions.explain.maps import METHODS, describe, explain
from functions.runtime.errors import UserError

# System fonts: Gradio's own themes would ask for web fonts.
THEME = gradio.themes.Default(font=[gradio.themes.Font("system-ui"), gradio.themes.Font("sans-serif")],
                              font_mono=[gradio.themes.Font("ui-monospace"), gradio.themes.Font("monospace")])
KEPT = 1800              # seconds that the last answer of a page is kept in memory
UNUSED = (60, 300)       # every 60 s, uploads without an answer are deleted that are older than 300 s
MEAN = -1                # the head's value for the mean over heads


class Uploads(gradio.File):
    """Gradio's file field, whose value is a list of uploaded paths; it downloads nothing and writes nothing itself."""

    def get_block_name(self) -> str:
        return "file"

    def preprocess(self, payload: Any) -> list[str]:
        """The paths of the uploaded files, which Gradio has checked to be in its upload folder."""
        return [] if payload is None else [file.path for file in payload]

    async def async_move_resource_to_block_cache(self, url_or_file_path: str | Path | None) -> str | None:
        """Gradio would download an address that stands in a file's place."""
        if str(url_or_file_path).startswith(("http://", "https://")):
            raise gradio.Error("addresses are not downloaded: upload the file", print_exception=False)
        return await super().async_move_resource_to_block_cache(url_or_file_path)
    from typing import Callable, Literal, Sequence, Any, TYPE_CHECKING
    from gradio.blocks import Block
    if TYPE_CHECKING:
        from gradio.components import Timer
        from gradio.components.base import Component


def build_page(predictor: Predictor, title: str, caveats: Sequence[str], facts: Sequence[str],
               read_gray: Callable[[str], np.ndarray], folder: Path) -> gradio.Blocks:
    """The page for one model; uploads are in `folder`, `read_gray` reads a training slice for its picture."""
    actions = Actions(predictor, read_gray, folder)
    with gradio.Blocks(title=title, analytics_enabled=False, delete_cache=UNUSED) as page:
        gradio.HTML(research_only_html(), elem_id="vd-only")
        gradio.HTML(head_html(title, caveats, facts))
        last = gradio.State(None, time_to_live=KEPT)
        files = Uploads(file_count="multiple", height=140,
                        label=f"Slices of one patient: one image file each, at most {MAX_FILES}")
        answer = gradio.HTML(elem_id="vd-answer")
        with gradio.Column(visible=False) as details:
            slice_choice = gradio.Dropdown([], label="Slice", interactive=True)
            with gradio.Row():
                with gradio.Column(scale=1):
                    choices = _map_choices(predictor)
                with gradio.Column(scale=2):
                    shown = gradio.HTML(elem_id="vd-map")
            similar = gradio.HTML(elem_id="vd-similar")
        gradio.HTML(notes_html(predictor))

        # One event at a time uses the model: maps are recorded by hooks in it.
        alone: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": 1}
        inputs = [last, slice_choice, *choices]
        files.upload(actions.predict, files, [last, answer, details, slice_choice, shown, similar, files],
                     api_name="predict", **alone
                     ).success(actions.show, inputs, [shown, similar], api_visibility="private", **alone)
        for choice in (slice_choice, *choices):
            choice.input(actions.show, inputs, [shown, similar], api_visibility="private", trigger_mode="always_last",
                         **alone)
        if choices:
            method, layer, head = choices
            method.input(lambda name: [gradio.update(visible=name == METHODS[0])] * 2, method, [layer, head],
                         api_visibility="private", queue=False)
    return page


def _map_choices(predictor: Predictor) -> list[Any]:
    """The fields for method, layer and head; none for a network without attention."""
    try:
        layers = attention_layers(predictor.model)
    except UserError:
        return []
    count, heads = len(layers), layers[-1].num_heads
    return [gradio.Radio(list(METHODS), value="rollout", label="Map"),
            gradio.Dropdown([(f"{k + 1} of {count}", k) for k in range(count)], value=count - 1, label="Layer",
                            visible=False, interactive=True),
            gradio.Dropdown([("mean over heads", MEAN), *((f"{k + 1} of {heads}", k) for k in range(heads))],
                            value=MEAN, label="Head", visible=False, interactive=True)]


class Actions:
    """What the page does with uploads and choices."""

    def __init__(self, predictor: Predictor, read_gray: Callable[[str], np.ndarray], folder: Path):
        self.predictor, self.read_gray, self.folder = predictor, read_gray, folder

    def predict(self, paths: list[str]) -> tuple:
        """(answer, its HTML, details shown or not, slices to choose from, no map, no similar slices, no files).

        The files are deleted.
        """
        try:
            answer = self.predictor.answer(paths)
        except UserError as error:
            return None, message_html(str(error)), gradio.update(visible=False), gradio.update(), "", "", None
        finally:
            discard(paths, self.folder)
        names = [(f"{number}: {found.name}", number - 1) for number, found in enumerate(answer.read, start=1)]
        return (answer, answer_html(answer, self.predictor), gradio.update(visible=bool(names)),
                gradio.update(choices=names, value=0 if names else None, visible=len(names) > 1), "", "", None)

    def show(self, answer: Answer | None, number: int | None, method: str = "rollout", layer: int | None = None,
             head: int | None = None) -> Iterator[tuple[str, str]]:
        """The map of one slice, first without and then with its tests of faithfulness, and the similar slices."""
        if answer is None or number is None or not 0 <= number < len(answer.read):
            yield "", ""
            return
        found, reference = answer.read[number], self.predictor.reference
        similar = similar_html(found, self.read_gray, reference.typical_distance if reference else None)
        model, image = self.predictor.model, found.image[None].to(self.predictor.extract.device)
        one = method == METHODS[0]
        chosen = {"layer": layer if one else None, "head": head if one and head != MEAN else None}
        try:
            shares, caption = explain(model, image, method, **chosen), describe(model, method, **chosen)
        except UserError as error:
            yield message_html(f"no map: {error}"), similar
            return
        yield map_html(found, shares[0], caption, None), similar
        shares, [test] = faithfulness(model, image, method, **chosen)
        yield map_html(found, shares[0], caption, test), similar