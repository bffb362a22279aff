"""Pack the photos of a training run into one small archive, for training on another machine.

Photos are resized to the resolution at which training reads them. Held-out photos are left out.
"""

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image as Pillow

from samseg.lab.labelled import LabelledPhoto, LabelledSet, is_held_out
from samseg.lab.pretraining.settings import PhotoSet
from samseg.types import Int32, Pixels

_WEBP_QUALITY = 80


def pack(sets: Sequence[PhotoSet], path: Path, longest: int) -> int:
    """Write labelled sets to a tar file, each in a folder named after it.

    Args:
        sets: labelled sets; their names must differ.
        path: file to write.
        longest: longer side in px to which larger photos are shrunk.

    Returns:
        Number of photos packed.
    """
    photos = 0
    partial = path.with_suffix(".part")
    with tarfile.open(partial, "w") as archive:
        for photo_set in sets:
            labelled = LabelledSet(photo_set.folder)
            name = Path(photo_set.folder).name
            segments: dict[str, list[dict[str, Any]]] = {}
            for stem in labelled.stems:
                if is_held_out(stem, photo_set.held_out):
                    continue
                photo = labelled.read(stem)
                segments[stem] = [{"id": i, "category": c} for i, c in photo.categories.items()]
                for file, content in _files(stem, photo, longest):
                    _add(archive, f"{name}/{file}", content)
                photos += 1
            _add(archive, f"{name}/instances.json", json.dumps(segments).encode())
            _add(archive, f"{name}/meta.json", json.dumps({"name": labelled.name}).encode())
    partial.replace(path)
    return photos


def _files(stem: str, photo: LabelledPhoto, longest: int) -> list[tuple[str, bytes]]:
    h, w = photo.pixels.shape[:2]
    scale = min(1.0, longest / max(h, w))
    size = max(1, round(w * scale)), max(1, round(h * scale))
    pixels = cv2.resize(photo.pixels, size, interpolation=cv2.INTER_AREA)
    files = [(f"images/{stem}.webp", _webp(np.asarray(pixels, np.uint8)))]
    for k, map_ in enumerate((photo.instances, *photo.further)):
        shrunk = cv2.resize(map_, size, interpolation=cv2.INTER_NEAREST)
        further = f"__{k}" if k else ""
        files.append((f"instances/{stem}{further}.png", _png(np.asarray(shrunk, np.int32))))
    return files


def _webp(pixels: Pixels) -> bytes:
    sink = io.BytesIO()
    Pillow.fromarray(pixels).save(sink, "WEBP", quality=_WEBP_QUALITY)
    return sink.getvalue()


def _png(ids: Int32) -> bytes:
    sink = io.BytesIO()
    Pillow.fromarray(ids.astype(np.uint8 if ids.max() < 256 else np.uint16)).save(
        sink, "PNG", optimize=True
    )
    return sink.getvalue()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))
