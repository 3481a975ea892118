"""Text in figures: names come from folders and files, so they are shown as they are written, and cut where too long.

Every module that draws takes `Figure` from here. Matplotlib reads the user's matplotlibrc when it is first imported: a
damaged one is the user's error, and the figures of scripts follow none.
"""

import logging

from functions.runtime.errors import UserError, printable
from functions.runtime.exits import in_script

log = logging.getLogger("matplotlib")
log.setLevel(logging.CRITICAL if in_script() else log.level)      # about settings that no script follows
try:
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.text import Text
except UnicodeError as error:
    raise UserError(f"Matplotlib cannot read its settings, matplotlibrc in this folder or in the user's ({error}): "
                    "write it in UTF-8, or move it away") from None
if in_script():
    mpl.rcdefaults()
    log.setLevel(logging.NOTSET)

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
