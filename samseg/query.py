"""SQL over the tables of an output folder: `samseg.open(output).query("select ...")`.

DuckDB runs in this process over a snapshot: the parts committed when the folder is opened, and one
codebook. Queries can access these tables only: no files, network, extensions or Python variables.
DuckDB alone can read the Parquet parts, too (see the README), with casts that this module adds.

    images                         one row per image, including failures
    masks                          one row per mask, including its embedding
    assignments                    mask_id -> class_id as this codebook has it, without edits
    classes                        the classes of this codebook after all edits
    plans                          planned objects, in planning order
    embeddings                     name, mask_id, status, embedding: `sam` and the named ones
    labels                         masks with their class after all edits, its name and the
                                   image's key; `ignored` is true where a person said so
    nearest('MASK_ID', k := 10)    the masks most similar to one mask, nearest first
    distance('MASK_A', 'MASK_B')   cosine distance between two masks
    tree                           the tree that has the classes as branches
    corrections                    outlines that people drew, in place of those in `masks`
    class_at(HEIGHT)               mask_id -> the branch at that height: coarser or finer classes

`nearest` and `distance` compare the embedding that the codebook was fitted to, or another one
(`embedding := 'NAME'`). `tables.image(image_id)` and `tables.crop(mask_id)` are the pixels.

Pipeline stages do not use it: they read parts shard by shard in bounded memory.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from samseg import schema
from samseg.edits.tables import CORRECTIONS, MEMBERS
from samseg.errors import CodebookError, ConfigError, SamsegError, StorageError, redact
from samseg.output import Output
from samseg.part_tables import PartTables
from samseg.schema import SAM_COLUMN
from samseg.sql import statements
from samseg.stages.edits.resolution import resolved
from samseg.stages.edits.shard_classes import member_keys
from samseg.superseded import superseded

if TYPE_CHECKING:
    from samseg.editable_classes import EditableClasses

_LOCKED: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "python_enable_replacements": "false",
}


class Tables:
    """A snapshot of the tables of one output folder.

    Every table is a DuckDB relation, evaluated lazily (`tables.masks.limit(5).df()`).
    """

    def __init__(self, output: Output, codebook: int | None = None):
        """List the committed parts; no rows are read yet.

        Args:
            output: the output folder.
            codebook: version of the codebook, None for the newest, if there is one.

        Raises:
            CodebookError: this version does not exist.
            StorageError: the store failed.
        """
        versions = output.codebook_versions()
        if codebook is not None and codebook not in versions:
            raise CodebookError(
                f"{output.uri} has no codebook {codebook}; available: "
                f"{', '.join(map(str, versions)) or 'none; run `samseg cluster`'}"
            )
        self.uri, self._output = output.uri, output
        self.codebook = max(versions, default=None) if codebook is None else codebook
        self._connection = duckdb.connect(":memory:", config=_LOCKED)
        version, shards = self.codebook, sorted(output.committed())
        assigned = set() if version is None else output.assigned(version)
        self._keys: dict[str, list[str]] = {}
        parts: dict[str, tuple[pa.Schema, Iterable[str]]] = {
            "images": (schema.IMAGES, map(output.images_key, shards)),
            "masks": (schema.MASKS, map(output.masks_key, shards)),
            "plans": (schema.PLAN, map(output.plan_key, output.plan_numbers())),
            "assignments": (schema.ASSIGNMENTS, []),
            "codebook_classes": (schema.CLASSES, []),
            "tree": (schema.TREE, []),
        }
        if version is not None:
            keys = [output.assignments_key(version, s) for s in shards if s in assigned]
            parts["assignments"] = (schema.ASSIGNMENTS, keys)
            classes = output.codebook_key(version, "classes.parquet")
            tree = output.codebook_key(version, "tree.parquet")
            parts["codebook_classes"] = (schema.CLASSES, [classes])
            parts["tree"] = (schema.TREE, [tree] if output.storage.exists(tree) else [])
        self._shards = shards
        self._parts = PartTables(self._connection, output, superseded(output, {*shards}))
        for name, (columns, part_keys) in parts.items():
            self._register(name, columns, part_keys)
        self._register_edits()
        tables = {SAM_COLUMN: "masks"}
        for name in (names := output.embeddings()):
            embedded = sorted(output.embedded(name) & {*shards})
            if keys := [output.embeddings_key(name, shard) for shard in embedded]:
                tables[name] = f"embedding_{name}"
                self._register(tables[name], _columns_of(output, keys[0]), keys)
        default = output.embedding_of(version)
        self._connection.execute(statements(tables, [SAM_COLUMN, *names], default))
        self._connection.execute("set lock_configuration = true")

    def __repr__(self) -> str:
        return f"Tables({redact(self.uri)!r}, codebook={self.codebook})"

    def query(self, sql: str, params: Sequence[Any] | Mapping[str, Any] | None = None) -> pa.Table:
        """Run one statement and return its rows.

        Args:
            sql: DuckDB SQL over the tables of this module's docstring.
            params: values for `?` or `$name` in it. Never insert untrusted text into `sql`.

        Raises:
            ConfigError: the statement is invalid, or accesses something other than the tables.
            StorageError: a part cannot be read.
        """
        try:
            relation = self._connection.sql(sql, params=params)
            return pa.table({}) if relation is None else relation.to_arrow_table()
        except duckdb.Error as e:
            raise self._explained(sql, e) from e

    @property
    def images(self) -> duckdb.DuckDBPyRelation:
        """One row per image, including failures."""
        return self._connection.view("images")

    @property
    def masks(self) -> duckdb.DuckDBPyRelation:
        """One row per mask, including its embedding."""
        return self._connection.view("masks")

    @property
    def assignments(self) -> duckdb.DuckDBPyRelation:
        """The class of each mask under this codebook."""
        return self._connection.view("assignments")

    @property
    def classes(self) -> "EditableClasses":
        """The classes of this codebook after all edits: a relation, with verbs to edit them."""
        from samseg.editable_classes import EditableClasses

        relation = self._connection.view("classes")
        return EditableClasses(self._output, relation, self._register_edits)

    @property
    def plans(self) -> duckdb.DuckDBPyRelation:
        """Planned objects, in planning order."""
        return self._connection.view("plans")

    @property
    def embeddings(self) -> duckdb.DuckDBPyRelation:
        """All embeddings of the masks, by name; vectors of type FLOAT[]."""
        return self._connection.view("embeddings")

    @property
    def labels(self) -> duckdb.DuckDBPyRelation:
        """Masks with their class, its name and the image's key; null where not assigned."""
        return self._connection.view("labels")

    def image(self, image_id: str) -> NDArray[np.uint8]:
        """Read the photo of an image again.

        Returns:
            (h, w, 3) uint8 RGB, upright, decoded as it was for labelling.

        Raises:
            ConfigError: there is no such image.
            ImageError: it can no longer be read or decoded, or was replaced by one of another size.
        """
        from samseg import pictures

        columns = "key, uri, sha256, width, height"
        sql = f"select {columns} from images where image_id = ?"
        return pictures.photo(self._output, self._row(sql, image_id, "image"))

    def crop(self, mask_id: str, margin: float = 0.0) -> NDArray[np.uint8]:
        """Cut a mask out of its photo.

        Args:
            mask_id: the mask.
            margin: added on each side of the mask's box, as a fraction of its longer side.

        Returns:
            (h, w, 4) uint8 RGBA; alpha is 255 inside the mask and 0 outside.

        Raises:
            ConfigError: there is no such mask.
            ImageError: the photo can no longer be read; see `image`.
        """
        from samseg import pictures

        mask = self._row("select image_id, rle from masks where mask_id = ?", mask_id, "mask")
        return pictures.cutout(self.image(mask["image_id"]), mask["rle"], margin)

    def _register_edits(self) -> None:
        """Register what the edits make of the classes, also anew."""
        found = resolved(self._output, self.codebook if self._output.edit_numbers() else None)
        for name in ("classes", "cells", "moves", "outlines"):
            self._connection.register(f"edited_{name}", getattr(found, name))
        version = self.codebook
        members = member_keys(self._output, version, self._shards) if version else []
        self._register("members", MEMBERS, members)
        drawn = map(self._output.correction_key, self._output.correction_numbers())
        self._register("kept_corrections", CORRECTIONS, drawn)

    def _register(self, name: str, columns: pa.Schema, keys: Iterable[str]) -> None:
        self._keys[name] = [*keys]
        self._parts.register(name, columns, self._keys[name])

    def _row(self, sql: str, wanted: str, noun: str) -> dict[str, Any]:
        rows: list[dict[str, Any]] = self.query(sql, [wanted]).to_pylist()
        if not rows:
            raise ConfigError(
                f"{redact(self.uri)} has no {noun} {wanted!r}; "
                f"`select {noun}_id from {noun}s` lists them"
            )
        return rows[0]

    def _explained(self, sql: str, error: duckdb.Error) -> SamsegError:
        """Convert a DuckDB error to one with a hint."""
        text = str(error).strip()
        names = ["labels", "masks", "images", "embeddings", "assignments", "classes", "plans"]
        names += ["tree", "corrections"]
        if isinstance(error, duckdb.PermissionException) or "configuration" in text:
            first = text.splitlines()[0]
            return ConfigError(
                f"query: {first}\nQueries can access the tables of the output folder only: "
                f"{', '.join(names)}. Fetch the rows and write or join them in your own code."
            )
        if isinstance(error, duckdb.CatalogException):
            return ConfigError(
                f"query: {text}\nTables: {', '.join(names)}. "
                "Macros: nearest('MASK_ID', k := 10), distance('MASK_A', 'MASK_B'), "
                "class_at(HEIGHT)."
            )
        if isinstance(error, duckdb.BinderException):
            used = [name for name in names if re.search(rf"\b{name}\b", sql, re.IGNORECASE)]
            columns = [f"{name}: {', '.join(self._connection.view(name).columns)}" for name in used]
            return ConfigError("\n".join([f"query: {text}", *columns]))
        causes = ("Parquet input source", "IOError", "OSError", "reading the stream registered as")
        failed = any(words in text for words in causes)
        if failed or isinstance(error, duckdb.OperationalError):
            return self._damage(text) or StorageError(
                f"query over {redact(self.uri)}: {redact(text)}"
            )
        return ConfigError(f"query: {text}")

    def _damage(self, text: str) -> StorageError | None:
        """Read the table that a query failed in, to name the part that is damaged."""
        table = re.search(r"registered as '(\w+)'", text)
        for key in self._keys.get(table[1], []) if table else chain(*self._keys.values()):
            try:
                self._output.read(key)
            except StorageError as e:
                return e
        return None


def open(output: str | Output, codebook: int | None = None) -> Tables:
    """Open the tables of an output folder.

    Args:
        output: its URI or local path.
        codebook: version of the codebook, None for the newest.

    Raises:
        ConfigError: the output folder does not exist.
        CodebookError: the codebook does not exist.
        StorageError: the store failed.
    """
    return Tables(Output.existing(output) if isinstance(output, str) else output, codebook)


def _columns_of(output: Output, key: str) -> pa.Schema:
    """Read the schema of a part: embeddings differ in length."""
    with output.storage.stream(key) as stream, output.decoding(key):
        return pq.read_schema(stream)
