"""Answers as HTML, by the templates app_*.html.j2."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from functions.app.answer import Answer, Predictor, SliceAnswer
from functions.explain.faithfulness import Faithfulness
from functions.explain.overlay import gray_levels, overlay_figure
from functions.prediction.novelty import FALSE_ALARMS
from functions.prediction.rows import COLOUR, FEATURES, NO, UNKNOWN
from functions.reports.html_page import Picture, fragment, picture, thumbnails
from functions.runtime.errors import UserError

SEEN = {"pixels": "seen in training: this slice, or a copy of it",
        "patient": "seen in training: another slice of this patient"}
OUTSIDE = {COLOUR: "out of distribution: a colour image", FEATURES: "out of distribution: unlike the training slices"}
UNTESTED = "not tested yet: its tests of faithfulness are running"


@dataclass(frozen=True)
class Bar:
    """One class's probability, as text and as a share of the bar."""

    name: str
    probability: float
    largest: bool


@dataclass(frozen=True)
class SliceLine:
    """One slice in the list: its picture, its most probable class and its flags."""

    picture: Picture
    text: str
    flags: list[str]


def answer_html(answer: Answer, predictor: Predictor) -> str:
    """The patient's probabilities, warnings, and one line per slice and per error."""
    names, patient = predictor.class_names, answer.patient
    bars = [] if patient is None else [Bar(name, float(p), k == int(np.argmax(patient)))
                                       for k, (name, p) in enumerate(zip(names, patient, strict=True))]
    pictures = thumbnails([(_gray(found), found.name) for found in answer.read])
    lines = [SliceLine(shown, _most_probable(found, names), flags_of(found))
             for shown, found in zip(pictures, answer.read, strict=True)]
    return fragment("app_answer.html.j2", bars=bars, lines=lines, count=len(answer.read), warnings=_warnings(answer),
                    calibration=calibration(predictor), errors=[(found.name, found.error) for found in answer.slices
                                                                if found.error])


def message_html(text: str) -> str:
    """One line in place of an answer."""
    return fragment("app_message.html.j2", text=text)


def research_only_html() -> str:
    """The line that is always visible."""
    return fragment("app_only.html.j2")


def head_html(title: str, caveats: Sequence[str], facts: Sequence[str]) -> str:
    """The title, the caveats of the model's results, and facts about it."""
    return fragment("app_head.html.j2", title=title, caveats=caveats, facts=facts)


def notes_html(predictor: Predictor) -> str:
    """How the page's numbers are computed, and what they do not say."""
    reference = predictor.reference
    validation = len(reference.val_labels) if reference else 0
    return fragment("app_notes.html.j2", calibration=calibration(predictor), validation=validation,
                    false_alarms=f"{FALSE_ALARMS:.0%}", flagged=validation > 0, compared=reference is not None)


def map_html(found: SliceAnswer, shares: Tensor, caption: str, test: Faithfulness | None) -> str:
    """The overlay of one slice with its caption; `test` is None while it is computed."""
    assert found.image is not None
    caveat = UNTESTED if test is None else test.caveat
    figure = overlay_figure(found.image, shares, caption, caveat)
    result = caveat or "passes its tests of faithfulness: insertion, deletion, randomisation"
    return fragment("app_map.html.j2", picture=picture(figure, f"{found.name}: {caption}; {result}"), result=result,
                    wrong=test is not None and bool(test.caveat))


def similar_html(found: SliceAnswer, read_gray: Callable[[str], np.ndarray], typical: float | None) -> str:
    """The most similar training slices whose files are available, with class and distance."""
    shown = []
    for similar in found.similar:
        try:
            shown.append((read_gray(similar.path), similar))
        except (UserError, OSError):
            continue
    missing = len(found.similar) - len(shown)
    pictures = thumbnails([(pixels, similar.label) for pixels, similar in shown])
    lines = [(made, f"distance {similar.distance:.1f}") for made, (_, similar) in zip(pictures, shown, strict=True)]
    return fragment("app_similar.html.j2", name=found.name, shown=lines, missing=missing,
                    known=bool(found.similar), typical="" if typical is None else f"{typical:.1f}")


def flags_of(found: SliceAnswer) -> list[str]:
    """The slice's warnings: seen in training, out of distribution."""
    flags = [] if found.row.seen in (NO, UNKNOWN) else [SEEN[found.row.seen]]
    if found.row.outside not in (NO, UNKNOWN):
        ratio = f" ({found.row.novelty:.1f} times the threshold)" if found.row.outside == FEATURES else ""
        flags.append(OUTSIDE[found.row.outside] + ratio)
    return flags


def calibration(predictor: Predictor) -> str:
    """How the probabilities are calibrated, or that they are not."""
    if predictor.temperature is None:
        return "not calibrated: the model's validation slices are not available"
    assert predictor.reference is not None
    return (f"calibrated for slices: softmax(ln p / T) with temperature T = {predictor.temperature:.2f}, fitted to "
            f"{len(predictor.reference.val_labels):,} validation slices")


def _most_probable(found: SliceAnswer, names: Sequence[str]) -> str:
    assert found.probabilities is not None
    best = int(np.argmax(found.probabilities))
    return f"{names[best]} {found.probabilities[best]:.1%}"


def _gray(found: SliceAnswer) -> np.ndarray:
    assert found.image is not None
    return np.round(255 * gray_levels(found.image).mean(axis=2)).astype(np.uint8)


def _warnings(answer: Answer) -> list[str]:
    """Warnings about the answer as a whole, the gravest first."""
    total = len(answer.read)
    outside = sum(found.row.outside not in (NO, UNKNOWN) for found in answer.read)
    seen = sum(found.row.seen not in (NO, UNKNOWN) for found in answer.read)
    warnings = []
    if outside:
        warnings.append(f"out of distribution: {outside} of {total} slices, unlike those that the model was trained "
                        "on; their probabilities mean little, and the mean includes them")
    if seen:
        warnings.append(f"seen in training: {seen} of {total} slices; their probabilities do not show how well the "
                        "model does on new patients")
    return [*warnings, *answer.notes]
