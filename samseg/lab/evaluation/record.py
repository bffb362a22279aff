"""What an evaluation asked and what came of it; written by `samseg eval masks --json FILE`."""

from typing import Literal

from pydantic import Field

from samseg.lab.evaluation.automatic import AutomaticScores
from samseg.lab.evaluation.calibration import Calibration
from samseg.lab.evaluation.structure import Structure
from samseg.spec import Spec


class Protocol(Spec):
    """What is asked.

    Attributes:
        held_out: only photos that a training with this `held_out` did not see; None for all.
        photos: the first ones of each set by name; None for all.
        segments: at most this many of each photo are prompted for, drawn by chance.
        seed: of the drawing.
        points_per_side: of automatic masks; the other settings are those that the checkpoint
            recommends.
        automatic_photos: the first ones of each set, for automatic masks; 0 for none.
    """

    held_out: float | None = Field(default=None, gt=0, lt=1)
    photos: int | None = Field(default=None, ge=1)
    segments: int = Field(default=12, ge=1)
    seed: int = Field(default=0, ge=0)
    points_per_side: int = Field(default=16, ge=1)
    automatic_photos: int = Field(default=6, ge=0)


class SetScores(Spec):
    """One checkpoint on one set; each IoU is the mean over the segments prompted for.

    Attributes:
        name: of the set.
        photos: looked at.
        segments: prompted for, each over 0.2 % of its photo.
        best: IoU of the best of the three masks that one click gives.
        preferred: IoU of the one of the three with the highest predicted IoU.
        clicks: IoU after the first, second and third click.
        box: IoU of the mask in the true box.
        calibration: of all three masks of one click.
        automatic: None where it was not asked for.
        structure: None where the set has too few segments with categories.
        seconds: wall time of all this.
    """

    name: str
    photos: int
    segments: int
    best: float
    preferred: float
    clicks: tuple[float, ...]
    box: float
    calibration: Calibration
    automatic: AutomaticScores | None
    structure: Structure | None
    seconds: float


class ModelScores(Spec):
    """One checkpoint.

    Attributes:
        model: as it was asked for.
        sha256: digest of the weights.
        device: where it ran.
        threads: CPU threads of PyTorch.
        encode_seconds: to encode 1024 x 1024 px, wall time, the median of three.
        sets: the scores, in the order of the sets.
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
        version: of the record.
        protocol: what was asked.
        models: side by side.
    """

    version: Literal[1] = 1
    protocol: Protocol
    models: tuple[ModelScores, ...]
