"""The settings of a training run; see `configs/pretrain_tiny.yaml` for what each is good for."""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from samseg.lab.pretraining.loss_weights import Weights
from samseg.readers import Reader
from samseg.readers.decode import DecodePolicy
from samseg.sam.settings import MaskSettings, ModelSpec
from samseg.spec import Spec


class PhotoSet(Spec):
    """A labelled photo set to train on, laid out as `samseg.lab.labelled` says.

    Attributes:
        folder: local folder.
        share: of the pictures, relative to the other sources' shares.
        held_out: share of its photos that is kept for measuring.
        ground: what lies outside of all segments is a region too.
        paste: cut its things out and paste them into scenes.
        whole: all segments of a photo together are a thing too, of a kind of its own.
    """

    folder: str
    share: float = Field(gt=0)
    held_out: float = Field(default=0.0, ge=0, lt=1)
    ground: bool = True
    paste: bool = True
    whole: bool = False


class UnlabelledPhotos(Spec):
    """Photos without labels; see `samseg.lab.pretraining.self_labels`.

    Attributes:
        folder: local folder of photos.
        share: of the pictures, relative to the other sources' shares.
    """

    folder: str
    share: float = Field(gt=0)


class Scenes(Spec):
    """Generated scenes.

    Attributes:
        share: of the pictures, relative to the photo sets' shares.
        kinds: number of kinds of generated things.
        photographic: share of textures that are cut from photographs.
        pasted: share of scenes with things pasted from photo sets.
        photographs: folder of photographs that lend their surfaces, besides those that
            scikit-image and scikit-learn ship.
    """

    share: float = Field(default=1.0, ge=0)
    kinds: int = Field(default=500, gt=0)
    photographic: float = Field(default=0.4, ge=0, le=1)
    pasted: float = Field(default=0.3, ge=0, le=1)
    photographs: str | None = None


class Teacher(Spec):
    """A model whose masks and features are learned, and the lake that it looks at.

    Attributes:
        reader: where the images are.
        decode: how their bytes become pixels.
        model: the teacher's checkpoint, and where it runs.
        masks: its automatic mask generation.
        images: at most as many images, evenly spread over the lake.
        share: of the pictures, relative to the other sources' shares.
    """

    reader: Reader
    decode: DecodePolicy = DecodePolicy()
    model: ModelSpec = ModelSpec(checkpoint="vit_h")
    masks: MaskSettings = MaskSettings()
    images: int = Field(default=5000, gt=0)
    share: float = Field(default=1.0, gt=0)


class Stage(Spec):
    """A part of the curriculum.

    Attributes:
        steps: optimizer steps.
        minutes: the stage ends this long after the one before should have, whatever its steps.
        window: side in px of the part of the 1024 px input that is looked at.
        pictures: per step.
        clicks: prompts per picture.
        freeze_norm: keep the statistics of BatchNorm as they are.
        trunk_rate: learning rate of the encoder's trunk, relative to all else; 0 freezes it.
        decoder_rate: the same of prompt encoder and mask decoder.
    """

    steps: int = Field(gt=0)
    minutes: float | None = Field(default=None, gt=0)
    window: int = Field(multiple_of=128, ge=128, le=1024)
    pictures: int = Field(default=8, gt=0)
    clicks: int = Field(default=8, gt=0)
    freeze_norm: bool = False
    trunk_rate: float = Field(default=1.0, ge=0)
    decoder_rate: float = Field(default=1.0, ge=0)


class Pretraining(Spec):
    """A whole training run.

    Attributes:
        output: local folder for checkpoints, figures, contact sheets and the final weights.
        start: checkpoint of the architecture `tiny` to start from; when None, the encoder on
            its ImageNet trunk with a random neck.
        decoder: checkpoint whose prompt encoder and mask decoder a new model begins with; random
            ones when None.
        scenes: generated pictures.
        photos: labelled pictures.
        unlabelled: pictures that get masks from what holds together in them, before training.
        teacher: a model to learn from.
        stages: the curriculum, in order.
        weights: of the losses.
        learning_rate: at its height, after `warmup` steps; a cosine brings it down to 1 %.
        warmup: steps.
        weight_decay: of the weights, per step and unit of learning rate.
        ema: decay of the average of the weights that is kept in the end.
        boxes: share of steps whose first prompt is a box.
        corrections: shares of steps with one and with two corrective clicks.
        uses: how often a picture is used.
        seed: of everything drawn.
        device: where it runs.
        loaders: processes that draw pictures; 0 draws in the training process.
        checkpoint_every_s: seconds between checkpoints.
        sheet_every: steps between contact sheets.
        recommended: mask settings that go with the weights, under `MaskSettings`' names.
    """

    output: str = Field(min_length=1)
    start: str | None = None
    decoder: str | None = None
    scenes: Scenes = Scenes()
    photos: tuple[PhotoSet, ...] = ()
    unlabelled: tuple[UnlabelledPhotos, ...] = ()
    teacher: Teacher | None = None
    stages: tuple[Stage, ...] = Field(min_length=1)
    weights: Weights = Weights()
    learning_rate: float = Field(default=1e-3, gt=0)
    warmup: int = Field(default=200, ge=0)
    weight_decay: float = Field(default=0.02, ge=0)
    ema: float = Field(default=0.999, gt=0, lt=1)
    boxes: float = Field(default=0.2, ge=0, le=1)
    corrections: tuple[float, float] = (0.3, 0.1)
    uses: int = Field(default=2, gt=0)
    seed: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    loaders: int = Field(default=1, ge=0)
    checkpoint_every_s: float = Field(default=300.0, gt=0)
    sheet_every: int = Field(default=250, gt=0)
    recommended: dict[str, Any] = Field(default_factory=dict)

    @field_validator("recommended")
    @classmethod
    def _known_settings(cls, recommended: dict[str, Any]) -> dict[str, Any]:
        MaskSettings(**recommended)
        return recommended

    @property
    def steps(self) -> int:
        """Return the steps of all stages."""
        return sum(stage.steps for stage in self.stages)

    @property
    def photo_sets(self) -> tuple[PhotoSet, ...]:
        """Return the labelled sets, and the sets that unlabelled photos become."""
        folder = Path(self.output) / "self_labels"
        return self.photos + tuple(
            PhotoSet(
                folder=str(folder / Path(photos.folder).name),
                share=photos.share,
                ground=False,
                paste=False,
            )
            for photos in self.unlabelled
        )

    @model_validator(mode="after")
    def _all_timed_or_none(self) -> Self:
        if len({stage.minutes is None for stage in self.stages}) > 1:
            raise ValueError("some stages have minutes and some have none; give all or none")
        return self
