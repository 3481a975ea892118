"""Escapes terminal codes in printed text: file names, class names and messages of other programs are data."""

import re
from typing import TextIO

from functions.runtime.errors import printable


class SafeOutput:
    """A text stream that writes control and invisible characters as escapes (`\\x1b`), except line breaks and tabs."""

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
