"""Erases one image from an output folder: whatever was made of its pixels.

`forgotten/{image_id}.json` comes first: from then on no worker labels the image again. Then go, in
this order: exports, report pages that show it, and copies that the doctor set aside; the vectors of
its masks in codebooks and edits (`samseg.stages.forgotten_vectors`); its rows in corrections,
assignments, members of classes by example, embeddings, masks and images. A part is written again
without them, over the old one and in one step, so that no shard is ever without its parts. The row
in `images` goes last: while it is there, the same command does all of this again.

What stays holds no pixels: the names of objects in plans, logs and `status.json`; ids of masks in
`drift.json`; counts in ledgers; and means of several masks in codebooks, until a refit and
`samseg prune`.
"""

import html
import json
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from samseg import schema
from samseg.errors import ConfigError, NotFoundError, redact
from samseg.object_names import kind_of
from samseg.output import Output
from samseg.sealed_json import sealed
from samseg.stages.embed.named_rows import ROW_GROUP
from samseg.stages.embed.shard_rows import WITHOUT_MASKS
from samseg.stages.forgotten_vectors import erase_from_codebooks, erase_from_edits, versions
from samseg.superseded import is_current
from samseg.types import Float32, image_id_of
from samseg.views.report import plain

_AT_A_TIME = 16
_SET_ASIDE = re.compile(r"damaged/[^/]+/(?P<key>.+)")
_WITH_PICTURES = ("exports", "nights", "codebook")
"""Kinds of objects that are not of one shard and may hold pixels."""
_PADDING = b"samseg.padding"


@dataclass(frozen=True, slots=True)
class Traces:
    """What an output folder holds of one image.

    Attributes:
        key: of the image.
        shards: that its object is planned in.
        tables: keys of Parquet objects with rows of it, in the order in which these are removed.
        objects: keys of objects to delete.
        marked: whether the folder knows already that it is to be forgotten.
    """

    key: str
    shards: tuple[str, ...]
    tables: tuple[str, ...]
    objects: tuple[str, ...]
    marked: bool


def traces(output: Output, key: str) -> Traces:
    """Find an image: reads the plans, and the ids in the parts of its shards.

    Args:
        output: the output folder.
        key: of the image in the lake, as in the column `key` of `images`.

    Raises:
        ConfigError: the folder knows no such image.
    """
    image = image_id_of(key)
    named, shards = _planned(output, key)
    marked = image in output.forgotten()
    with ThreadPoolExecutor(_AT_A_TIME) as threads:
        keys = list(_parts(output, shards))
        present = threads.map(lambda part: _holds(output, part, image), keys)
        tables = tuple(part for part, holds in zip(keys, present, strict=True) if holds)
    waiting = set(shards) - output.committed()
    if not (named or tables or marked or waiting):
        raise ConfigError(
            f"{redact(output.uri)} has no image {key!r}; wanted its path below the root of the "
            "lake, and in a tar `TAR/MEMBER`, as in the column `key` of `images`"
        )
    seen = any(kind_of(table) in ("images", "masks") for table in tables)
    objects = tuple(_objects(output, key, shards)) if seen else ()
    return Traces(key, tuple(shards), tables, objects, marked)


def forget(output: Output, found: Traces) -> None:
    """Erase what `traces` found."""
    image = image_id_of(found.key)
    output.storage.put_new(output.forgotten_key(image), sealed({"shards": list(found.shards)}))
    output.storage.delete(*found.objects)
    if found.tables:
        vectors = list(_vectors(output, found.tables, image))
        erase_from_codebooks(output, image, vectors)
        erase_from_edits(output, image, vectors)
    for key in found.tables:
        _rewrite(output, key, image)


def _planned(output: Output, key: str) -> tuple[bool, list[str]]:
    """Return whether a plan names an image, and the shards that have it or the tar it may be in."""
    above = key.split("/")
    keys = pa.array(["/".join(above[:n]) for n in range(1, len(above) + 1)], pa.string())
    named, shards = False, dict[str, None]()
    for number in output.plan_numbers():
        plan = output.plan(number, ["shard_id", "key", "images", "members"])
        for row in plan.filter(pc.is_in(plan["key"], value_set=keys)).to_pylist():
            of_tar = row["images"] is None or row["members"] is not None
            if of_tar is (row["key"] != key):
                named |= not of_tar
                shards[row["shard_id"]] = None
    return named, list(shards)


