"""The rows of the comparison, fixed in advance: weights, what is trained, input."""

from typing import NamedTuple

from benchmarks.transfer.fine_tuning import Training

NATIVE = {"vit_ti_16": (208, 176), "vit_s_14": (210, 182), "vit_b_16": (208, 176)}      # next multiples of the patch

VIEWS = 5


class Source(NamedTuple):
    """Frozen features: the network, the blocks after which token statistics are computed, and the number of views.

    Features of a slice are means over the slice and `views - 1` augmented views of it.
    """

    training: Training
    blocks: tuple[int, ...] = (9, 12)
    views: int = 1


def _source(model: str, weights: str, whole: bool, views: int = 1) -> Source:
    return Source(Training(model, weights, NATIVE[model] if whole else (224, 224), whole=whole), views=views)


SOURCES: dict[str, Source] = {
    f"{name}_{'native' if whole else '224'}": _source(model, weights, whole)
    for name, model, weights in (("ti", "vit_ti_16", "ti"), ("ti_random", "vit_ti_16", "random"),
                                 ("s14", "vit_s_14", "s14"), ("s14_random", "vit_s_14", "random"))
    for whole in (True, False)
} | {"ti_224_views": _source("vit_ti_16", "ti", False, VIEWS),
     "s14_native_views": _source("vit_s_14", "s14", True, VIEWS)}


def _tuned(model: str, weights: str, trained: str = "all", whole: bool = True, **changes) -> Training:
    decay = {} if weights != "random" else {"layer_decay": 1.0}
    return Training(model, weights, NATIVE[model] if whole else (224, 224), trained, whole=whole, **decay | changes)


TRAININGS: dict[str, Training] = {
    "ti_all": _tuned("vit_ti_16", "ti"),
    "ti_random_all": _tuned("vit_ti_16", "random"),
    "s14_all": _tuned("vit_s_14", "s14"),
    "s14_random_all": _tuned("vit_s_14", "random"),
    "ti_last2": _tuned("vit_ti_16", "ti", "last:2"),
    "ti_random_last2": _tuned("vit_ti_16", "random", "last:2"),
    "s14_last2": _tuned("vit_s_14", "s14", "last:2"),
    "ti_all_224": _tuned("vit_ti_16", "ti", whole=False),
    "b16_random_all": _tuned("vit_b_16", "random"),
}
