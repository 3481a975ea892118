"""Classes that are stages of one disease: their order, from healthy to ill."""

from collections.abc import Sequence

from functions.errors import UserError

KNOWN = (
    ("nondemented", "verymilddemented", "milddemented", "moderatedemented"),
    ("nondemented", "verymild", "mild", "moderate"),
    ("cn", "smc", "emci", "mci", "lmci", "ad"),
    ("nc", "mci", "ad"),
)


def stage_order(class_names: Sequence[str], given: str | None = None) -> list[int] | None:
    """Class numbers from the mildest stage to the worst: as `given` ("A,B,C"), or by known names; None: no order known.

    ValueError if `given` is not exactly the classes.
    """
    if given is not None:
        names = [name.strip() for name in given.split(",")]
        if sorted(names) != sorted(class_names):
            raise UserError(f'--order "{given}" must name each class once: {",".join(class_names)}')
        return [list(class_names).index(name) for name in names]
    plain = ["".join(filter(str.isalpha, name.lower())) for name in class_names]
    for stages in KNOWN:
        if set(plain) <= set(stages):
            return sorted(range(len(plain)), key=lambda k: stages.index(plain[k]))
    return None
