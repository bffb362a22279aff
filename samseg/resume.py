"""The settings of a night over an existing output folder.

What the config does not set keeps the value that is stored in the folder's recipes and newest
codebook, so that an old folder stays good when defaults change; only what the config sets can
conflict. A stored recipe that lacks a key is of a version that had no such setting, and is
completed with its default. `tiny` means the version of the small SAM that the folder was begun
with.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from samseg.clustering.settings import ClusterSettings
from samseg.config import Config
from samseg.errors import CodebookError, ConfigError, RecipeError
from samseg.features import NamedEmbedding
from samseg.output import Output
from samseg.pooling import Pooling
from samseg.readers.decode import DecodePolicy
from samseg.sam.settings import MaskSettings
from samseg.sam.weights.registry import LATEST, shipped_name
from samseg.schema import SAM_COLUMN

_SECTIONS: Mapping[str, TypeAdapter[Any]] = {
    "decode": TypeAdapter(DecodePolicy),
    "masks": TypeAdapter(MaskSettings),
    "pooling": TypeAdapter(Pooling),
}
_DERIVED = ("schema", "weights_sha256", "projection_sha256")
"""Keys of the recipe of an embedding that are no settings."""
_EMBEDDING: TypeAdapter[NamedEmbedding] = TypeAdapter(NamedEmbedding)
_SPEED = ("points_per_batch",)
"""Settings that affect speed and memory only, and are not in recipes."""


def resumed(config: Config, output: Output) -> Config:
    """Fill what the config does not set from the recipes and the newest codebook of a folder.

    `cluster` is filled in new folders, too: classes are fitted to the first named embedding.

    Raises:
        RecipeError: a recipe was written by a later version of samseg.
        CodebookError: the newest codebook has settings that this config or version cannot continue.
        ConfigError: a set value does not go with a stored one, or new masks would lack the
            embedding that classes are fitted to.
        StorageError: a recipe or the manifest of the codebook is damaged.
    """
    config = _with_stored_recipes(config, output)
    cluster = _clustering(config, output)
    _check_embedding(cluster.embedding, config, output)
    return config.model_copy(update={"cluster": cluster})


def completed(recipe: dict[str, Any]) -> dict[str, Any]:
    """Add to the stored recipe of a folder what later versions have added, with its default."""
    found = dict(recipe)
    for key in _SECTIONS.keys() & recipe.keys():
        section = _parsed(_SECTIONS[key], recipe[key], key).model_dump(mode="json")
        found[key] = {k: v for k, v in section.items() if k not in _SPEED}
    return found


def completed_embedding(recipe: dict[str, Any]) -> dict[str, Any]:
    """Add to the stored recipe of a named embedding what later versions have added."""
    return _spec_in(recipe).settings() | recipe


def _with_stored_recipes(config: Config, output: Output) -> Config:
    recipe = output.recipe()
    if recipe is None:
        return config
    stored: dict[str, Any] = {key: recipe[key] for key in _SECTIONS if key in recipe}
    if "precision" in recipe:
        stored["model"] = {"precision": recipe["precision"]}
    tree = _merged(stored, config.set_values())
    tree["model"] = _of_version(tree.get("model", {}), recipe)
    tree["embeddings"] = _embeddings(config, output)
    try:
        return Config.model_validate(tree)
    except ValidationError as e:
        raise ConfigError(
            f"the config does not go with the settings stored in {output.uri}: {_told(e)}"
        ) from e


def _clustering(config: Config, output: Output) -> ClusterSettings:
    """Return how classes are fitted: what is not set is as in the newest codebook, if any."""
    settings = config.cluster
    if versions := output.codebook_versions():
        manifest = output.codebook_manifest(versions[-1])
        with output.decoding(output.codebook_key(versions[-1], "codebook.json")):
            try:
                return settings.resumed(manifest["settings"])
            except ValidationError as e:
                raise CodebookError(
                    f"codebook v{versions[-1]} of {output.uri} does not go with the settings of "
                    f"this config or version of samseg: {_told(e)}. Set these keys of `cluster` in "
                    "the config, or use the version of samseg that fitted it"
                ) from e
    if "embedding" in settings.model_fields_set or not config.embeddings:
        return settings
    return settings.model_copy(update={"embedding": config.embeddings[0].name})


def _check_embedding(name: str, config: Config, output: Output) -> None:
    """Check that new masks will have the embedding that classes are fitted to.

    Raises:
        ConfigError: they will not, so they would have no class.
    """
    have = [SAM_COLUMN, *(e.name for e in config.embeddings)]
    if name in have:
        return
    known = {SAM_COLUMN, *output.embeddings()}
    if "embedding" in config.cluster.model_fields_set:
        wanted = f"cluster.embedding is {name!r}"
    else:
        wanted = f"the classes of {output.uri} are fitted to the embedding {name!r}"
    if name in known:
        raise ConfigError(
            f"{wanted}, but the config has embeddings: [{', '.join(have[1:])}], so new masks would "
            f"lack {name!r} and have no class. Add it to `embeddings`, leave `embeddings` out to "
            f"keep those of the folder, or set cluster.embedding to {' or '.join(have)}"
        )
    raise ConfigError(
        f"{wanted}, which neither the config nor {output.uri} has; set cluster.embedding to one "
        f"of: {', '.join(sorted(known | {*have}))}; or list it under `embeddings`"
    )


def _embeddings(config: Config, output: Output) -> list[dict[str, Any]]:
    """Return the named embeddings: the config's, completed, or those of the folder."""
    recipes = {name: output.recipe(name) or {} for name in output.embeddings()}
    specs = {name: _spec_in(recipe, name) for name, recipe in recipes.items()}
    if "embeddings" not in config.model_fields_set:
        found = [spec.model_dump(mode="json") for spec in specs.values()]
    else:
        stored = {name: spec.settings() for name, spec in specs.items()}
        found = [
            _merged(stored.get(spec.name, {}), {**spec.set_values(), "name": spec.name})
            for spec in config.embeddings
        ]
    return [_of_version(settings, recipes.get(settings["name"], {})) for settings in found]


