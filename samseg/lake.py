"""The one lake of an output folder, by its root URI.

Image ids are hashes of keys below the root, so images of another root would get the ids, and the
planned URIs, of different images. `lake.json` records the root. A lake that has moved is accepted
on request, after some of its planned objects were found with their sizes; `lake.{n}.json` records
the new root, and the newest record counts. Rows keep the URIs at which their images were read;
`address_now` tells where they are since a move.
"""

import json
import os
from collections.abc import Callable
from itertools import count

import numpy as np

from samseg.errors import ConfigError, LakeError, StorageError, redact
from samseg.output import Output
from samseg.storage import Storage, normal, open_lake

_SAMPLED = 20


class LakeRoot:
    """The lake that a config names, and the one that an output folder has."""

    def __init__(self, output: Output, root: str):
        """Read nothing yet.

        Args:
            output: the output folder.
            root: URI of the lake's root in the config.
        """
        self._output, self._root = output, normal(root)

    def check(self) -> None:
        """Check that the config names the lake of the folder; a new folder has none yet.

        Raises:
            ConfigError: it names another.
        """
        recorded = self.recorded()
        if recorded is not None and not _same(recorded, self._root):
            raise ConfigError(
                f"{redact(self._output.uri)} holds the lake {redact(recorded)}, and the config has "
                f"reader.uri={redact(self._root)}: an output folder has one lake. Restore "
                "reader.uri, or write to a new output folder; if the same lake has moved there, "
                "add --lake-moved"
            )

    def claim(self) -> None:
        """Record the root in a new folder, or in one of an earlier version of samseg.

        Raises:
            ConfigError: another run has recorded another lake meanwhile.
        """
        self._record(self.recorded() or self._root)
        self.check()

    def move(self) -> None:
        """Record the root of the config as the new place of the lake.

        Raises:
            LakeError: it lacks planned objects, or they have other sizes: it is another lake.
        """
        recorded = self.recorded()
        if recorded is None or _same(recorded, self._root):
            return
        self._record(recorded)
        self._compare(open_lake(self._root))
        record = json.dumps({"uri": self._root, "moved_from": recorded}).encode()
        for n in count(1):
            if self._output.storage.put_new(_key(n), record):
                return

    def recorded(self) -> str | None:
        """Return the root URI of the folder's lake; None if nothing is planned yet."""
        roots = _roots(self._output)
        return roots[-1] if roots else self._planned_root()

    def _record(self, root: str) -> None:
        """Create the first record, unless there is one."""
        self._output.storage.put_new(_key(0), json.dumps({"uri": root}).encode())

    def _planned_root(self) -> str | None:
        """Return the root that the objects of the first plan were found below."""
        for number in self._output.plan_numbers():
            rows = self._output.read(self._output.plan_key(number), ["key", "uri"]).slice(0, 1)
            for row in rows.to_pylist():
                return str(row["uri"]).removesuffix(row["key"]).rstrip("/")
        return None

    def _compare(self, lake: Storage) -> None:
        table = self._output.plan_table(["key", "bytes"])
        chosen = np.random.default_rng(0).permutation(table.num_rows)[:_SAMPLED]
        for row in table.take(chosen).to_pylist():
            try:
                with lake.stream(row["key"]) as stream:
                    size = stream.seek(0, os.SEEK_END)
            except (StorageError, OSError) as e:
                raise LakeError(
                    f"{redact(self._root)} is not the lake of {redact(self._output.uri)}: "
                    f"{row['key']} cannot be read there ({e})"
                ) from e
            if size != row["bytes"]:
                raise LakeError(
                    f"{redact(self._root)} is not the lake of {redact(self._output.uri)}: "
                    f"{row['key']} has {size} bytes there, and {row['bytes']} when it was planned"
                )


def address_now(output: Output) -> Callable[[str], str]:
    """Return what maps the URI of a row to where the image is now."""
    *earlier, now = _roots(output) or [""]

    def of(uri: str) -> str:
        inner = uri.rpartition("::")[2]  # tar://{member}::{tar}
        root = next((root for root in reversed(earlier) if inner.startswith(f"{root}/")), now)
        return f"{uri.removesuffix(inner)}{now}{inner.removeprefix(root)}" if earlier else uri

    return of


def _roots(output: Output) -> list[str]:
    """Return the roots that the lake has had, the newest last."""
    roots: list[str] = []
    for n in count():
        if not output.storage.exists(_key(n)):
            break
        roots.append(str(output.read_json(_key(n))["uri"]))
    return roots


def _key(n: int) -> str:
    return "lake.json" if n == 0 else f"lake.{n}.json"


def _same(one: str, other: str) -> bool:
    return _resolved(one) == _resolved(other)


def _resolved(uri: str) -> str:
    """Return a URI without symbolic links, where it is a local path."""
    uri = normal(uri)
    path = uri.removeprefix("file://")
    return uri if path == uri else os.path.realpath(path)