def _parts(output: Output, shards: Sequence[str]) -> Iterator[str]:
    """Yield the keys that parts of shards may have, in the order in which rows are removed."""
    numbers, names = versions(output), sorted(output.storage.folders("embeddings"))
    edits = output.edit_numbers()
    yield from map(output.correction_key, output.correction_numbers())
    members = [(v, e) for v in numbers if edits for e in _edited(output, v)]
    for shard in shards:
        yield from (output.assignments_key(version, shard) for version in numbers)
        yield from (output.members_key(*of, shard) for of in members)
        yield from (output.embeddings_key(name, shard) for name in names)
        yield output.masks_key(shard)
        yield output.images_key(shard)


def _edited(output: Output, version: int) -> list[int]:
    """Return numbers of the edits that a codebook has tables of."""
    folders = output.storage.folders(output.codebook_key(version, "edits"))
    return sorted(int(name) for name in folders if name.isdecimal())


def _holds(output: Output, key: str, image: str) -> bool:
    """Return whether an object is there and has rows of an image."""
    try:
        rows = output.read(key, [_column(key)])
        in_footer = kind_of(key) == "masks" and image.encode() in output.metadata(key).get(
            WITHOUT_MASKS, b""
        )
    except NotFoundError:
        return False
    return in_footer or not is_current(rows[_column(key)], [image]).all()


def _column(key: str) -> str:
    """Return the column that says of which image, or mask, a row is."""
    return "image_id" if kind_of(key) in ("images", "masks") else "mask_id"


def _objects(output: Output, key: str, shards: Sequence[str]) -> Iterator[str]:
    """Yield the objects that may show an image and can be written again, or are copies."""
    yield from (source.key for source in output.storage.list("exports/"))
    for stamp in output.nights():
        page = output.night_key(stamp, "report.html")
        if output.storage.exists(page):
            text = html.unescape(output.storage.get(page).decode("utf-8", "replace"))
            if image_id_of(key) in text or plain(key) in text:
                yield page
    parts = tuple(f"part-{shard}.parquet" for shard in shards)
    for source in output.storage.list("damaged/"):
        found = _SET_ASIDE.fullmatch(source.key)
        inner = found["key"] if found else ""
        if inner.endswith(parts) or kind_of(inner) in _WITH_PICTURES:
            yield source.key


def _vectors(output: Output, tables: Sequence[str], image: str) -> Iterator[Float32]:
    """Yield the (n, d) embeddings of an image's masks, one matrix per part."""
    for key in tables:
        if kind_of(key) in ("masks", "embeddings"):
            part = output.read(key, ["mask_id", "embedding"])
            own = pa.array(~is_current(part["mask_id"], [image]))
            yield schema.matrix_of(
                part.filter(pc.and_(own, part["embedding"].is_valid()))["embedding"]
            )


def _rewrite(output: Output, key: str, image: str) -> None:
    """Write an object again without the rows of an image.

    It gets another size, by which ledgers know that their counts of it do not hold any more.
    """
    old = output.storage.get(key)
    with output.decoding(key):
        table = schema.decode(old)
        others = pa.array(is_current(table[_column(key)], [image]))
    table = table.filter(others)
    metadata = dict(table.schema.metadata or {})
    if WITHOUT_MASKS in metadata:
        left = [of for of in json.loads(metadata[WITHOUT_MASKS]) if of["image_id"] != image]
        metadata[WITHOUT_MASKS] = json.dumps(left).encode()
    size = {"row_group": ROW_GROUP} if kind_of(key) == "embeddings" else {}
    new = schema.encode(table.replace_schema_metadata(metadata), **size)
    if len(new) == len(old):
        new = schema.encode(table.replace_schema_metadata({**metadata, _PADDING: b" "}), **size)
    output.storage.replace(key, new)
