"""The one error that is shown to the user as a single line, and text that is safe to show. Imports nothing of ours."""


class UserError(ValueError):
    """The user's input is wrong: a flag, a file, a folder or its content.

    The message is one line: what is wrong, which file or flag, and what to do. Scripts print it and exit with code 2;
    every other exception is a bug and ends with its traceback (`functions.exits.one_line_errors`).
    """


def printable(text: object) -> str:
    r"""One line that is safe to print: control and invisible characters, line breaks too, as escapes such as `\x1b`.

    A file name, a class name or another program's message may hold terminal escape codes; a file name may hold bytes
    that are no text (they appear as `\xff`).
    """
    return "".join(letter if letter.isprintable() else _escape(letter) for letter in str(text))


def is_decoded(text: str) -> bool:
    """Whether a file name or an argument is text: bytes that Python could not decode stand in it as lone surrogates."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _escape(letter: str) -> str:
    if "\udc80" <= letter <= "\udcff":              # a byte that the file system's encoding could not decode
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return letter.encode("unicode_escape").decode("ascii")
