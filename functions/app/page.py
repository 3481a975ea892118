"""The page: upload slices, then the answer, the map of one slice and the most similar training slices."""

from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
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
from functions.app.map_tests import MapRequest, MapTests
from functions.explain.attention import attention_layers
from functions.explain.maps import METHODS, describe
from functions.explain.overlay_files import METHOD
from functions.runtime.errors import UserError

# System fonts: Gradio's own themes would ask for web fonts.
THEME = gradio.themes.Default(font=[gradio.themes.Font("system-ui"), gradio.themes.Font("sans-serif")],
                              font_mono=[gradio.themes.Font("ui-monospace"), gradio.themes.Font("monospace")])
KEPT = 1800              # seconds that the last answer of a page is kept in memory
MEAN = -1                # the head's value for the mean over heads


def upload_field(label: str) -> gradio.File:
    """Gradio's field for files, whose value is a list of uploaded paths; it downloads nothing and writes nothing.

    Two methods are replaced on the instance, for Gradio writes a .pyi file beside the module of each subclass.
    """
    field = gradio.File(file_count="multiple", height=150, label=label)
    move = field.async_move_resource_to_block_cache

    async def move_uploads_only(url_or_file_path: str | Path | None) -> str | None:
        if str(url_or_file_path).startswith(("http://", "https://")):
            raise gradio.Error("addresses are not downloaded: upload the file", print_exception=False)
        return await move(url_or_file_path)

    def paths_of(payload: Any) -> list[str]:           # Gradio has checked that they are in its upload folder
        return [] if payload is None else [file.path for file in payload]

    field.async_move_resource_to_block_cache = move_uploads_only                # type: ignore[method-assign]
    field.preprocess = paths_of                                                 # type: ignore[method-assign]
    return field


def build_page(actions: "Actions", title: str, caveats: Sequence[str], facts: Sequence[str]) -> gradio.Blocks:
    """The page for one model, with the caveats of its results and facts about it."""
    with gradio.Blocks(title=title, analytics_enabled=False) as page:
        gradio.HTML(research_only_html(), elem_id="vd-only")
        gradio.HTML(head_html(title, caveats, facts))
        last, shown = (gradio.State(None, time_to_live=KEPT) for _ in range(2))
        files = upload_field(f"Slices of one patient, at most {MAX_FILES} files")
        with gradio.Row():
            with gradio.Column(min_width=300):
                answer = gradio.HTML(elem_id="vd-answer")
            with gradio.Column(visible=False, min_width=300) as details:
                slice_choice = gradio.Dropdown([], label="Slice", interactive=True)
                choices = _map_choices(actions.predictor)
                overlay = gradio.HTML(elem_id="vd-map")
        similar = gradio.HTML(elem_id="vd-similar")
        gradio.HTML(notes_html(actions.predictor))

        # One event at a time uses the model; tests of maps use a copy.
        model: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": 1}
        private: dict[str, Any] = {"api_visibility": "private"}
        uploaded = files.upload(actions.predict, files, [last, answer, details, slice_choice, overlay, similar, files],
                                api_name="predict", **model)
        latest: dict[str, Any] = {"trigger_mode": "always_last"}
        for event, mode in [(uploaded.success, {}), *((choice.input, latest) for choice in (slice_choice, *choices))]:
            event(actions.show, [shown, last, slice_choice, *choices], [shown, overlay, similar], **model, **private,
                  **mode).success(actions.test, shown, overlay, concurrency_id="tests", concurrency_limit=1,
                                  show_progress="hidden", **private)
        if choices:
            method, layer, head = choices
            method.input(lambda name: [gradio.update(visible=name == "attention")] * 2, method, [layer, head],
                         queue=False, **private)
    return page


def _map_choices(predictor: Predictor) -> list[Any]:
    """The fields for method, layer and head; none for a network without attention."""
    try:
        layers = attention_layers(predictor.model)
    except UserError:
        return []
    count, heads = len(layers), layers[-1].num_heads
    return [gradio.Radio(list(METHODS), value=METHOD, label="Map"),
            gradio.Dropdown([(f"{k + 1} of {count}", k) for k in range(count)], value=count - 1, label="Layer",
                            visible=False, interactive=True),
            gradio.Dropdown([("mean over heads", MEAN), *((f"{k + 1} of {heads}", k) for k in range(heads))],
                            value=MEAN, label="Head", visible=False, interactive=True)]


class Actions:
    """What the page does with uploads and choices; `folder` holds the uploads.

    `read_gray` reads a training slice for its picture.
    """

    def __init__(self, predictor: Predictor, read_gray: Callable[[str], np.ndarray], folder: Path):
        self.predictor, self.read_gray, self.folder = predictor, read_gray, folder
        self.tests = MapTests(predictor.model)
        self.busy = Lock()       # of the model: maps are recorded by hooks in it

    def close(self) -> None:
        """Waits for what is running: a program that ends while torch computes is aborted."""
        self.tests.close()
        with self.busy:
            pass

    def predict(self, paths: list[str]) -> tuple:
        """(answer, its HTML, details shown or not, slices to choose from, no map, no similar slices, no files).

        The files are deleted.
        """
        try:
            with self.busy:
                answer = self.predictor.answer(paths)
        except UserError as error:
            return None, message_html(str(error)), gradio.update(visible=False), gradio.update(), "", "", None
        finally:
            discard(paths, self.folder)
        names = [(f"{number}: {found.name}", number - 1) for number, found in enumerate(answer.read, start=1)]
        return (answer, answer_html(answer, self.predictor), gradio.update(visible=bool(names)),
                gradio.update(choices=names, value=0 if names else None, visible=len(names) > 1), "", "", None)

    def show(self, before: MapRequest | None, answer: Answer | None, number: int | None, method: str = METHOD,
             layer: int | None = None, head: int | None = None) -> tuple[MapRequest | None, str, str]:
        """(what is shown, the map of one slice before its tests, the similar slices); `before` was shown before."""
        if before is not None:
            before.stale = True
        if answer is None or number is None or not 0 <= number < len(answer.read):
            return None, "", ""
        found, reference = answer.read[number], self.predictor.reference
        similar = similar_html(found, self.read_gray, reference.typical_distance if reference else None)
        assert found.probabilities is not None
        request = MapRequest(found, method)
        if method == "attention":
            request = MapRequest(found, method, layer, None if head == MEAN else head)
        elif method == "relevance":
            request = MapRequest(found, method, target=int(found.probabilities.argmax()))
        try:
            with self.busy:
                shares = self.tests.map(request)
        except UserError as error:
            return None, message_html(f"no map: {error}"), similar
        return request, map_html(found, shares, self.caption(request), None), similar

    def caption(self, request: MapRequest) -> str:
        """For instance "relevance for AD"."""
        name = describe(self.predictor.model, request.method, request.layer, request.head)
        return name if request.target is None else f"{name} for {self.predictor.class_names[request.target]}"

    def test(self, request: MapRequest | None) -> Any:
        """The map with its tests of faithfulness; no change if it is no longer shown."""
        tested = None if request is None else self.tests.test(request)
        if request is None or tested is None or request.stale:
            return gradio.skip()
        shares, test = tested
        return map_html(request.found, shares, self.caption(request), test)
