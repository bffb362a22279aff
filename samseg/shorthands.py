"""What a config and its overrides may leave out: names for kinds, default kinds, `null`.

exports: [coco, png]        each name is a `kind`
reader: {uri: photos}       the kind is `folder`
masks:                      `null`, also of a section whose keys are comments: as if left out
"""

import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from samseg.errors import ConfigError
from samseg.mistakes import kind_of, sections_in
from samseg.strict_yaml import read_yaml

_DEFAULT_KINDS = {"reader": "folder", "engine": "ray"}
"""Kinds of sections that leave `kind` out, by key. Others have none: `cluster.fit.min_size=3` must
not turn the strategy of an existing folder into another one."""


def overridden(
    tree: dict[str, Any], overrides: Sequence[str], model: type[BaseModel]
) -> dict[str, Any]:
    """Return a copy of a config with `section.key=value` overrides.

    The value of a setting that holds text is taken as typed, so that `reader.uri=/data/Roll #3`
    needs no quotes of YAML; `null` unsets it. All other values are YAML.

    Args:
        tree: the config.
        overrides: applied in their order.
        model: what the config should be.

    Raises:
        ConfigError: an override has another form, or replaces what an earlier one has set.
    """
    earlier: list[list[str]] = []
    for text in overrides:
        dotted, equals, value = text.partition("=")
        keys = dotted.strip().split(".")
        if not equals or not all(keys):
            raise ConfigError(
                f"override {text!r} is not of the form section.key=value, "
                "for example model.checkpoint=vit_h"
            )
        for other in earlier:
            if other[: len(keys)] == keys:
                raise ConfigError(
                    f"override {text!r} replaces {'.'.join(other)}, which is given before it; "
                    "give each key once, and a section before its keys"
                )
        earlier.append(keys)
        if value != "null" and _is_text([model], keys):
            tree = _with_leaf(tree, keys, value)
        else:
            tree = _with_leaf(tree, keys, read_yaml(value, f"the value of override {text!r}"))
    return tree


def written_out(tree: Mapping[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """Return a copy of a section without shorthands; what is mistaken stays as it is.

    Args:
        tree: the section.
        model: what it should be.
    """
    full: dict[str, Any] = {}
    for key, value in tree.items():
        field = model.model_fields.get(key)
        if field is None:
            full[key] = value
        elif value is not None or _accepts_none(field.annotation):
            full[key] = _value_written_out(value, sections_in(field.annotation), key)
    return full


def _value_written_out(value: Any, models: Sequence[type[BaseModel]], key: str) -> Any:
    if isinstance(value, list) and models:
        return [_value_written_out(each, models, "") for each in value]
    kinds = {kind_of(model): model for model in models} if len(models) > 1 else {}
    if isinstance(value, str) and kinds:
        return {"kind": value}
    if not isinstance(value, dict) or not models:
        return value
    if kinds and "kind" not in value and key in _DEFAULT_KINDS:
        value = {"kind": _DEFAULT_KINDS[key], **value}
    found = kinds.get(_hashable(value.get("kind"))) if kinds else models[0]
    return value if found is None else written_out(value, found)


def _is_text(models: Sequence[type[BaseModel]], keys: Sequence[str]) -> bool:
    """Return whether the setting at a path holds text in every section that has it."""
    found = [m.model_fields[keys[0]].annotation for m in models if keys[0] in m.model_fields]
    if len(keys) > 1:
        return _is_text([m for each in found for m in sections_in(each)], keys[1:])
    return bool(found) and all(map(_holds_text, found))


def _holds_text(annotation: Any) -> bool:
    parts = typing.get_args(annotation)
    if typing.get_origin(annotation) is typing.Annotated:
        return _holds_text(parts[0])
    if typing.get_origin(annotation) is typing.Literal:
        return all(isinstance(part, str) for part in parts)
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return all(part is type(None) or _holds_text(part) for part in parts)
    return annotation in (str, Path)


def _hashable(kind: Any) -> str | None:
    return kind if isinstance(kind, str) else None


def _accepts_none(annotation: Any) -> bool:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, typing.Annotated):
        return any(_accepts_none(part) for part in typing.get_args(annotation))
    return annotation is type(None) or annotation is Any


def _with_leaf(tree: Any, keys: Sequence[str], leaf: Any) -> dict[str, Any]:
    """Return a copy of `tree` with `leaf` at the path `keys`."""
    copy = dict(tree) if isinstance(tree, dict) else {}
    if isinstance(tree, str):
        copy["kind"] = tree
    copy[keys[0]] = leaf if len(keys) == 1 else _with_leaf(copy.get(keys[0]), keys[1:], leaf)
    return copy
