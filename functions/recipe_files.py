"""A recipe file → its content, with everything refused that YAML allows and a list of settings has no use for."""

from pathlib import Path

import yaml

from functions.errors import UserError

MOST_BYTES = 100_000      # a recipe has some dozen lines


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader without aliases, whose nesting grows exponentially, and without repeated keys."""

    def compose_node(self, parent, index):
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.YAMLError(f"line {mark.line + 1} refers to another value (*name), which recipes have no use for")
        return super().compose_node(parent, index)

    def construct_mapping(self, node, deep=False):
        keys = set()
        for key, _ in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else id(key)
            if name in keys:
                raise yaml.YAMLError(f'line {key.start_mark.line + 1} gives "{name}" a second time')
            keys.add(name)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path):
    """The content of a YAML file, {} for an empty one; UserError, naming the file, for what is not plain YAML."""
    if path.stat().st_size > MOST_BYTES:
        raise UserError(f"recipe {path} has {path.stat().st_size:,} bytes, more than the {MOST_BYTES:,} of any recipe: "
                        "name a YAML file of settings")
    try:
        text = path.read_text(encoding="utf-8-sig")
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
