"""Checks the names and sizes of all objects against the plans: one LIST, plans and manifests."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import pyarrow.compute as pc

from samseg.doctor.contents import problem_of
from samseg.doctor.finding import Finding, damaged, damaged_copy
from samseg.object_names import KINDS, ids, kind_of
from samseg.output import Output

_UNCHECKED = ("damaged", "probe", "views")
_ALWAYS_READ = ("recipe", "plan", "codebook", "forgotten", "edits")
_OF_CODEBOOK = ("transform.npz", "core.parquet", "classes.parquet")
_OF_TREE = ("tree.parquet", "cells.parquet")


@dataclass(frozen=True, slots=True)
class Presence:
    """What lies in an output folder, and what is wrong with it.

    Attributes:
        bytes: size of every object that samseg may have written, by key.
        foreign: keys of all others.
        planned: planned images per shard, None if unknown before reading, or if one of them was
            forgotten.
        findings: damaged and missing objects.
    """

    bytes: Mapping[str, int]
    foreign: tuple[str, ...]
    planned: Mapping[str, int | None]
    findings: tuple[Finding, ...]


def presence(output: Output) -> Presence:
    """List the folder and check what its plans and manifests ask for."""
    listed = {source.key: source.bytes for source in output.storage.list()}
    known = {key: size for key, size in listed.items() if kind_of(key) is not None}
    problems = {
        key: "is empty" for key, size in known.items() if not size and not _may_be_empty(key)
    }
    for key in known.keys() - problems.keys():
        if kind_of(key) in _ALWAYS_READ and (problem := problem_of(output, key)):
            problems[key] = problem
    planned = _planned(output, known.keys() - problems.keys())
    for image in ids("forgotten", known.keys() - problems.keys()):
        for shard in output.read_json(output.forgotten_key(image))["shards"]:
            planned[shard] = None
    problems |= dict(_missing(output, known, problems))
    copied = _copied_manifests(output, known.keys() - problems.keys())
    found = [
        (damaged_copy if key in copied else damaged)(output.uri, key, problem)
        for key, problem in problems.items()
    ]
    if not any(kind_of(f.key) == "plan" for f in found):
        found += _unplanned(known, planned)
    foreign = tuple(sorted(listed.keys() - known.keys()))
    return Presence(known, foreign, planned, tuple(sorted(found, key=lambda f: f.key)))


def _copied_manifests(output: Output, keys: Iterable[str]) -> set[str]:
    """Return the manifests of codebooks of which the codebook before has a copy."""
    copies = (output.read_json(key) for key in keys if key.endswith("/next.json"))
    return {output.codebook_key(copy["version"], "codebook.json") for copy in copies}


def _may_be_empty(key: str) -> bool:
    """Whether an object may have no bytes, as YOLO's labels of an image without masks."""
    return kind_of(key) == "damaged" or (kind_of(key) == "exports" and key.endswith(".txt"))


def _planned(output: Output, keys: set[str]) -> dict[str, int | None]:
    planned: dict[str, int | None] = {}
    for number in sorted(map(int, ids("plan", keys))):
        table = output.read(output.plan_key(number), ["shard_id", "images"])
        unknown = set(table.filter(pc.is_null(table["images"]))["shard_id"].to_pylist())
        sums = table.group_by("shard_id").aggregate([("images", "sum")])
        for row in sums.to_pylist():
            shard = row["shard_id"]
            planned.setdefault(shard, None if shard in unknown else row["images_sum"])
    return planned


def _missing(
    output: Output, known: Mapping[str, int], broken: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Yield what must be there and is not."""
    plans = {int(n) for n in ids("plan", known)}
    last = max(plans, default=0 if ids("images", known) else -1)
    for number in set(range(last + 1)) - plans:
        yield output.plan_key(number), "is missing, and what was planned later is there"
    edits = {int(n) for n in ids("edits", known)}
    for number in set(range(1, max(edits, default=0))) - edits:
        yield output.edit_key(number), "is missing, and later edits are there"
    for shard in ids("images", known) - ids("masks", known):
        yield output.masks_key(shard), "is missing, and its shard is committed"
    if ids("masks", known) and output.recipe_key not in known:
        yield output.recipe_key, "is missing, and masks were made by it"
    for key in known:
        if (found := KINDS["embeddings"].fullmatch(key)) is not None:
            needed = output.embedding_recipe_key(found["name"])
            if needed not in known:
                yield needed, "is missing, and embeddings were made by it"
    for key in known:
        if key.endswith("/codebook.json") and kind_of(key) == "codebook" and key not in broken:
            if f"{key.rpartition('/')[0]}/pruned.json" in known:
                continue
            names = _OF_CODEBOOK + (_OF_TREE if "cut" in output.read_json(key) else ())
            for name in names:
                sibling = f"{key.rpartition('/')[0]}/{name}"
                if sibling not in known:
                    yield sibling, "is missing, and its codebook is committed"


def _unplanned(known: Mapping[str, int], planned: Mapping[str, int | None]) -> Iterator[Finding]:
    for shard in sorted(ids("images", known) - planned.keys()):
        yield Finding(
            f"images/part-{shard}.parquet",
            "belongs to a shard that no plan has",
            "restore the plan from a copy of the folder",
            repairable=False,
        )


def checked(keys: Mapping[str, int]) -> list[str]:
    """Return the keys whose contents can be checked, sorted."""
    return sorted(key for key in keys if kind_of(key) not in _UNCHECKED)
