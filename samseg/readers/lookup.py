"""Random access to single images by the `uri` stored in the tables, for reports.

Suitable for a few hundred images. A tar is streamed up to the last requested member, so read
whole lakes with a reader's `read` instead.
"""

import re
from collections.abc import Iterable, Iterator

from samseg.errors import ImageError, SamsegError, one_line
from samseg.readers.tar import images
from samseg.storage import Opener

_NO_LIMIT = 1 << 62
_DUPLICATE = re.compile(r"~\d+$")


def fetch(uri: str) -> bytes:
    """Read the file of one image.

    Args:
        uri: from the column `uri` of `images`: any fsspec URL, or `tar://{member}::{tar}`.

    Raises:
        ImageError: the image can no longer be read.
    """
    for _, payload in fetch_many([uri]):
        if isinstance(payload, bytes):
            return payload
        raise payload
    raise ImageError("unreadable", f"no image at {uri}")


def fetch_many(uris: Iterable[str]) -> Iterator[tuple[str, bytes | ImageError]]:
    """Read the files of images, in any order; every tar is opened once.

    Yields:
        Each distinct URI with its bytes, or with the reason why it can no longer be read.
    """
    tars: dict[str, set[str]] = {}
    opener = Opener()
    for uri in dict.fromkeys(uris):
        member, chained, tar = uri.removeprefix("tar://").rpartition("::")
        if uri.startswith("tar://") and chained:
            tars.setdefault(tar, set()).add(member)
        else:
            yield uri, _read(opener, uri)
    for tar, names in tars.items():
        yield from _from_tar(opener, tar, names)


def _read(opener: Opener, uri: str) -> bytes | ImageError:
    try:
        with opener.open(uri) as f:
            return bytes(f.read())
    except (OSError, ValueError, ImportError, SamsegError) as e:
        return ImageError("unreadable", one_line(e))


def _from_tar(
    opener: Opener, tar: str, names: set[str]
) -> Iterator[tuple[str, bytes | ImageError]]:
    missing = set(names)
    reason = "no such image in the tar"
    try:
        wanted = names | {_DUPLICATE.sub("", name) for name in names}
        for name, payload in images(lambda: opener.open(tar), wanted.__contains__, _NO_LIMIT):
            if name in missing:
                missing.remove(name)
                yield f"tar://{name}::{tar}", payload
            if not missing:
                return
    except (OSError, ValueError, ImportError, SamsegError) as e:
        reason = one_line(e)
    for name in sorted(missing):
        yield f"tar://{name}::{tar}", ImageError("unreadable", reason)
