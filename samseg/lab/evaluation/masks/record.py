"""The record of an evaluation, written by `samseg eval masks --json FILE`."""

from typing import Literal

from pydantic import Field

from samseg.lab.evaluation.masks.automatic import AutomaticScores
from samseg.lab.evaluation.masks.calibration import Calibration
from samseg.lab.evaluation.masks.groups import GroupScores
from samseg.lab.evaluation.masks.structure import Structure
from samseg.spec import Spec


class Protocol(Spec):
    """Choice of photos, segments and prompts.

    Attributes:
        held_out: use only photos that training with this `held_out` did not use; None for all.
        photos: use the first photos of each set, by name; None for all.
        segments: maximum number of segments prompted per photo, chosen at random.
        seed: seed of that choice.
        points_per_side: point grid of automatic masks; the other settings are the checkpoint's
            recommended values.
        automatic_photos: number of first photos of each set with automatic masks; 0 for none.
    """

    held_out: float | None = Field(default=None, gt=0, lt=1)
    photos: int | None = Field(default=None, ge=1)
    segments: int = Field(default=12, ge=1)
    seed: int = Field(default=0, ge=0)
    points_per_side: int = Field(default=16, ge=1)
    automatic_photos: int = Field(default=6, ge=0)


class SetScores(Spec):
    """Scores of one checkpoint on one set; each IoU is the mean over the prompted segments.

    Attributes:
        name: name of the set.
        photos: number of photos.
        segments: number of prompted segments, each over 0.2 % of its photo.
        best: IoU of the best of the three masks of one click.
        preferred: IoU of the mask, of these three, with the highest predicted IoU.
        clicks: IoU after the first, second and third click.
        box: IoU of the mask predicted from the true box.
        groups: scores of one click with intervals: all segments, things, stuff, and by area.
        calibration: calibration over all three masks of one click.
        automatic: scores of automatic masks; None if not requested.
        structure: scores of embeddings; None if too few segments have categories.
        seconds: wall time of the evaluation on this set.
    """

    name: str
    photos: int
    segments: int
    best: float
    preferred: float
    clicks: tuple[float, ...]
    box: float
    groups: tuple[GroupScores, ...] = ()
    calibration: Calibration
    automatic: AutomaticScores | None
    structure: Structure | None
    seconds: float


class ModelScores(Spec):
    """Scores of one checkpoint.

    Attributes:
        model: the requested name, path or URL.
        sha256: digest of the weights.
        device: the device used.
        threads: CPU threads of PyTorch.
        encode_seconds: wall seconds to encode 1024 x 1024 px, the median of three.
        sets: scores per set, in the order of the sets.
    """

    model: str
    sha256: str
    device: str
    threads: int
    encode_seconds: float
    sets: tuple[SetScores, ...]


class Evaluation(Spec):
    """One run of `samseg eval masks`.

    Attributes:
        version: version of the record's format.
        protocol: choice of photos, segments and prompts.
        models: scores per checkpoint, in the order requested.
    """

    version: Literal[1] = 1
    protocol: Protocol
    models: tuple[ModelScores, ...]
