"""The one error that is shown to the user as a single line. Imports nothing: every package may raise it."""


class UserError(ValueError):
    """The user's input is wrong: a flag, a file, a folder or its content.

    The message is one line: what is wrong, which file or flag, and what to do. Scripts print it and exit with code 2;
    every other exception is a bug and ends with its traceback (`functions.exits.one_line_errors`).
    """
