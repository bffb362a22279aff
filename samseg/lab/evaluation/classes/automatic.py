"""Automatic masks of labelled sets: a night over the photos of each, kept for later runs."""

import glob
from pathlib import Path

import torch

from samseg.config import Config
from samseg.engine import Local
from samseg.lab.evaluation.classes.record import ClassProtocol
from samseg.lab.evaluation.classes.rows import SEED_EMBEDDING, Compared
from samseg.lab.labelled import LabelledSet
from samseg.nightly import Night
from samseg.output import Output
from samseg.progress import Progress
from samseg.readers import Folder
from samseg.sam.settings import MaskSettings

POINTS_PER_SIDE = 16


def segmented(
    labelled: LabelledSet,
    compared: Compared,
    work: Path,
    protocol: ClassProtocol,
    progress: Progress,
) -> Output:
    """Segment and embed the photos of a set with the shipped model, `tiny`.

    The output folder is `{work}/{name of the set's folder}`. What it has is not done again, and
    embeddings that it lacks are added.

    Raises:
        RecipeError: the folder has masks of other settings.
    """
    photos = labelled.files[: protocol.photos]
    config = Config(
        output=str(work / labelled.folder.resolve().name),
        reader=Folder(
            uri=str(labelled.folder.resolve() / "images"),
            include=tuple(glob.escape(photo.name) for photo in photos),
        ),
        masks=MaskSettings(points_per_side=POINTS_PER_SIDE),
        embeddings=(*compared.embeddings, SEED_EMBEDDING),
        engine=Local(threads=torch.get_num_threads()),
    )
    night = Night(config, progress)
    night.plan()
    night.embed()
    night.describe()
    return night.output
