"""What exports call images and classes: a file in the lake, a safe path, a number, a label."""

import hashlib
import re
from collections import Counter
from collections.abc import Sequence

from samseg.exporters.types import ClassRow, LabelledImage, Target
from samseg.printable import printable

_SEGMENT = r"\w[\w.+=@(), -]*"
_SAFE_KEY = re.compile(rf"(?:(?!_/){_SEGMENT}/)*{_SEGMENT}")
_LONGEST_SEGMENT, _LONGEST_KEY = 240, 700
_FOLDER_LIKE_A_PNG = re.compile(r"\.png/", re.IGNORECASE)
_TAR = re.compile(r"\.(tar|tar\.gz|tgz)$", re.IGNORECASE)


def file_of(image: LabelledImage) -> str:
    """Return the path of an image's file below the root of the lake.

    An image in `a.tar` is found at `a/{member}`: where it is once the tar has been extracted into
    the folder of its name.
    """
    member, inside, _ = image.uri.removeprefix("tar://").rpartition("::")
    if inside and image.uri.startswith("tar://") and image.key.endswith(f"/{member}"):
        tar = image.key.removesuffix(f"/{member}")
        return f"{_TAR.sub('', tar)}/{member}"
    return image.key


def is_safe(path: str) -> bool:
    """Check that no file system refuses a path, and that it stays below its folder.

    Paths below `_/` are left to images that have no safe path.
    """
    segments = [len(segment.encode()) for segment in path.split("/")]
    short = max(segments) <= _LONGEST_SEGMENT and sum(segments) <= _LONGEST_KEY
    return short and _SAFE_KEY.fullmatch(path) is not None


def png_of(image: LabelledImage) -> str:
    """Return the path of an image's PNG: unique, and safe for any key.

    `a/b.jpg` gives `a/b.jpg.png`. Keys that could escape the folder, collide or be invalid on some
    file system give `_/{image_id}.png`.
    """
    if is_safe(image.key) and not _FOLDER_LIKE_A_PNG.search(image.key):
        return f"{image.key}.png"
    return f"_/{image.image_id}.png"


def fallback_file_of(image: LabelledImage) -> str:
    """Return the name of an image's file where its own cannot be used: `_/{image_id}.jpg`."""
    extension = file_of(image).rpartition("/")[2].rpartition(".")[2]
    safe = extension if extension.isascii() and extension.isalnum() else "jpg"
    return f"_/{image.image_id}.{safe}"


def number_of(name: str) -> int:
    """Return a 53-bit hash of an image id or mask id: exact in JSON, float64 and int64.

    A file of half a million masks has a pair of equal numbers with a probability of 1 in 70 000.
    """
    digest = hashlib.blake2b(name.encode(), digest_size=7).digest()
    return int.from_bytes(digest, "big") >> 3


def numbered(target: Target, number: int) -> str:
    """Return what the names of objects with many images end with: `00000`, or `{part}-00000`."""
    return f"{target.part}-{number:05d}" if target.part else f"{number:05d}"


def labels_of(classes: Sequence[ClassRow]) -> dict[int | None, str]:
    """Return a label for each class id: its name, and its id too where names are equal.

    Control characters, which XML cannot hold, are escaped.
    """
    names = {c.class_id: printable(c.name) for c in classes}
    uses = Counter(names.values())
    return {i: name if uses[name] == 1 else f"{name} ({i})" for i, name in names.items()}
