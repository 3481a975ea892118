"""UserError, which scripts print as one line, and text that is safe to print. Imports nothing from the project."""

import os
import stat


class UserError(ValueError):
    """Invalid user input: a flag, a file, a folder or its content.

    The message is one line: what is wrong, which file or flag, and what to do. Scripts print it and exit with code 2;
    any other exception is a bug and prints a traceback (`functions.runtime.exits.one_line_errors`).
    """

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of a traceback: one line in a notebook, too."""
        return [f"error: {printable(self)}"]


def printable(text: object) -> str:
    r"""One line that is safe to print: control and invisible characters, and line breaks, become escapes like `\x1b`.

    File names, class names and messages of other programs may contain terminal escape codes. A file name may contain
    bytes that are not text; they are printed as `\xff`.
    """
    return "".join(letter if letter.isprintable() else _escape(letter) for letter in str(text))


def is_decoded(text: str) -> bool:
    """Whether a file name or an argument was decoded; Python represents undecodable bytes as lone surrogates."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def text_fault(text: str, most: int | None = None) -> str:
    """What is wrong with a text out of a file, "" if nothing is: no UTF-8, a NUL in it, longer than `most`."""
    if not text.isascii() and not is_decoded(text):
        return "contains a lone surrogate, which is not valid Unicode: it cannot be written in UTF-8"
    if "\0" in text:
        return "contains a NUL"
    return f"has {len(text):,} characters, more than {most:,}" if most is not None and len(text) > most else ""


def _escape(letter: str) -> str:
    if "\udc80" <= letter <= "\udcff":              # a byte that the file system's encoding could not decode
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return letter.encode("unicode_escape").decode("ascii")


def not_a_file(path: str | os.PathLike[str]) -> str:
    """The reason, for a message, why `path` is not a regular file; "" if it is one. (Opening a pipe would block.)"""
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):                 # ValueError: a NUL in the name
        link = os.readlink(os.fspath(path)) if os.path.islink(path) else ""
        return f"a broken link to {link}" if link else "no such file"
    except OSError as error:
        return f"not accessible ({error.strerror})"
    if stat.S_ISREG(mode):
        return ""
    if stat.S_ISDIR(mode):
        return "a folder, not a file"
    kinds = ((stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"))
    kind = next((name for is_kind, name in kinds if is_kind(mode)), "a device")
    return f"{kind}, not a regular file: save its content in one"
