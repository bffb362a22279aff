"""Settings of a training run; `configs/pretrain_tiny.yaml` explains the choice of each value."""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from samseg.lab.pretraining.loss_weights import Weights
from samseg.readers import Reader
from samseg.readers.decode import DecodePolicy
from samseg.sam.settings import MaskSettings, ModelSpec
from samseg.spec import Spec


class PhotoSet(Spec):
    """A labelled photo set for training, in the layout of `samseg.lab.labelled`.

    Attributes:
        folder: local folder.
        share: of the images, relative to the other sources' shares.
        held_out: share of its photos that is reserved for evaluation.
        ground: make the background outside all segments a region too.
        paste: paste cutouts of its objects into scenes.
        whole: make all segments of a photo together an object too, with a separate kind.
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
        share: of the images, relative to the other sources' shares.
    """

    folder: str
    share: float = Field(gt=0)


class Scenes(Spec):
    """Generated scenes.

    Attributes:
        share: of the images, relative to the photo sets' shares.
        kinds: number of kinds of generated objects.
        photographic: share of textures that are cut from photographs.
        pasted: share of scenes with objects pasted from photo sets.
        photographs: folder of photographs for textures, in addition to those that scikit-image and
            scikit-learn ship.
    """

    share: float = Field(default=1.0, ge=0)
    kinds: int = Field(default=500, gt=0)
    photographic: float = Field(default=0.4, ge=0, le=1)
    pasted: float = Field(default=0.3, ge=0, le=1)
    photographs: str | None = None


class Teacher(Spec):
    """A model to distil, and the lake that it labels.

    Attributes:
        reader: location and layout of the images.
        decode: decoding policy.
        model: checkpoint and device of the teacher.
        masks: settings of its automatic mask generation.
        images: most images to label, evenly spread over the lake.
        share: of the images, relative to the other sources' shares.
    """

    reader: Reader
    decode: DecodePolicy = DecodePolicy()
    model: ModelSpec = ModelSpec(checkpoint="vit_h")
    masks: MaskSettings = MaskSettings()
    images: int = Field(default=5000, gt=0)
    share: float = Field(default=1.0, gt=0)


class Stage(Spec):
    """One stage of the curriculum.

    Attributes:
        steps: optimizer steps.
        minutes: time budget: the stage ends at the sum of the budgets up to here, if its steps have
            not ended it before.
        window: side in px of the window of the 1024 px input.
        pictures: images per step.
        clicks: prompts per image.
        freeze_norm: freeze the running statistics of BatchNorm.
        trunk_rate: learning rate of the encoder's trunk, relative to `learning_rate`; 0 freezes it.
        decoder_rate: likewise for prompt encoder and mask decoder.
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
    """A training run.

    Attributes:
        output: local folder for checkpoints, figures, contact sheets and the final weights.
        start: checkpoint of the architecture `tiny` to start from; when None, an encoder with the
            ImageNet trunk and a random neck.
        decoder: checkpoint that initialises the prompt encoder and mask decoder of a new model;
            random weights when None.
        scenes: generated scenes.
        photos: labelled photos.
        unlabelled: photos whose masks are derived from their colours and features before training.
        teacher: a model to distil.
        stages: the curriculum, in order.
        weights: of the losses.
        learning_rate: maximum, reached after `warmup` steps; decays to 1 % along a cosine.
        warmup: steps of linear warm-up.
        weight_decay: decoupled, per step and unit of learning rate.
        ema: decay of the exponential moving average of the weights, which the run exports.
        boxes: share of steps whose first prompt is a box.
        corrections: shares of steps with one and with two corrective clicks.
        uses: training examples made from each image.
        seed: of all random numbers.
        device: device of the training.
        loaders: processes that generate images; 0 generates them in the training process.
        checkpoint_every_s: seconds between checkpoints.
        sheet_every: steps between contact sheets.
        recommended: mask settings stored with the weights, by their names in `MaskSettings`.
        then: runs that follow, in order: the settings in which each differs from this run. Each
            starts from the averaged weights of the run before it.
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
    then: tuple[dict[str, Any], ...] = ()

    @field_validator("recommended")
    @classmethod
    def _known_settings(cls, recommended: dict[str, Any]) -> dict[str, Any]:
        MaskSettings(**recommended)
        return recommended

    @property
    def steps(self) -> int:
        """Total number of steps of all stages."""
        return sum(stage.steps for stage in self.stages)

    @property
    def photo_sets(self) -> tuple[PhotoSet, ...]:
        """The labelled sets, followed by the sets that the unlabelled photos become."""
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

    def runs(self) -> tuple["Pretraining", ...]:
        """Return the settings of this run and of those that follow, each without `then`."""
        own = self.model_dump(mode="json", exclude={"then"})
        return tuple(Pretraining.model_validate(_changed(own, c)) for c in ({}, *self.then))

    @model_validator(mode="after")
    def _valid_runs(self) -> Self:
        shared = {"output", "start", "decoder", "unlabelled", "teacher", "then"}
        for changes in self.then:
            if common := sorted(shared & changes.keys()):
                raise ValueError(f"a run of `then` cannot change {', '.join(common)}")
        if self.then:
            self.runs()
        return self

    @model_validator(mode="after")
    def _all_timed_or_none(self) -> Self:
        if len({stage.minutes is None for stage in self.stages}) > 1:
            raise ValueError(
                "some stages have minutes and some do not; set minutes for all stages or for none"
            )
        return self


def _changed(tree: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of `tree` with the leaves of `changes`; lists are replaced."""
    return tree | {
        key: _changed(tree[key], value)
        if isinstance(value, dict) and isinstance(tree.get(key), dict)
        else value
        for key, value in changes.items()
    }
