"""Text in figures: names from folders and files are shown literally and truncated if they are too long.

All plotting modules import Matplotlib's classes from here. Matplotlib reads the user's matplotlibrc on its first
import; a damaged file is a UserError, and the figures of scripts ignore it.
"""

import logging

from functions.runtime.errors import UserError, printable
from functions.runtime.exits import in_script

log = logging.getLogger("matplotlib")
log.setLevel(logging.CRITICAL if in_script() else log.level)      # warnings about settings that scripts ignore
try:
    import matplotlib as mpl
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle
    from matplotlib.text import Text
except UnicodeError as error:
    raise UserError(f"Matplotlib cannot read its settings, matplotlibrc in this folder or in the user's ({error}): "
                    "write it in UTF-8, or remove or rename it") from None
if in_script():
    mpl.rcdefaults()
    log.setLevel(logging.NOTSET)

__all__ = ["Axes", "Figure", "Rectangle", "as_written", "mpl", "short"]
LONGEST = 32      # characters of a name in a figure


def as_written(figure: Figure) -> Figure:
    """The figure with mathtext and TeX disabled in all texts, so that `$` is a dollar sign."""
    for text in figure.findobj(Text):
        text.set_parse_math(False)
        text.set_usetex(False)
    return figure


def short(name: object, longest: int = LONGEST) -> str:
    """A printable name, with its middle omitted if it is longer than `longest` characters."""
    text = printable(name)
    if len(text) <= longest:
        return text
    end = longest // 3
    return f"{text[:longest - end - 1]}…{text[-end:]}"
