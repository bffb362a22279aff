"""Review sessions over a small folder of generated scenes, for tests of the page."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import fsspec
import numpy as np

from samseg.clustering import Linkage
from samseg.clustering.settings import ClusterSettings
from samseg.edits.log import read_log
from samseg.output import Output
from samseg.progress import Silent
from samseg.recipe import fingerprint
from samseg.review.classes_now import classes_now
from samseg.review.mask_pictures import MaskPictures
from samseg.review.picture_cache import PictureCache
from samseg.review.session import Pace, Review, open_review
from samseg.stages import drift
from samseg.stages.cluster.stage import cluster
from samseg.stages.edits.resolution import Resolver
from tests.conftest import built_output

FIT = ClusterSettings(fit=Linkage(min_size=4))
NIGHTS = ("20260101T000000Z-a", "20260102T000000Z-b")


def fitted_review(folder: Path, keys: Sequence[str], size: tuple[int, int] = (96, 128)) -> Review:
    """Build a folder of two nights, with classes fitted, and open it; its photos are in memory."""
    made = built_output(folder, tuple(keys), codebook=False, size=size)
    output = made.output
    cluster(output, FIT, recipe_fingerprint=fingerprint(output.recipe()))
    shards = output.committed()
    for stamp, before, new in zip(NIGHTS, (None, 1), (shards, {min(shards)}), strict=True):
        drift.write(output, drift.measure(output, stamp, before, new))
    for uri, payload in made.photos.items():
        fsspec.filesystem("memory").pipe(uri.removeprefix("memory:/"), payload)
    return open_review(output, "ann", folder / "pictures", Silent())


def copy_of(review: Review, folder: Path) -> Output:
    """Return a copy of a session's folder."""
    shutil.copytree(review.output.uri.removeprefix("file://"), folder)
    return Output(str(folder))


def session_over(review: Review, output: Output, pictures: Path) -> Review:
    """Return a session over such a copy, without reading again what does not change."""
    catalogue = review.now.catalogue
    catalogue = replace(catalogue, ratio=catalogue.ratio.copy())
    return replace(
        review,
        output=output,
        resolver=Resolver(output, catalogue.version),
        now=classes_now(output, catalogue, read_log(output)),
        pictures=MaskPictures(output, catalogue, PictureCache(pictures)),
        pace=Pace(),
        skipped=set(),
    )


def make_unsure(review: Review) -> None:
    """Make a third of the masks not clearly of their class."""
    ratio = review.now.catalogue.ratio
    ratio[::3] = 1 + np.linspace(0, 0.4, len(ratio[::3]), dtype=np.float32)
    review.now = classes_now(review.output, review.now.catalogue, review.now.edits)
