"""The config of a night: one frozen model, read from YAML, with all mistakes reported at once.

    output: s3://bucket/labels
    reader: {kind: folder, uri: s3://bucket/photos}
    model: {checkpoint: vit_h}

All other keys have defaults. `load` reads a file and applies `section.key=value` overrides; both
may use the shorthands of `samseg.shorthands`.
Importing this module loads neither torch nor ray.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError, field_validator

from samseg import schema
from samseg.clustering.settings import ClusterSettings
from samseg.engine import EngineSpec, RayPool
from samseg.errors import ConfigError
from samseg.exporters import Exporter
from samseg.features import EfficientNetLite0Embedding, NamedEmbedding
from samseg.location import Location
from samseg.mistakes import explained
from samseg.pooling import Coverage, Pooling
from samseg.readers import Reader
from samseg.readers.decode import DecodePolicy
from samseg.sam.settings import MaskSettings, ModelSpec
from samseg.shipped import found_or_shipped
from samseg.shorthands import overridden, written_out
from samseg.spec import Spec
from samseg.strict_yaml import read_yaml

AnySpec = TypeVar("AnySpec", bound=Spec)


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

    output: Location
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

    @field_validator("exports")
    @classmethod
    def _one_of_each_kind(cls, exports: tuple[Exporter, ...]) -> tuple[Exporter, ...]:
        kinds = [e.kind for e in exports]
        twice = sorted({kind for kind in kinds if kinds.count(kind) > 1})
        if twice:
            raise ValueError(f"two exports are of the kind {twice[0]!r}; keep one of them")
        return exports

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
    """Read the config of a night and apply `section.key=value` overrides.

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
    except ValueError as e:
        raise ConfigError(
            f"cannot read the config {path}: it is not UTF-8 text ({e}); save it as UTF-8"
        ) from e
    except OSError as e:
        raise ConfigError(
            f"cannot read the config {path}: {e.strerror}; check the path, or write a config with "
            "`samseg init`"
        ) from e
    tree = read_yaml(text, str(path))
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
    tree = written_out(overridden(tree, overrides, model), model)
    try:
        return model.model_validate(tree)
    except ValidationError as e:
        raise ConfigError(explained(e, model, source)) from e
