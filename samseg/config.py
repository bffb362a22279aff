"""The config of a night: one frozen model, read from YAML, with all mistakes reported at once.

    output: s3://bucket/labels
    reader: {kind: folder, uri: s3://bucket/photos}
    model: {checkpoint: vit_h}

All other keys have defaults. `load` reads a file and applies `section.key=value` overrides.
Importing this module loads neither torch nor ray.
"""

import difflib
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator

from samseg import schema
from samseg.clustering.settings import ClusterSettings
from samseg.engine import EngineSpec, RayPool
from samseg.errors import ConfigError
from samseg.exporters import Exporter
from samseg.features import EfficientNetLite0Embedding, NamedEmbedding
from samseg.pooling import Coverage, Pooling
from samseg.readers import Reader
from samseg.readers.decode import DecodePolicy
from samseg.sam.settings import MaskSettings, ModelSpec
from samseg.shipped import found_or_shipped
from samseg.spec import Spec

AnySpec = TypeVar("AnySpec", bound=Spec)

_CONSEQUENCE = "default_factory_not_called"
"""Pydantic's error for a default that depends on another key, where that one is mistaken."""


class Config(Spec):
    """All settings of a night.

    Attributes:
        output: root of the output folder: a local path, `s3://`, `gs://` or `az://`.
        reader: where the images are and how they are packed.
        decode: how a file's bytes become the pixels given to the model.
        model: the checkpoint and the device it runs on.
        masks: automatic mask generation, with the names of `SamAutomaticMaskGenerator`.
        pooling: how SAM's features under a mask become the embedding in `masks`.
        embeddings: further embeddings of every mask, each in a table of its own; `[]` for none. The
            default holds for new output folders: an existing one keeps those that it has.
        cluster: how classes are fitted and when.
        exports: formats written after clustering.
        engine: where the work runs.
    """

    output: str = Field(min_length=1)
    reader: Reader
    decode: DecodePolicy = DecodePolicy()
    model: ModelSpec = ModelSpec()
    masks: MaskSettings = MaskSettings()
    pooling: Pooling = Coverage()
    embeddings: tuple[NamedEmbedding, ...] = (EfficientNetLite0Embedding(),)
    cluster: ClusterSettings = ClusterSettings()
    exports: tuple[Exporter, ...] = ()
    engine: EngineSpec = RayPool()

    @field_validator("embeddings")
    @classmethod
    def _one_of_each_name(
        cls, embeddings: tuple[NamedEmbedding, ...]
    ) -> tuple[NamedEmbedding, ...]:
        names = [e.name for e in embeddings]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two embeddings are named {twice[0]!r}; give each its own `name`")
        return embeddings

    def to_yaml(self) -> str:
        """Return the resolved config as YAML, all defaults included."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def recipe_of(config: Config, weights_sha256: str, masks: MaskSettings) -> dict[str, Any]:
    """Return all values that determine an embedding.

    Args:
        config: the config of the night.
        weights_sha256: digest of the checkpoint.
        masks: the mask settings with the checkpoint's defaults filled in.
    """
    settings = masks.model_dump(mode="json")
    settings.pop("points_per_batch")  # affects speed and memory, not masks
    return {
        "schema": schema.VERSION,
        "weights_sha256": weights_sha256,
        "decode": config.decode.model_dump(mode="json"),
        "precision": config.model.precision,
        "prompts": "grid",
        "masks": settings,
        "pooling": config.pooling.model_dump(mode="json"),
    }


def load(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read the config of a night and apply `section.key=value` overrides (values are YAML).

    Raises:
        ConfigError: the file cannot be read or contains mistakes; all of them are listed.
    """
    return load_as(Config, path, overrides)


def load_as(model: type[AnySpec], path: str | Path, overrides: Sequence[str] = ()) -> AnySpec:
    """Read a config file of any model; see `load`.

    Raises:
        ConfigError: the file cannot be read or contains mistakes; all of them are listed.
    """
    try:
        text = found_or_shipped(Path(path)).read_text(encoding="utf-8")
    except OSError as e:
        raise ConfigError(
            f"cannot read the config {path}: {e.strerror}; check the path, or write a config with "
            "`samseg init`"
        ) from e
    try:
        tree = yaml.safe_load(text)
    except yaml.YAMLError as e:
        raise ConfigError(f"{path} is not valid YAML: {e}") from e
    if not isinstance(tree, dict):
        raise ConfigError(f"{path} contains {type(tree).__name__}, wanted `key: value` lines")
    return parse_as(model, tree, overrides, source=str(path))


