"""Find checkpoints: shipped, published (by name), a local file, or any URL.

`resolve` returns a verified local file; `identify` identifies a checkpoint and downloads it only if
necessary. Neither imports torch; `samseg.sam.weights.load` reads the weights.
"""

import difflib
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from samseg.errors import CheckpointError, redact
from samseg.sam.settings import MaskSettings, ModelSpec
from samseg.sam.weights.digest import sha256_of
from samseg.sam.weights.tensors import safetensors_metadata, tensor_digest

MIRROR_VARIABLE = "SAMSEG_CHECKPOINTS"
"""Environment variable: base URL or folder of a mirror of the published files."""

LATEST = "tiny"
"""Name of the latest shipped weights. A new version of samseg may give it to other weights."""

_TINY = Path(__file__).parents[1] / "tiny"
_VERSIONS: Mapping[str, Path] = {  # of the small SAM; see its model card
    "tiny-1": _TINY / "weights.safetensors",
    "tiny-2": _TINY / "weights-2.safetensors",
}
_SHIPPED: Mapping[str, Path] = {LATEST: _VERSIONS["tiny-2"], **_VERSIONS}


_MAX_COPY_BYTES = 1 << 27
_FLOATS: tuple[Literal["F16", "F32"], ...] = ("F16", "F32")
"""Types in which shipped weights may have been saved again."""


@dataclass(frozen=True, slots=True)
class Published:
    """A checkpoint published by the authors of SAM."""

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
NAMES = (*_SHIPPED, *PUBLISHED)


@dataclass(frozen=True, slots=True)
class Identity:
    """The identity of a checkpoint.

    Attributes:
        sha256: hex digest of the file.
        arch: `vit_b`, `vit_l`, `vit_h` or `tiny`, if given by the name or the file's header.
        recommended: recommended mask settings, by name; empty if the file recommends none.
    """

    sha256: str
    arch: str | None
    recommended: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Resolved(Identity):
    """A verified checkpoint in a local file.

    Attributes:
        path: the file.
    """

    path: Path = Path()


def identify(spec: ModelSpec) -> Identity:
    """Return digest and recommended settings; a published checkpoint is not downloaded.

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
    """Return a checkpoint as a verified local file, downloaded to the cache if necessary.

    Args:
        name_or_path_or_url: one of `NAMES`, a local path, or a URL that fsspec can open.
        sha256: required digest of the file; those of the published checkpoints are pinned.
        cache: folder for downloaded files; `~/.cache/samseg` if None.
        progress: called with bytes downloaded and bytes in total (None if unknown).

    Raises:
        CheckpointError: the checkpoint does not exist, cannot be downloaded, or has another digest.
    """
    text = os.fspath(name_or_path_or_url)
    cache = ModelSpec().cache if cache is None else cache
    if text in PUBLISHED:
        published = PUBLISHED[text]
        url = _mirror_url(published.url)
        wanted = published.sha256 if sha256 is None else sha256
        if "://" not in url:
            return _resolve_local(Path(url), wanted, arch=text)
        return _resolve_remote(url, wanted, cache, progress, arch=text)
    if text in _SHIPPED:
        return _resolve_local(_SHIPPED[text], sha256, arch="tiny")
    if "://" in text and not text.startswith("file://"):
        return _resolve_remote(text, sha256, cache, progress)
    path = Path(text.removeprefix("file://")).expanduser()
    if not path.is_file():
        raise CheckpointError(_unknown_message(text, path))
    return _resolve_local(path, sha256)


def shipped_name(sha256: str) -> str | None:
    """Return the permanent name of the shipped weights with a digest; None if there are none."""
    return next((name for name, path in _VERSIONS.items() if sha256_of(path) == sha256), None)


def _mirror_url(url: str) -> str:
    base = os.environ.get(MIRROR_VARIABLE)
    return f"{base.rstrip('/').removeprefix('file://')}/{url.rsplit('/', 1)[1]}" if base else url


def _resolve_local(path: Path, wanted: str | None, arch: str | None = None) -> Resolved:
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
    return _describe(path, found, arch)


def _resolve_remote(
    url: str,
    wanted: str | None,
    cache: Path,
    progress: Callable[[int, int | None], None] | None,
    arch: str | None = None,
) -> Resolved:
    from samseg.sam.weights.download import fetch

    # URLs with the same file name must not collide in the cache; a query is only credentials
    stable = url.split("?", 1)[0]
    name = stable.rstrip("/").rsplit("/", 1)[-1]
    key = wanted or hashlib.sha256(stable.encode()).hexdigest()
    path = cache.expanduser() / f"{key[:12]}-{name}"
    found = fetch(url, path, wanted, progress)
    return _describe(path, found, arch)


def _describe(path: Path, sha256: str, arch: str | None) -> Resolved:
    header = safetensors_metadata(path)
    if "mask_settings" not in header and (copied := _shipped_copy(path)):
        header = safetensors_metadata(copied)
    recommended: dict[str, Any] = {}
    if "mask_settings" in header:
        try:
            recommended = json.loads(header["mask_settings"])
            MaskSettings(**recommended)
        except (ValueError, TypeError, RecursionError) as e:
            raise CheckpointError(
                f"the header of {path} recommends invalid mask settings: {e}"
            ) from e
    return Resolved(sha256, arch or header.get("arch"), recommended, path)


def _shipped_copy(path: Path) -> Path | None:
    """Return the shipped file whose weights a file without metadata contains, if any.

    `torch.save` and `safetensors.torch.save_file` drop the metadata of the weights they write.
    """
    found = tensor_digest(path) if path.stat().st_size <= _MAX_COPY_BYTES else None
    if found is None:
        return None
    shipped = ((p, tensor_digest(p, floats)) for p in _VERSIONS.values() for floats in _FLOATS)
    return next((p for p, digest in shipped if digest == found), None)


def _unknown_message(text: str, path: Path) -> str:
    siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    similar = difflib.get_close_matches(text, NAMES, n=1, cutoff=0.5)
    similar += [str(path.parent / n) for n in difflib.get_close_matches(path.name, siblings, n=2)]
    hint = f"; did you mean {' or '.join(repr(n) for n in similar)}?" if similar else ""
    return redact(
        f"no checkpoint {text!r}: not one of {', '.join(NAMES)}, and no file "
        f"{path.absolute()}{hint}"
    )
