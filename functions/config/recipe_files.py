"""A recipe file → its content, with everything refused that YAML allows and a list of settings has no use for."""

import re
from pathlib import Path

import yaml

from functions.runtime.errors import UserError

MOST_BYTES = 100_000      # a recipe has some dozen lines


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader that reads values as the text that is written, all but true, false and null (of YAML 1.2).

    YAML 1.1 makes 90 of 1:30, 8 of 010, 15 of 0xf, True of yes and a date of 2024-01-01; a setting's own reader takes
    the text as it takes a flag's. There are no tags, no aliases, whose nesting grows exponentially, no repeated keys.
    """

    yaml_implicit_resolvers = {}        # filled below

    def compose_node(self, parent, index):
        event = self.peek_event()
        line = f"line {event.start_mark.line + 1}"
        if isinstance(event, yaml.AliasEvent):
            raise yaml.YAMLError(f"{line} refers to another value (*name), which recipes have no use for")
        if event.tag is not None:
            raise yaml.YAMLError(f"{line} has a tag ({event.tag}), which recipes have no use for: leave it out")
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
    """The content of a YAML file, {} for an empty one; UserError, naming the file, for what is not plain YAML."""
    if path.stat().st_size > MOST_BYTES:
        raise UserError(f"recipe {path} has {path.stat().st_size:,} bytes, more than the {MOST_BYTES:,} of any recipe: "
                        "name a YAML file of settings")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"recipe {path} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise UserError(f"recipe {path} is not a UTF-8 text ({error.reason} at byte {error.start}): save it as UTF-8"
                        ) from None
    try:
        return yaml.load(text, _Loader) or {}  # noqa: S506 - a SafeLoader
    except RecursionError:
        raise UserError(f"recipe {path} is nested too deeply: a recipe is one 'name: value' a line") from None
    except Exception as error:      # of a wrong tag PyYAML's constructors raise IndexError, AttributeError, KeyError, …
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"recipe {path} is not YAML: {reason[:300]}") from None
