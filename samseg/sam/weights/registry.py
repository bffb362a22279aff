"""Find weights: the shipped ones, the published ones by name, a local file, or any URL.

`resolve` gives a verified local file; `identify` tells what a checkpoint is without fetching more
than it must. Neither imports torch: reading the weights is `samseg.sam.weights.load`'s part.
"""

import difflib
import hashlib
import json
import os
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from samseg.errors import CheckpointError, redact
from samseg.sam.settings import MaskSettings, ModelSpec
from samseg.sam.weights.digest import sha256_of

MIRROR_VARIABLE = "SAMSEG_CHECKPOINTS"
"""Environment variable: base URL or folder that holds the published files under their names."""

_TINY = Path(__file__).parents[1] / "tiny" / "weights.safetensors"


@dataclass(frozen=True, slots=True)
class Published:
    """A checkpoint that the authors of SAM publish."""

    url: str
    sha256: str


_META = "https://dl.fbaipublicfiles.com/segment_anything"
PUBLISHED: Mapping[str, Published] = {
    "vit_b": Published(
        f"{_META}/sam_vit_b_01ec64.pth",
        "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
    ),
    "vit_l": Published(
        f"{_META}/sam_vit_l_0b3195.pth",
        "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
    ),
    "vit_h": Published(
        f"{_META}/sam_vit_h_4b8939.pth",
        "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
    ),
}
NAMES = ("tiny", *PUBLISHED)


@dataclass(frozen=True, slots=True)
class Identity:
    """What a checkpoint is.

    Attributes:
        sha256: hex digest of the file.
        arch: `vit_b`, `vit_l`, `vit_h` or `tiny` where the name or the file's header says so.
        recommended: mask settings that suit these weights, by name; empty for SAM's own.
    """

    sha256: str
    arch: str | None
    recommended: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Resolved(Identity):
    """A verified checkpoint on this machine.

    Attributes:
        path: the file.
    """

    path: Path = Path()


def identify(spec: ModelSpec) -> Identity:
    """Tell digest and recommended settings; a published checkpoint is not fetched for it.

    Raises:
        CheckpointError: see `resolve`.
    """
    if spec.checkpoint in PUBLISHED:
        return Identity(PUBLISHED[spec.checkpoint].sha256, spec.checkpoint)
    return resolve(spec.checkpoint, sha256=spec.sha256, cache=spec.cache)


def resolve(
    name_or_path_or_url: str | os.PathLike[str],
    *,
    sha256: str | None = None,
    cache: Path | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> Resolved:
    """Return a checkpoint as a verified local file, fetched into the cache where necessary.

    Args:
        name_or_path_or_url: one of `NAMES`, a local path, or a URL that fsspec can open.
        sha256: digest that the file must have; the named ones have theirs pinned.
        cache: folder for fetched files; `~/.cache/samseg` when None.
        progress: called with bytes fetched and bytes in all (None when the server does not say).

    Raises:
        CheckpointError: no such checkpoint, it cannot be fetched, or its digest is another.
    """
    text = os.fspath(name_or_path_or_url)
    cache = ModelSpec().cache if cache is None else cache
    if text in PUBLISHED:
        published = PUBLISHED[text]
        url = _mirrored(published.url)
        wanted = published.sha256 if sha256 is None else sha256
        if "://" not in url:
            return _local(Path(url), wanted, arch=text)
        return _fetched(url, wanted, cache, progress, arch=text)
    if text == "tiny":
        return _local(_TINY, sha256, arch="tiny")
    if "://" in text and not text.startswith("file://"):
        return _fetched(text, sha256, cache, progress)
    path = Path(text.removeprefix("file://")).expanduser()
    if not path.is_file():
        raise CheckpointError(_unknown(text, path))
    return _local(path, sha256)


def _mirrored(url: str) -> str:
    base = os.environ.get(MIRROR_VARIABLE)
    return f"{base.rstrip('/').removeprefix('file://')}/{url.rsplit('/', 1)[1]}" if base else url


def _local(path: Path, wanted: str | None, arch: str | None = None) -> Resolved:
    try:
        found = sha256_of(path)
    except OSError as e:
        raise CheckpointError(
            f"cannot read the checkpoint {path}: {e.strerror}; check the path and {MIRROR_VARIABLE}"
        ) from e
    if wanted is not None and found != wanted:
        raise CheckpointError(
            f"{path} has sha256 {found}, wanted {wanted}; give the right file, or the right "
            "`model.sha256`"
        )
    return _described(path, found, arch)


def _fetched(
    url: str,
    wanted: str | None,
    cache: Path,
    progress: Callable[[int, int | None], None] | None,
    arch: str | None = None,
) -> Resolved:
    from samseg.sam.weights.download import fetch

    # URLs of the same file name must not meet in the cache; a query holds only credentials
    stable = url.split("?", 1)[0]
    name = stable.rstrip("/").rsplit("/", 1)[-1]
    key = wanted or hashlib.sha256(stable.encode()).hexdigest()
    path = cache.expanduser() / f"{key[:12]}-{name}"
    found = fetch(url, path, wanted, progress)
    return _described(path, found, arch)


def _described(path: Path, sha256: str, arch: str | None) -> Resolved:
    header = safetensors_metadata(path)
    recommended: dict[str, Any] = {}
    if "mask_settings" in header:
        try:
            recommended = json.loads(header["mask_settings"])
            MaskSettings(**recommended)
        except (ValueError, TypeError) as e:
            raise CheckpointError(
                f"the mask settings recommended in the header of {path} are not valid: {e}"
            ) from e
    return Resolved(sha256, arch or header.get("arch"), recommended, path)


def safetensors_metadata(path: Path) -> dict[str, str]:
    """Return the free-form metadata of a safetensors file; empty for any other file.

    The format (github.com/huggingface/safetensors): 8 bytes little-endian header length, then the
    header as JSON, whose key `__metadata__` maps strings to strings.
    """
    with path.open("rb") as f:
        start = f.read(9)
        if len(start) < 9 or start[8:] != b"{":
            return {}
        (length,) = struct.unpack("<Q", start[:8])
        if length > path.stat().st_size:
            return {}
        try:
            header = json.loads(b"{" + f.read(length - 1))
        except ValueError:
            return {}
    metadata = header.get("__metadata__", {})
    return {str(k): str(v) for k, v in metadata.items()}


def _unknown(text: str, path: Path) -> str:
    beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    near = difflib.get_close_matches(text, NAMES, n=1, cutoff=0.5)
    near += [str(path.parent / n) for n in difflib.get_close_matches(path.name, beside, n=2)]
    hint = f"; did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
    return redact(
        f"no checkpoint {text!r}: not one of {', '.join(NAMES)}, and no file "
        f"{path.absolute()}{hint}"
    )
