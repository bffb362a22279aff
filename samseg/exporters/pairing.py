"""Objects that tools pair with a photo by its name: `a/b.png` or `a/b.txt` for `a/b.jpg`."""

from samseg.exporters.names import file_of, is_safe
from samseg.exporters.types import LabelledImage, Target


def put_paired(
    image: LabelledImage, payload: bytes, target: Target, folder: str, suffix: str
) -> str:
    """Put an object under the name of a photo, with `suffix` in place of its extension.

    The name is `_/{image_id}{suffix}` where the photo has no extension or no safe name, and where
    another photo, which differs by its extension only, has the name already and other contents.

    Args:
        image: the photo.
        payload: the object.
        target: the destination.
        folder: folder of these objects, below which the photo's own folders are repeated.
        suffix: of the name, `.png` for example.

    Returns:
        The name below `folder`.
    """
    file = file_of(image)
    stem, _, extension = file.rpartition(".")
    name = f"{stem}{suffix}"
    # a folder with this suffix could have the name of another object
    usable = stem and "/" not in extension and f"{suffix}/" not in stem.lower()
    usable = usable and is_safe(file) and is_safe(name)
    if usable and target.offer(f"{folder}/{name}", payload):
        return name
    name = f"_/{image.image_id}{suffix}"
    target.put(f"{folder}/{name}", payload)
    return name
