"""An output folder: its object keys, its recipe, and which shards are planned and committed.

The folder is the only state shared between nights. Every object is created once
(`ObjectStorage.put_new`) and never renamed or appended to; no night deletes any. The README shows
the tree.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from samseg import object_names, schema
from samseg.errors import ConfigError, redact
from samseg.output_objects import OutputObjects
from samseg.plan_rows import completed, plan_of, shards_of
from samseg.recipe import check_same, check_version
from samseg.sealed_json import sealed
from samseg.types import Shard


class Output(OutputObjects):
    """One output folder, by URI."""

    def __init__(self, uri: str):
        """Open the folder at `uri`; nothing is created yet."""
        super().__init__(uri)
        self._snapshot: dict[str, Mapping[str, int]] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Workers receive the URI and open the folder again."""
        return type(self), (self.uri,)

    @classmethod
    def existing(cls, uri: str) -> "Output":
        """Open a folder that a night has written to.

        Raises:
            ConfigError: it does not exist.
        """
        output = cls(uri)
        local = output.uri.removeprefix("file://")
        exists = Path(local).is_dir() if local != output.uri else True
        if not exists or (output.recipe() is None and not output.plan_numbers()):
            raise ConfigError(
                f"there is no output folder at {redact(uri)}; `samseg label` or `samseg nightly` "
                "creates one"
            )
        return output

    def guard(
        self,
        recipe: Mapping[str, Any],
        key: str = OutputObjects.recipe_key,
        completed: Callable[[dict[str, Any]], dict[str, Any]] = lambda stored: stored,
    ) -> None:
        """Create a recipe, or check that the stored one is the same.

        Args:
            recipe: everything that determines the rows.
            key: of the folder's recipe, or of a named embedding's.
            completed: adds to a stored recipe what a later version of samseg has added, with the
                values that hold in the folder. `schema` is not compared.

        Raises:
            RecipeError: the stored recipe differs; all differing keys are listed.
        """
        if not self.storage.put_new(key, sealed(recipe)):
            self.check(recipe, key, completed)

    def check(
        self,
        recipe: Mapping[str, Any],
        key: str = OutputObjects.recipe_key,
        completed: Callable[[dict[str, Any]], dict[str, Any]] = lambda stored: stored,
    ) -> None:
        """Check that the stored recipe, if there is one, is the same; see `guard`."""
        if not self.storage.exists(key):
            return
        stored = self.read_json(key)
        check_version(stored, self.uri)
        folder = self.storage.uri_of(key).removesuffix(f"/{self.recipe_key}")
        other = "Write to a new output folder" if folder == self.uri else "Use another name"
        check_same(completed(stored), recipe, folder, other)

    def recipe(self, embedding: str | None = None) -> dict[str, Any] | None:
        """Return the recipe of this folder or of a named embedding, None if it has none yet."""
        key = self.recipe_key if embedding is None else self.embedding_recipe_key(embedding)
        return self.read_json(key) if self.storage.exists(key) else None

    def embeddings(self) -> list[str]:
        """Names of the named embeddings, sorted."""
        names = sorted(self.storage.folders("embeddings"))
        return [n for n in names if self.storage.exists(self.embedding_recipe_key(n))]

    def embedded(self, name: str) -> set[str]:
        """Return the ids of shards that have a part of a named embedding."""
        return self._ids("embeddings", f"embeddings/{name}/")

    def plan_numbers(self) -> list[int]:
        """Numbers of all plans, ascending."""
        return sorted(map(int, self._ids("plan")))

    def plan_table(self, columns: list[str] | None = None) -> pa.Table:
        """Return all plans as one table, in planning order."""
        parts = [self.plan(n, columns) for n in self.plan_numbers()]
        return pa.concat_tables([completed(schema.PLAN.empty_table(), columns), *parts])

    def plan(self, n: int, columns: list[str] | None = None) -> pa.Table:
        """Return the n-th plan; columns that its version of samseg lacked are null."""
        key = self.plan_key(n)
        if columns is None:
            table = self.read(key)
            with self.decoding(key):
                return completed(table)
        with self._present(key), self.storage.stream(key) as stream, self.decoding(key):
            stored = {"shard_id", *columns} & {*pq.read_schema(stream).names}
            stream.seek(0)
            return completed(schema.decode(stream, sorted(stored)), columns)

    def next_plan(self) -> int:
        """Return the number of the plan after the last one."""
        return (self.plan_numbers() or [-1])[-1] + 1

    def add_plan(self, number: int, shards: Sequence[Shard], images_per_source: int | None) -> bool:
        """Append a plan of these shards.

        Args:
            number: `next_plan` before the known objects were read.
            shards: shards of objects that are not known.
            images_per_source: see `samseg.readers`.

        Returns:
            False if another driver has appended a plan since; plan again, because that plan may
            contain the same objects.
        """
        table = plan_of(shards, images_per_source)
        return self.storage.put_new(self.plan_key(number), schema.encode(table))

    def planned(self) -> Iterator[Shard]:
        """Yield all planned shards in planning order, one row group of a plan in memory."""
        return shards_of(map(self._plan_groups, self.plan_numbers()))

    def _plan_groups(self, n: int) -> Iterator[pa.Table]:
        key = self.plan_key(n)
        for group in self.row_groups(key):
            with self.decoding(key):
                group = completed(group)
            yield group

    def committed(self) -> set[str]:
        """Return the ids of committed shards: one LIST of `images/`."""
        return self._ids("images")

    def segmented(self) -> set[str]:
        """Return the ids of shards that have a masks part, committed or not."""
        return self._ids("masks")

    def failed(self) -> set[str]:
        """Return the ids of shards with failed images that are labelled again once."""
        return self._ids("failed")

    def forgotten(self) -> set[str]:
        """Return the ids of images that `samseg forget` has erased."""
        return self._ids("forgotten")

    def quarantined(self) -> set[str]:
        """Return the ids of shards given up and not committed later."""
        given_up = self._ids("quarantine")
        return given_up - self.committed() if given_up else given_up

    def quarantine(self, shard: Shard, failures: tuple[str, ...]) -> None:
        """Record a shard given up, with one line per failed attempt."""
        record = {
            "shard_id": shard.id,
            "sources": [s.key for s in shard.sources],
            "failures": list(failures),
        }
        payload = json.dumps(record, indent=2).encode()
        n = 0
        while not self.storage.put_new(self.quarantine_key(shard.id, n), payload):
            n += 1

    def codebook_versions(self, pruned: bool = False) -> list[int]:
        """Versions of the committed codebooks, ascending (`codebook.json` is written last).

        Args:
            pruned: with those of which `samseg prune` has left nothing but their place.
        """
        names = object_names.matched(object_names.VERSION, self.storage.folders("classes"))
        found = sorted(map(int, names))
        found = [v for v in found if self.storage.exists(self.codebook_key(v, "codebook.json"))]
        return [
            v
            for v in found
            if pruned or not self.storage.exists(self.codebook_key(v, "pruned.json"))
        ]

    def codebook_manifest(self, version: int) -> dict[str, Any]:
        """Return `codebook.json` of a committed codebook."""
        return self.read_json(self.codebook_key(version, "codebook.json"))

    def embedding_of(self, version: int | None) -> str:
        """Return the name of the embedding that a codebook was fitted to; `sam` before the first.

        Codebooks of earlier versions of samseg do not say so; they were fitted to `sam`.
        """
        manifest = {} if version is None else self.codebook_manifest(version)
        return str(manifest.get("embedding", schema.SAM_COLUMN))

    def assigned(self, version: int) -> set[str]:
        """Return the ids of shards that have assignments under a codebook."""
        return self._ids("assignments", f"classes/v{version:06d}/assignments/")

    def edit_numbers(self) -> list[int]:
        """Numbers of all edits of the classes, ascending."""
        return sorted(map(int, self._ids("edits")))

    def correction_numbers(self) -> list[int]:
        """Numbers of the tables of outlines that people drew, ascending."""
        return sorted(map(int, self._ids("corrections")))

    def member_shards(self, version: int, edit: int) -> set[str]:
        """Return the ids of shards that have members of a class by example under a codebook."""
        return self._ids("members", f"classes/v{version:06d}/edits/{edit:06d}/")

    def ledger_numbers(self, version: int | None = None, edit: int | None = None) -> list[int]:
        """Numbers of the ledgers of the folder, or of classes (`ledger_key`), ascending."""
        kind = "ledger" if version is None else "class_ledger"
        return sorted(map(int, self._ids(kind, self.ledgers(version, edit))))

    def sizes(self, kind: str, version: int | None = None) -> dict[str, int]:
        """Return the bytes of every part of a table by shard: one LIST.

        Args:
            kind: `images`, `masks` or `assignments`.
            version: of the codebook, for assignments.
        """
        folder = f"{kind}/" if version is None else f"classes/v{version:06d}/{kind}/"
        return dict(self._listed(kind, folder))

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """List plans, images, masks and named embeddings once until the block ends.

        For stages that write none of these: they work on what is committed when the first of them
        looks, also while another run commits more.
        """
        if self._snapshot is not None:
            yield
            return
        self._snapshot = {}
        try:
            yield
        finally:
            self._snapshot = None

    def nights(self) -> list[str]:
        """Stamps of all nights, ascending."""
        return sorted(object_names.matched(object_names.NIGHT, self.storage.folders("nights")))

    def _ids(self, kind: str, folder: str | None = None) -> set[str]:
        return set(self._listed(kind, f"{kind}/" if folder is None else folder))

    def _listed(self, kind: str, folder: str) -> Mapping[str, int]:
        """Return the ids of the objects of a kind in a folder, with their bytes."""
        if self._snapshot is not None and folder in self._snapshot:
            return self._snapshot[folder]
        pattern = object_names.KINDS[kind]
        listed = {
            found["id"]: source.bytes
            for source in self.storage.list(folder)
            if (found := pattern.fullmatch(source.key))
        }
        if self._snapshot is not None and kind in ("plan", "images", "masks", "embeddings"):
            self._snapshot[folder] = listed
        return listed
