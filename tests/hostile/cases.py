"""All inputs, kind after kind."""

from collections.abc import Iterator

from tests.hostile import (
    checkpoints,
    clinical_tables,
    flags,
    folders,
    images,
    predictions,
    recipes,
    records,
    tables,
    tools,
    weights,
)
from tests.hostile.bench import Bench, Case


def all_cases(bench: Bench) -> Iterator[Case]:
    """Every input, always in the same order."""
    for module in (images, folders, tables, recipes, flags, records, checkpoints, weights, tools, predictions,
                   clinical_tables):
        yield from module.cases(bench)
