"""Writes a small lake to try everything on: real photos and generated scenes, nothing downloaded.

The photos ship inside scikit-image and scikit-learn, which samseg needs anyway; they are copied as
they are. For your own images point `reader.uri` at them instead.
"""

import io
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from PIL import Image as Pillow

from samseg.demo.scenes import draw_scene

_PHOTOS = {
    "skimage": (
        "data/astronaut.png",
        "data/chelsea.png",
        "data/coffee.png",
        "data/coins.png",
        "data/motorcycle_left.png",
        "data/rocket.jpg",
    ),
    "sklearn": ("datasets/images/china.jpg", "datasets/images/flower.jpg"),
}
"""Photographs, by the package whose folder they lie in."""


def write_demo_lake(
    folder: str | Path, photos: bool = True, scenes: int = 16, first_seed: int = 0
) -> list[Path]:
    """Write `photos/` and `scenes/` below `folder`; files that are there already stay.

    Args:
        folder: root of the lake, created if missing.
        photos: also copy the photos that installed packages ship (those that are there).
        scenes: number of generated scenes.
        first_seed: seed of the first scene; scenes of other seeds make the lake grow.

    Returns:
        The lake's files, photos first.
    """
    root = Path(folder)
    chosen = shipped_photos() if photos else []
    written = [_keep(root / "photos" / photo.name, photo.read_bytes) for photo in chosen]
    for seed in range(first_seed, first_seed + scenes):
        path = root / "scenes" / f"table-{seed:03d}.jpg"
        written.append(_keep(path, partial(_scene, seed)))
    return written


def shipped_photos() -> list[Path]:
    """Return the photos that are installed, without importing the packages that ship them."""
    found = []
    for package, names in _PHOTOS.items():
        spec = find_spec(package)
        if spec is not None and spec.origin is not None:
            found += [Path(spec.origin).parent / name for name in names]
    return [path for path in found if path.exists()]


def _keep(path: Path, make: Callable[[], bytes]) -> Path:
    """Write a file that is not there yet; whole or not at all, so that a killed run can go on."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.part")
        beside.write_bytes(make())
        beside.replace(path)
    return path


def _scene(seed: int) -> bytes:
    sink = io.BytesIO()
    Pillow.fromarray(draw_scene(seed).pixels).save(sink, "JPEG", quality=92)
    return sink.getvalue()
