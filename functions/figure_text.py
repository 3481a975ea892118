"""Text in figures: names come from folders and files, so they are shown as they are written, and cut where too long."""

from matplotlib.figure import Figure
from matplotlib.text import Text

from functions.errors import printable

LONGEST = 32      # characters of a name in a figure


def as_written(figure: Figure) -> Figure:
    """The figure, no text of it (title, label, tick, legend) being read as mathematics or TeX: `$` is a dollar sign."""
    for text in figure.findobj(Text):
        text.set_parse_math(False)
        text.set_usetex(False)
    return figure


def short(name: object, longest: int = LONGEST) -> str:
    """A name that fits into a figure: printable, its middle left out where it is longer than `longest` characters."""
    text = printable(name)
    if len(text) <= longest:
        return text
    end = longest // 3
    return f"{text[:longest - end - 1]}…{text[-end:]}"
