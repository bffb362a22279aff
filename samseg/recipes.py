"""The recipes of a night: that of the masks, and one per named embedding."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from samseg import schema
from samseg.errors import CheckpointError
from samseg.features import NamedEmbedding
from samseg.output import Output
from samseg.recipe import check_same
from samseg.resume import completed, completed_embedding
from samseg.stages.embed.shard_rows import RECIPE


class Recipes:
    """What a night wants to write, against what its output folder was written with.

    `check` comes first, and writes nothing to a new folder. `create` comes when the first worker is
    ready, so that a night that could not start leaves no recipe behind.
    """

    def __init__(
        self, output: Output, masks: Mapping[str, Any], embeddings: Sequence[NamedEmbedding]
    ):
        """Keep the recipes; nothing is read yet.

        Args:
            output: the output folder.
            masks: the recipe of the masks.
            embeddings: the named embeddings.
        """
        self._output, self._masks, self._specs = output, masks, embeddings
        self._embeddings: dict[str, dict[str, Any]] | None = None
        self._created = False

    def check(self) -> None:
        """Check the recipes that the folder has; a folder with a recipe gets those it lacks.

        Raises:
            RecipeError: one of them differs.
            CheckpointError: the weights of a named embedding are missing.
        """
        if self._embeddings is None:
            self._embeddings = {key: recipe for key, recipe in self._named()}
            for key, recipe in self._embeddings.items():
                self._output.check(recipe, key, completed_embedding)
            self._output.check(self._masks, completed=completed)
            if self._output.recipe() is not None:
                self.create()
            else:
                self._check_rows()

    def create(self) -> None:
        """Create the recipes that the folder lacks, and check the others.

        Those of named embeddings come first: a folder with a recipe and no embedding is an old one.
        """
        if self._created:
            return
        self.check()
        for key, recipe in (self._embeddings or {}).items():
            self._output.guard(recipe, key, completed_embedding)
        self._output.guard(self._masks, completed=completed)
        self._created = True

    def _check_rows(self) -> None:
        """Check the recipe that existing rows were written with, where `recipe.json` is lost."""
        for shard in sorted(self._output.committed())[:1]:
            stored = self._output.metadata(self._output.masks_key(shard)).get(RECIPE)
            if stored is not None:
                check_same(
                    completed(json.loads(stored)),
                    self._masks,
                    f"{self._output.uri}, which has rows and has lost its recipe.json,",
                    "Write to a new output folder",
                )

    def _named(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for spec in self._specs:
            recipe = {"schema": schema.VERSION} | self._recipe_of(spec)
            yield self._output.embedding_recipe_key(spec.name), recipe

    def _recipe_of(self, spec: NamedEmbedding) -> dict[str, Any]:
        try:
            return spec.recipe()
        except CheckpointError as e:
            stored = self._output.recipe(spec.name)
            if stored is None:
                raise
            raise CheckpointError(
                f"{e}. The embedding {spec.name} of {self._output.uri} was made with weights of "
                f"sha256 {stored['weights_sha256']}; list it under `embeddings` with these"
            ) from e
