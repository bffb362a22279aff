"""The demo's lake: photos from installed packages and generated scenes, without downloads.

The photos ship with scikit-image and scikit-learn, which samseg depends on; they are copied
unchanged. To label your own images, set `reader.uri` to their folder instead.
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
"""Photo files by package, relative to the package's folder."""


def write_demo_lake(
    folder: str | Path, photos: bool = True, scenes: int = 16, first_seed: int = 0
) -> list[Path]:
    """Write `photos/` and `scenes/` below `folder`, keeping existing files.

    Args:
        folder: root of the lake, created if missing.
        photos: also copy the photos of installed packages.
        scenes: number of generated scenes.
        first_seed: seed of the first scene; other seeds add scenes to an existing lake.

    Returns:
        The lake's files, photos first.
    """
    root = Path(folder)
    copied = shipped_photos() if photos else []
    written = [_write_once(root / "photos" / p.name, p.read_bytes) for p in copied]
    for seed in range(first_seed, first_seed + scenes):
        path = root / "scenes" / f"table-{seed:03d}.jpg"
        written.append(_write_once(path, partial(_encoded_scene, seed)))
    return written


def shipped_photos() -> list[Path]:
    """Return the paths of the installed photos, without importing their packages."""
    found = []
    for package, names in _PHOTOS.items():
        spec = find_spec(package)
        if spec is not None and spec.origin is not None:
            found += [Path(spec.origin).parent / name for name in names]
    return [path for path in found if path.exists()]


def _write_once(path: Path, make: Callable[[], bytes]) -> Path:
    """Write a file atomically unless it exists, so that an interrupted run can be resumed."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.part")
        temporary.write_bytes(make())
        temporary.replace(path)
    return path


def _encoded_scene(seed: int) -> bytes:
    sink = io.BytesIO()
    Pillow.fromarray(draw_scene(seed).pixels).save(sink, "JPEG", quality=92)
    return sink.getvalue()
