"""What an export showed: made again from the tables, as they were for it."""

from collections.abc import Iterable, Iterator, Sequence

from pydantic import TypeAdapter, ValidationError

from samseg.errors import ConfigError, redact
from samseg.exporters import Coco, CocoPanoptic, Exporter
from samseg.exporters.coco_panoptic import visible
from samseg.exporters.origin import ExportOrigin
from samseg.exporters.types import ClassRow, LabelledImage, MaskRow
from samseg.output import Output
from samseg.stages.edits.masks import shards_of
from samseg.stages.export import folder_hash
from samseg.stages.labelled_images import LabelledImages
from samseg.types import NOISE

_EXPORTER: TypeAdapter[Exporter] = TypeAdapter(Exporter)


class PastExport:
    """An export as it was, in the state of the classes that it names.

    Attributes:
        origin: what the file says of it.
        shard_of: image -> its shard, of those images that the folder has.
    """

    def __init__(self, output: Output, origin: ExportOrigin, images: Iterable[str], file: str):
        """Find the images; reads their ids in committed shards until all are found.

        Args:
            output: the output folder.
            origin: of the file.
            images: ids of its images.
            file: its name, for messages.

        Raises:
            ConfigError: it is an export of another folder, or of a codebook that is gone.
        """
        self.origin = origin
        _check(output, origin, file)
        try:
            self._exporter = _EXPORTER.validate_python({"kind": origin.kind, **origin.settings})
        except ValidationError as e:
            raise ConfigError(
                f"{file} was exported as {origin.kind!r} with settings that this version of samseg "
                f"does not have: {origin.settings}"
            ) from e
        self._labelled = LabelledImages(output, (origin.codebook, origin.edit))
        self.shard_of = shards_of(output, images)

    @property
    def classes(self) -> Sequence[ClassRow]:
        """The classes that it showed, ascending by id."""
        return self._exporter.chosen((), self._labelled.classes)[1]

    def images(self) -> Iterator[LabelledImage]:
        """Yield the images of the shards that have images of the file, shard by shard."""
        every = self._labelled.images(sorted({*self.shard_of.values()}))
        chosen, _ = self._exporter.chosen(every, self._labelled.classes)
        yield from (image for image in chosen if image.image_id in self.shard_of)

    def written(self, image: LabelledImage) -> list[MaskRow]:
        """Return the masks of an image that it showed."""
        noise = isinstance(self._exporter, Coco) and self._exporter.noise
        masks = [m for m in image.masks if m.class_id is not None]
        masks = [m for m in masks if noise or m.class_id != NOISE]
        if isinstance(self._exporter, CocoPanoptic):
            shown = visible(image)
            masks = [m for m in masks if m.mask_id in shown]
        return masks


def _check(output: Output, origin: ExportOrigin, file: str) -> None:
    """Refuse an export that this folder did not make, or does not know any more."""
    folder = redact(output.uri)
    versions = output.codebook_versions(pruned=True)
    same = origin.codebook in versions and folder_hash(output, origin.codebook) == origin.folder
    newest = max(output.edit_numbers(), default=0)
    if not same or not 0 <= origin.edit <= newest:
        raise ConfigError(
            f"{file} was exported from another output folder than {folder}: it names codebook "
            f"v{origin.codebook} with the hash {origin.folder} and edit {origin.edit}, which this "
            "folder does not have"
        )
    if origin.codebook not in output.codebook_versions():
        raise ConfigError(
            f"{file} shows codebook v{origin.codebook}, which `samseg prune` has deleted; its "
            "corrections cannot be told from what was exported. Export again, and correct that file"
        )
