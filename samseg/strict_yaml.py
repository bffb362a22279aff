"""YAML that loses nothing silently: a key given twice is an error.

YAML takes ` #` in a value for a comment: `uri: /data/Roll #3` is `/data/Roll`. That is an error if
the uncut text is a path that exists, and of a path or URI a warning if no space follows the `#`.
"""

import logging
import os
import re
from typing import Any

import yaml

from samseg.errors import ConfigError


def read_yaml(text: str, source: str) -> Any:
    """Return the value that a YAML text describes.

    Args:
        text: one document.
        source: where it comes from, for messages.

    Raises:
        ConfigError: it is not valid YAML, gives a key of one section twice, holds a value that
            does not exist (the 45th of May), or contains itself.
    """
    try:
        loader = _Loader(text)
        loader.name = source
        node = loader.get_single_node()
        # deep: a list or section that contains itself is an error of the constructor
        return None if node is None else loader.construct_object(node, deep=True)
    except RecursionError as e:
        raise ConfigError(f"{source} is not valid YAML: it is nested too deeply") from e
    except (yaml.YAMLError, ValueError) as e:
        raise ConfigError(f"{source} is not valid YAML: {e}") from e


_LOG = logging.getLogger(__name__)

_PLACES = ("uri", "output", "checkpoint")
"""Keys of paths and URIs."""


class _Loader(yaml.SafeLoader):
    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Compose a section, in which each key stands once."""
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, value in node.value:
            name = (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else key
            if name in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key.value!r} is given twice", problem_mark=key.start_mark
                )
            seen.add(name)
            if isinstance(value, yaml.ScalarNode) and value.style is None:
                _check_comment(key.value, value)
        return node


def _check_comment(key: Any, value: yaml.ScalarNode) -> None:
    """Check that the comment after a value without quotes is no part of it.

    Raises:
        MarkedYAMLError: the value with the comment, or its first words, is a path that exists.
    """
    mark = value.end_mark
    line = re.compile(r"[^\n\r\0]*").match(mark.buffer or "", mark.pointer)
    comment = line[0].rstrip() if line else ""
    if not re.match(r"[ \t]+#", comment):
        return
    ends = [m.start() for m in re.finditer(r"[ \t]+#", comment)][1:]
    for uncut in (value.value + comment[:end] for end in (*ends, len(comment))):
        advice = f"YAML takes what follows ` #` for a comment; write {key}: {uncut!r} with quotes"
        # pathlib raises for names that are too long
        if os.path.exists(os.path.expanduser(uncut)):  # noqa: PTH110, PTH111
            raise yaml.MarkedYAMLError(problem=f"{uncut} exists, but {advice}", problem_mark=mark)
    if key in _PLACES and re.match(r" #[^\s#]", comment):
        _LOG.warning(
            "%s, line %d: %s is read as %r. If the rest belongs to it: %s",
            *(mark.name, mark.line + 1, key, value.value, advice),
        )
