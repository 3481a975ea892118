"""Reads a recipe file in a restricted YAML: no tags, no aliases, no repeated keys."""

import re
from pathlib import Path

import yaml

from functions.runtime.errors import UserError

MAX_BYTES = 100_000       # a recipe has a few dozen lines


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which reads all values as text except true, false and null (as in YAML 1.2).

    YAML 1.1 reads 1:30 as 90, 010 as 8, 0xf as 15, yes as True and 2024-01-01 as a date. Here each setting converts
    the text as it does for a flag. Tags, aliases (whose nesting can grow exponentially) and repeated keys are errors.
    """

    yaml_implicit_resolvers: dict = {}        # filled below

    def compose_node(self, parent, index):
        event = self.peek_event()
        line = f"line {event.start_mark.line + 1}"
        if isinstance(event, yaml.AliasEvent):
            raise yaml.YAMLError(f"{line} refers to another value (*name), which recipes do not support")
        if event.tag is not None:
            raise yaml.YAMLError(f"{line} has a tag ({event.tag}), which recipes do not support: remove it")
        return super().compose_node(parent, index)

    def construct_mapping(self, node, deep=False):
        keys = set()
        for key, _ in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else id(key)
            if name in keys:
                raise yaml.YAMLError(f'line {key.start_mark.line + 1} gives "{name}" a second time')
            keys.add(name)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"(true|True|TRUE|false|False|FALSE)\Z"), [*"tTfF"])
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"(~|null|Null|NULL|)\Z"), ["~", "n", "N", ""])


def read_yaml(path: Path):
    """The content of a YAML file, {} if it is empty; raises UserError, naming the file, if it is not plain YAML."""
    if path.stat().st_size > MAX_BYTES:
        raise UserError(f"recipe {path} has {path.stat().st_size:,} bytes, more than the limit of {MAX_BYTES:,}: "
                        "name a YAML file of settings")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"recipe {path} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise UserError(f"recipe {path} is not UTF-8 text ({error.reason} at byte {error.start}): save it as UTF-8"
                        ) from None
    try:
        return yaml.load(text, _Loader) or {}  # noqa: S506 - a SafeLoader
    except RecursionError:
        raise UserError(f"recipe {path} is nested too deeply: a recipe has one 'name: value' per line") from None
    except Exception as error:      # PyYAML's constructors raise IndexError, AttributeError, KeyError, … for wrong tags
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"recipe {path} is not YAML: {reason[:300]}") from None
