"""What is printed holds no terminal codes of others: file names, class names and other programs' messages are data."""

import re
from typing import TextIO

from functions.runtime.errors import printable


class SafeOutput:
    """A text stream that writes control and invisible characters as escapes (`\\x1b`); line ends and tabs stay."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(re.sub(r"[^\r\n\t]+", lambda match: printable(match[0]), text))
        return len(text)

    def writelines(self, lines) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str):
        return getattr(self._stream, name)
