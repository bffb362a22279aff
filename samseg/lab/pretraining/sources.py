"""Open the image sources of a run: generated scenes, labelled photos, a teacher's photos."""

from pathlib import Path

from samseg.demo.lake import shipped_photos
from samseg.errors import ConfigError
from samseg.lab.pretraining.examples import INPUT, ImageSource
from samseg.lab.pretraining.photos import LabelledPhotos, read_photographs
from samseg.lab.pretraining.scenes import Scenery, cutouts
from samseg.lab.pretraining.settings import Pretraining
from samseg.lab.pretraining.teacher import TeacherPhotos

_KINDS_PER_SET = 1_000_000
_TEXTURES = ("grass.png", "gravel.png", "brick.png")


def open_sources(settings: Pretraining) -> tuple[list[ImageSource], list[float]]:
    """Open every source of training images.

    Returns:
        The sources, and the share of the images that each yields.

    Raises:
        ConfigError: a folder is not a labelled set, or there is no source.
    """
    scenes = settings.scenes
    sets = [
        LabelledPhotos(
            photos.folder,
            longest=INPUT // 2,
            held_out=photos.held_out,
            ground=photos.ground,
            first_kind=_KINDS_PER_SET * (i + 1),
            whole=photos.whole,
        )
        for i, photos in enumerate(settings.photo_sets)
    ]
    sources: list[ImageSource] = list(sets)
    shares = [photos.share for photos in settings.photo_sets]
    if scenes.share:
        pasted = [
            cutout
            for photos, of_set in zip(settings.photo_sets, sets, strict=True)
            if photos.paste
            for image in of_set.uncropped()
            for cutout in cutouts(image)
        ]
        files = shipped_photos()
        files += [files[0].with_name(name) for name in _TEXTURES if files]
        if scenes.photographs:
            files += sorted(p for p in Path(scenes.photographs).iterdir() if p.is_file())
        textures = read_photographs([path for path in files if path.exists()])
        sources.append(Scenery(textures, pasted, scenes.kinds, scenes.photographic, scenes.pasted))
        shares.append(scenes.share)
    if settings.teacher:
        sources.append(TeacherPhotos(Path(settings.output) / "teacher"))
        shares.append(settings.teacher.share)
    if not sources:
        raise ConfigError("nothing to train on: give scenes.share, photos or a teacher")
    return sources, shares
