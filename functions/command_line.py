"""The command line of a training script: every setting a flag, and one line for what is wrong with it. No torch."""

import argparse
from pathlib import Path

from functions.errors import printable
from functions.settings import Script, Setting, in_words


class OneLineParser(argparse.ArgumentParser):
    """An ArgumentParser that says what is wrong in one line."""

    def error(self, message: str):
        self.exit(2, f"error: {printable(message)} (--help lists every flag)\n")


class OnOff(argparse.BooleanOptionalAction):
    """--cache and --no-cache, and --no_cache, as the other flags are spelt."""

    def __init__(self, option_strings, dest, **options):
        super().__init__(option_strings, dest, **options)
        self.option_strings = [*self.option_strings, f"--no_{dest}"]

    def __call__(self, parser, namespace, values, option_string=None):
        setattr(namespace, self.dest, not option_string.startswith(("--no-", "--no_")))


def make_parser(description: str, script: Script) -> argparse.ArgumentParser:
    """The command line: every setting a flag; what is not given is absent, so that a recipe can speak."""
    parser = OneLineParser(description=description, argument_default=argparse.SUPPRESS, allow_abbrev=False)
    for title, group in script.groups.items():
        flags = parser.add_argument_group(title)
        for setting in group:
            default = "" if setting.default is None else f" [{in_words(setting.default)}]"
            how = {"action": OnOff} if setting.convert is bool else {"type": setting.convert}
            text = (setting.help + default).replace("%", "%%")
            flags.add_argument(f"--{setting.name}", help=text, **how, **_metavar(setting))
    special = parser.add_argument_group("recipes and resuming")
    recipes = f"recipes/{script.recipe}"
    if script.demo_recipe != script.recipe:
        recipes += f"; recipes/{script.demo_recipe} for the phantom"
    special.add_argument("--recipe", type=Path, metavar="FILE",
                         help=f"YAML of settings; flags go before it [{recipes}]")
    special.add_argument("--resume", type=Path, metavar="RUN", help="a run folder: go on after its last finished epoch")
    return parser


def _metavar(setting: Setting) -> dict:
    return {} if setting.convert is bool else {"metavar": "FILE" if setting.convert is Path else "X"}
