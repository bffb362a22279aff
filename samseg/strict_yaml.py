"""YAML that loses nothing silently: a key given twice is an error."""

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


class _Loader(yaml.SafeLoader):
    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Compose a section, in which each key stands once."""
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            name = (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else key
            if name in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key.value!r} is given twice", problem_mark=key.start_mark
                )
            seen.add(name)
        return node
