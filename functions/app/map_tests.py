"""Tests of a map's faithfulness beside the predictions, on a copy of the model; one that is no longer wanted ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from threading import Event, Lock
from typing import Any

from torch import Tensor, nn

from functions.app.answer import SliceAnswer
from functions.explain.faithfulness import Faithfulness, faithfulness
from functions.explain.maps import explain


@dataclass
class MapRequest:
    """The map that a page shows: of which slice, by which method, layer and head, for which class (`target`).

    `stale` is True once the page shows another one.
    """

    found: SliceAnswer
    method: str
    layer: int | None = None
    head: int | None = None
    target: int | None = None
    stale: bool = False

    @property
    def choice(self) -> dict[str, Any]:
        """The arguments of `explain`."""
        return {"method": self.method, "layer": self.layer, "head": self.head, "target": self.target}


class Outdated(Exception):
    """The result of a test is no longer wanted."""


class MapTests:
    """Maps of `model`, and their tests, one at a time, on a copy of it: maps and predictions need not wait for them.

    A test takes some 500 forward passes of one image.
    """

    def __init__(self, model: nn.Module):
        self.model, self.copy = model, deepcopy(model)
        self.device = next(model.parameters()).device
        self.closed = Event()
        self.busy = Lock()

    def map(self, request: MapRequest) -> Tensor:
        """The map (H/P, W/P). Raises UserError like `explain`."""
        return explain(self.model, self._image(request), **request.choice)[0]

    def test(self, request: MapRequest) -> tuple[Tensor, Faithfulness] | None:
        """(the map, its test); None if the request became stale, or after `close`."""
        try:
            with self.busy, self._interrupted(request):
                maps, tests = faithfulness(self.copy, self._image(request), **request.choice)
        except Outdated:
            return None
        return maps[0], tests[0]

    def close(self) -> None:
        """Ends the test that is running, and waits for its end."""
        self.closed.set()
        with self.busy:
            pass

    def _image(self, request: MapRequest) -> Tensor:
        assert request.found.image is not None
        return request.found.image[None].to(self.device)

    @contextmanager
    def _interrupted(self, request: MapRequest) -> Iterator[None]:
        """Raises Outdated at the next forward pass of the copy, or of a copy of it, that is not wanted."""
        def check(*_: object) -> None:
            if request.stale or self.closed.is_set():
                raise Outdated

        check()
        hook = self.copy.register_forward_pre_hook(check)
        try:
            yield
        finally:
            hook.remove()