def parse(tree: dict[str, Any], overrides: Sequence[str] = (), source: str = "config") -> Config:
    """Validate the config of a night given as nested dicts; see `load`."""
    return parse_as(Config, tree, overrides, source)


def parse_as(
    model: type[AnySpec], tree: dict[str, Any], overrides: Sequence[str], source: str
) -> AnySpec:
    """Validate settings of any model, given as nested dicts; see `load`.

    Raises:
        ConfigError: they contain mistakes; all of them are listed.
    """
    for text in overrides:
        tree = _override(tree, text)
    try:
        return model.model_validate(tree)
    except ValidationError as e:
        errors = [error for error in e.errors(include_url=False) if error["type"] != _CONSEQUENCE]
        mistakes = [_explain(dict(error), model) for error in errors]
        count = f"{len(mistakes)} mistakes" if len(mistakes) > 1 else "1 mistake"
        raise ConfigError("\n  ".join([f"{source}: {count}", *mistakes])) from e


def _override(tree: dict[str, Any], text: str) -> dict[str, Any]:
    dotted, equals, value = text.partition("=")
    keys = dotted.strip().split(".")
    if not equals or not all(keys):
        raise ConfigError(
            f"override {text!r} is not of the form section.key=value, "
            "for example model.checkpoint=vit_h"
        )
    try:
        leaf = yaml.safe_load(value)
    except yaml.YAMLError as e:
        raise ConfigError(f"override {text!r}: the value is not valid YAML") from e
    return _with_leaf(tree, keys, leaf)


def _with_leaf(tree: Any, keys: Sequence[str], leaf: Any) -> dict[str, Any]:
    """Return a copy of `tree` with `leaf` at the path `keys`."""
    copy = dict(tree) if isinstance(tree, dict) else {}
    copy[keys[0]] = leaf if len(keys) == 1 else _with_leaf(copy.get(keys[0]), keys[1:], leaf)
    return copy


def _explain(error: dict[str, Any], root: type[BaseModel]) -> str:
    """Return one line: the key, the mistake, and the probable intention."""
    location, section = _locate(error["loc"], root)
    kind, got = error["type"], error["input"]
    if kind == "extra_forbidden":
        return (
            f"{location}: unknown key{_did_you_mean(location.rsplit('.', 1)[-1], _keys(section))}"
        )
    if kind == "missing":
        return f"{location}: missing, and it has no default"
    if kind == "union_tag_invalid":
        wanted = [tag.strip(" '") for tag in error["ctx"]["expected_tags"].split(",")]
        tag = str(error["ctx"]["tag"])
        return f"{location}.kind: got {tag!r}{_did_you_mean(tag, wanted)}"
    if kind == "union_tag_not_found":
        return f"{location}.kind: missing, and it has no default"
    if kind == "literal_error":
        return f"{location}: got {got!r}, wanted {error['ctx']['expected']}"
    message = error["msg"].removeprefix("Value error, ")
    return f"{location}: {message[0].lower()}{message[1:]}" + (
        "" if isinstance(got, dict | list) else f" (got {got!r})"
    )


def _did_you_mean(word: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; valid here: {', '.join(known)}"


def _keys(model: type[BaseModel] | None) -> list[str]:
    return list(model.model_fields) if model else []


def _locate(loc: Sequence[str | int], root: type[BaseModel]) -> tuple[str, type[BaseModel] | None]:
    """Convert pydantic's location to a dotted key, and find the section of its last key.

    Pydantic includes the tag of a union (`reader.folder.uri`) in the location; it is not a key.
    """
    path: list[str] = []
    models: list[type[BaseModel]] = [root]
    section: type[BaseModel] | None = root
    for step in loc:
        tagged = [m for m in models if len(models) > 1 and _tag(m) == step]
        if tagged:
            models, section = tagged, tagged[0]
        elif isinstance(step, int):
            path.append(str(step))
        else:
            path.append(step)
            section = models[0] if len(models) == 1 else None
            field = section.model_fields.get(step) if section else None
            models = _models_in(field.annotation) if field else []
    return ".".join(path), section


def _tag(model: type[BaseModel]) -> Any:
    field = model.model_fields.get("kind")
    return field.default if field else None


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, typing.Annotated, tuple):
        return [m for part in typing.get_args(annotation) for m in _models_in(part)]
    return []
