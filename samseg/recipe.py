"""Comparison of a recipe with the one that a folder was written with."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from samseg import schema
from samseg.errors import RecipeError


def fingerprint(recipe: Mapping[str, Any]) -> str:
    """Return a hash of a recipe, 16 hex digits."""
    text = json.dumps(recipe, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def check_same(
    stored: Mapping[str, Any], wanted: Mapping[str, Any], folder: str, other: str
) -> None:
    """Check that two recipes determine the same rows; `schema` is not compared.

    Args:
        stored: the recipe that the folder was written with, completed with what later versions of
            samseg have added.
        wanted: the recipe of the config.
        folder: URI of what has the stored recipe, for the message.
        other: what to do to use another recipe, for the message.

    Raises:
        RecipeError: they differ; all differing keys are listed.
    """
    wanted = json.loads(json.dumps(wanted))
    differing = sorted(
        _differences(dict(stored) | {"schema": None}, dict(wanted) | {"schema": None})
    )
    if not differing:
        return
    lines = "\n".join(
        f"  {key}: the folder has {_short(stored)}, the config wants {_short(value)}"
        for key, stored, value in differing
    )
    weights = any(key == "weights_sha256" for key, *_ in differing)
    raise RecipeError(
        f"{folder} was written with another recipe, and a folder has only one:\n{lines}\n"
        f"{other}, or restore these values in the config."
        + (" weights_sha256 identifies the weights: use the same." if weights else "")
    )


def check_version(stored: Mapping[str, Any], uri: str) -> None:
    """Check that this version of samseg can read what was written with a recipe.

    Raises:
        RecipeError: a later version wrote it.
    """
    if stored.get("schema", 1) > schema.VERSION:
        raise RecipeError(
            f"{uri} was written by a later version of samseg (format {stored['schema']}, "
            f"this one knows {schema.VERSION}); update samseg"
        )


def _differences(found: Any, wanted: Any, at: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield (dotted key, found, wanted) for every leaf that differs."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        for key in found.keys() | wanted.keys():
            yield from _differences(found.get(key), wanted.get(key), f"{at}.{key}" if at else key)
    elif found != wanted:
        yield at, found, wanted


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 70 else text[:69] + "…"
