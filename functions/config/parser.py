"""The command line of a training script: one flag per setting, one-line errors. Does not import torch."""

import argparse
import difflib
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from functions.config.settings import Script, Setting, format_value, subjects_source
from functions.runtime import exits
from functions.runtime.errors import is_decoded, printable


class OneLineParser(argparse.ArgumentParser):
    """An ArgumentParser with one-line errors, suggestions for misspelt flags, and --traceback."""

    def __init__(self, **options):
        super().__init__(allow_abbrev=False, **options)
        self.add_argument("--traceback", action=ShowTracebacks, help="print the traceback of user errors too")

    def parse_args(self, args=None, namespace=None):
        exits.set_flags(self._option_string_actions)
        args = sys.argv[1:] if args is None else args
        for flag, text in [*zip(("", *args), args, strict=False), ("", str(Path.cwd()))]:
            if not is_decoded(text):
                named = f"{flag} " if flag.startswith("--") else ""
                self.error(f"{named}{text} is not UTF-8, or the locale cannot encode it: rename it, or set the "
                           "environment variable PYTHONUTF8=1")
        for before, text in zip(("", *args), args, strict=False):
            if not text.strip() or re.fullmatch(r"--\w+=\s*", text):       # Path("") would be the working folder
                flag = text.partition("=")[0].strip() or (before if before.startswith("--") else "an argument")
                self.error(f"{flag} has no value: is a shell variable unset?")
        return super().parse_args(args, namespace)

    def error(self, message: str):
        if unknown := re.match(r"unrecognized arguments: (.*)", message, re.DOTALL):
            message += suggestion(unknown[1].split(), self._option_string_actions)
        self.exit(2, f"error: {printable(' '.join(message.split()))} (--help lists every flag)\n")


def suggestion(given: Iterable[str], known: Iterable[str]) -> str:
    """"; did you mean --epochs?" for the first given flag that resembles a known one; "" if none does."""
    known = {flag.lower().lstrip("-"): flag for flag in known}
    for word in given:
        name = word.partition("=")[0].lower().lstrip("-").replace("-", "_")
        if word.startswith("-") and (close := difflib.get_close_matches(name, known, 1)):
            return f"; did you mean {known[close[0]]}?"
    return ""


class ShowTracebacks(argparse.Action):
    """--traceback: adds nothing to the namespace, because it is not a setting of a run."""

    def __init__(self, option_strings, dest, default=None, help=None):
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, parser, namespace, values, option_string=None):
        exits.show_tracebacks()


class OnOff(argparse.BooleanOptionalAction):
    """--cache and --no-cache, and also --no_cache, the spelling of the other flags."""

    def __init__(self, option_strings, dest, **options):
        super().__init__(option_strings, dest, **options)
        self.option_strings = [*self.option_strings, f"--no_{dest}"]

    def __call__(self, parser, namespace, values, option_string=None):
        setattr(namespace, self.dest, not option_string.startswith(("--no-", "--no_")))


def make_parser(description: str, script: Script) -> argparse.ArgumentParser:
    """The command line with one flag per setting; flags that are not given are absent from the namespace."""
    parser = OneLineParser(description=description, argument_default=argparse.SUPPRESS)
    for title, group in script.groups.items():
        flags = parser.add_argument_group(title)
        for setting in group:
            default = "" if setting.default is None else f" [{format_value(setting.default)}]"
            kind = {"action": OnOff} if setting.convert is bool else {"type": setting.convert}
            text = (setting.help + default).replace("%", "%%")
            flags.add_argument(f"--{setting.name}", help=text, **kind, **_metavar(setting))
    special = parser.add_argument_group("recipes and resuming")
    recipes = f"recipes/{script.recipe}"
    if script.demo_recipe != script.recipe:
        recipes += f"; recipes/{script.demo_recipe} for the phantom"
    special.add_argument("--recipe", type=Path, metavar="FILE",
                         help=f"YAML file of settings; flags override it [{recipes}]")
    special.add_argument("--resume", type=Path, metavar="RUN", help="continue this run after its last finished epoch")
    return parser


def _metavar(setting: Setting) -> dict:
    return {} if setting.convert is bool else {"metavar": "FILE" if setting.convert in (Path, subjects_source) else "X"}
