"""YAML as people mean it: plain words stay words, a key stands once, and nothing is executed.

Of YAML 1.1 only what nobody stumbles over is kept. `22:22` is no number to the base of sixty, `off` and `no`
are words, `007` and `1.10` stay as they are written, and keys are always text.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from ductwork.errors import InvalidArgument

MAX_DEPTH = 50
_TOO_DEEP = f"it is nested more than {MAX_DEPTH} deep"

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MERGE = "tag:yaml.org,2002:merge"


class _Loader(_Base):  # type: ignore[misc]
    """A safe loader with few implicit types that refuses duplicate keys."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  (PyYAML's own form)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[str, Any]:  # noqa: ARG002
        """Read a mapping; `deep` has no meaning, all of it is read at once."""
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise _wrong("a key must be a plain word", key_node)
            if key_node.tag == _MERGE:
                merged = {**self._merged(value_node), **merged}
                continue
            if key_node.value in own:
                raise _wrong(f"key {key_node.value!r} stands here twice", key_node)
            own[key_node.value] = self.construct_object(value_node, deep=True)
        return {**merged, **own}

    def _merged(self, node: Any) -> dict[str, Any]:
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        merged: dict[str, Any] = {}
        for item in nodes:
            if not isinstance(item, yaml.MappingNode):
                raise _wrong("`<<` must name mappings", item)
            # Not construct_mapping: this one remembers nodes, so that anchors in anchors stay cheap.
            merged = {**self.construct_object(item, deep=True), **merged}
        return merged


def _map(loader: _Loader, node: Any) -> dict[str, Any]:
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:map", _map)
for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"0|-?[1-9][0-9]*", list("-0123456789")),
    ("merge", r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _first)


def load_yaml(text: str, file: str) -> object:
    """Read one YAML document.

    Raises:
        InvalidArgument: with file, line and what is wrong there.
    """
    try:
        _check_depth(text)
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark is not None else ""
        problem = error.problem or error.context or "it cannot be read"
        if "nesting depth" in problem:  # PyYAML 6.0.4 has a limit of its own
            problem = _TOO_DEEP
        hint = (
            "text with a tab in it must be indented by spaces" if "\\t" in problem else "see docs/topology.md"
        )
        raise InvalidArgument(f"{file}{line}: {problem}", hint=hint) from None
    except (yaml.YAMLError, ValueError) as error:
        raise InvalidArgument(f"{file}: {error}", hint="see docs/topology.md") from None


def _check_depth(text: str) -> None:
    """Refuse nesting that no topology has: the parser recurses on the C stack."""
    depth = 0
    for event in yaml.parse(text, Loader=_Base):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise _wrong(_TOO_DEEP, event)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _wrong(problem: str, at: Any) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, problem, at.start_mark)