def _of_version(settings: dict[str, Any], recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Name the version of the small SAM that a recipe was begun with, if the settings want any."""
    wants_latest = settings.get("checkpoint", LATEST) == LATEST
    if settings.get("kind", "sam") != "sam" or not wants_latest or "weights_sha256" not in recipe:
        return settings
    name = shipped_name(recipe["weights_sha256"])
    return settings if name is None else {**settings, "checkpoint": name}


def _spec_in(recipe: Mapping[str, Any], name: str | None = None) -> NamedEmbedding:
    """Return an embedding as its recipe describes it; places of weights are not in it."""
    settings = {k: v for k, v in recipe.items() if k not in _DERIVED}
    named = settings if name is None else {**settings, "name": name}
    found: NamedEmbedding = _parsed(_EMBEDDING, named, f"embeddings/{name}")
    return found


def _parsed(section: TypeAdapter[Any], stored: Any, what: str) -> Any:
    try:
        return section.validate_python(stored)
    except ValidationError as e:
        raise RecipeError(
            f"the stored recipe of {what} has settings that this version of samseg does not know "
            f"({_told(e)}); update samseg"
        ) from e


def _merged(stored: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Put given values over stored ones; settings of one kind say nothing of another kind."""
    if stored.get("kind", given.get("kind")) != given.get("kind", stored.get("kind")):
        return dict(given)
    merged = {**stored, **given}
    for key in stored.keys() & given.keys():
        if isinstance(stored[key], dict) and isinstance(given[key], dict):
            merged[key] = _merged(stored[key], given[key])
    return merged


def _told(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, x['loc']))}: {x['msg']}" for x in error.errors())
