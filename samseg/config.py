"""The config of a night: one frozen model, read from YAML, every mistake reported at once.

    output: s3://bucket/labels
    reader: {kind: folder, uri: s3://bucket/photos}
    model: {checkpoint: vit_h}

Everything else has a default. `load` reads a file and applies `section.key=value` overrides.
Importing this module loads neither torch nor ray.
"""

import difflib
import hashlib
import json
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, Field, ValidationError

from samseg import schema
from samseg.clustering.settings import ClusterSettings
from samseg.engine import EngineSpec, RayPool
from samseg.errors import ConfigError
from samseg.exporters import Exporter
from samseg.pooling import Coverage, Pooling
from samseg.readers import Reader
from samseg.readers.decode import DecodePolicy
from samseg.sam.settings import MaskSettings, ModelSpec
from samseg.spec import Spec

AnySpec = TypeVar("AnySpec", bound=Spec)


class Config(Spec):
    """Everything a night needs to know.

    Attributes:
        output: root of the output folder: a local path, `s3://`, `gs://` or `az://`.
        reader: where the images are and how they are packed.
        decode: what becomes of a file's bytes before the model sees them.
        model: the checkpoint and the device it runs on.
        masks: automatic mask generation, under `SamAutomaticMaskGenerator`'s own names.
        pooling: how an embedding is made from the features under a mask.
        cluster: how classes are found and kept.
        exports: formats written after clustering.
        engine: where the work runs.
    """

    output: str = Field(min_length=1)
    reader: Reader
    decode: DecodePolicy = DecodePolicy()
    model: ModelSpec = ModelSpec()
    masks: MaskSettings = MaskSettings()
    pooling: Pooling = Coverage()
    cluster: ClusterSettings = ClusterSettings()
    exports: tuple[Exporter, ...] = ()
    engine: EngineSpec = RayPool()

    def to_yaml(self) -> str:
        """Write the config as resolved: every default spelled out."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def recipe_of(config: Config, weights_sha256: str, masks: MaskSettings) -> dict[str, Any]:
    """Return everything that determines an embedding.

    Args:
        config: the config of the night.
        weights_sha256: digest of the checkpoint.
        masks: the settings as they will be used, the checkpoint's own defaults filled in.
    """
    settings = masks.model_dump(mode="json")
    settings.pop("points_per_batch")  # decides speed and memory, not masks
    return {
        "schema": schema.VERSION,
        "weights_sha256": weights_sha256,
        "decode": config.decode.model_dump(mode="json"),
        "precision": config.model.precision,
        "prompts": "grid",
        "masks": settings,
        "pooling": config.pooling.model_dump(mode="json"),
    }


def fingerprint(recipe: Mapping[str, Any]) -> str:
    """Return 16 hex digits that name a recipe."""
    text = json.dumps(recipe, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def load(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read the config of a night and apply `section.key=value` overrides (values are YAML).

    Raises:
        ConfigError: the file cannot be read, or holds mistakes; all of them are listed.
    """
    return load_as(Config, path, overrides)


def load_as(model: type[AnySpec], path: str | Path, overrides: Sequence[str] = ()) -> AnySpec:
    """Read a file that holds any kind of config; see `load`.

    Raises:
        ConfigError: the file cannot be read, or holds mistakes; all of them are listed.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as e:
        raise ConfigError(f"cannot read the config {path}: {e.strerror}; check the path") from e
    try:
        tree = yaml.safe_load(text)
    except yaml.YAMLError as e:
        raise ConfigError(f"{path} is not valid YAML: {e}") from e
    if not isinstance(tree, dict):
        raise ConfigError(f"{path} holds {type(tree).__name__}, wanted `key: value` lines")
    return _parse_as(model, tree, overrides, source=str(path))


def parse(tree: dict[str, Any], overrides: Sequence[str] = (), source: str = "config") -> Config:
    """Validate the config of a night given as nested dicts; see `load`."""
    return _parse_as(Config, tree, overrides, source)


def _parse_as(
    model: type[AnySpec], tree: dict[str, Any], overrides: Sequence[str], source: str
) -> AnySpec:
    for text in overrides:
        tree = _override(tree, text)
    try:
        return model.model_validate(tree)
    except ValidationError as e:
        found = [_explain(dict(error), model) for error in e.errors(include_url=False)]
        many = f"{len(found)} mistakes" if len(found) > 1 else "1 mistake"
        raise ConfigError("\n".join([f"{source}: {many}", *(f"  {line}" for line in found)])) from e


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
    return _put(tree, keys, leaf)


def _put(tree: Any, keys: Sequence[str], leaf: Any) -> dict[str, Any]:
    below = dict(tree) if isinstance(tree, dict) else {}
    below[keys[0]] = leaf if len(keys) == 1 else _put(below.get(keys[0]), keys[1:], leaf)
    return below


def _explain(error: dict[str, Any], root: type[BaseModel]) -> str:
    """Say in one line what is wrong, where, and what was probably meant."""
    location, holder = _locate(error["loc"], root)
    kind, got = error["type"], error["input"]
    if kind == "extra_forbidden":
        return f"{location}: unknown key{_did_you_mean(location.rsplit('.', 1)[-1], _keys(holder))}"
    if kind == "missing":
        return f"{location}: missing, and it has no default"
    if kind == "union_tag_invalid":
        wanted = [tag.strip(" '") for tag in error["ctx"]["expected_tags"].split(",")]
        tag = str(error["ctx"]["tag"])
        return f"{location}.kind: got {tag!r}{_did_you_mean(tag, wanted)}"
    if kind == "union_tag_not_found":
        return f"{location}.kind: missing; say which kind"
    if kind == "literal_error":
        return f"{location}: got {got!r}, wanted {error['ctx']['expected']}"
    message = error["msg"].removeprefix("Value error, ")
    return f"{location}: {message[0].lower()}{message[1:]}" + (
        "" if isinstance(got, dict | list) else f" (got {got!r})"
    )


def _did_you_mean(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else f"; known here: {', '.join(known)}"


def _keys(model: type[BaseModel] | None) -> list[str]:
    return list(model.model_fields) if model else []


def _locate(loc: Sequence[str | int], root: type[BaseModel]) -> tuple[str, type[BaseModel] | None]:
    """Turn pydantic's location into a dotted key, and find the section that holds its last key.

    Pydantic puts the tag of a union (`reader.folder.uri`) into the location; it is not a key.
    """
    path: list[str] = []
    models: list[type[BaseModel]] = [root]
    holder: type[BaseModel] | None = root
    for step in loc:
        tagged = [m for m in models if len(models) > 1 and _tag(m) == step]
        if tagged:
            models, holder = tagged, tagged[0]
        elif isinstance(step, int):
            path.append(str(step))
        else:
            path.append(step)
            holder = models[0] if len(models) == 1 else None
            field = holder.model_fields.get(step) if holder else None
            models = _models_in(field.annotation) if field else []
    return ".".join(path), holder


def _tag(model: type[BaseModel]) -> Any:
    field = model.model_fields.get("kind")
    return field.default if field else None


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, typing.Annotated, tuple):
        return [m for part in typing.get_args(annotation) for m in _models_in(part)]
    return []
