"""Where the reference's time goes and where samseg's does, stage by stage, on one photo.

Both run whole, as users run them, with the functions that begin and end a stage timed from
outside; on a CPU with one thread, for on several samseg's stages overlap. So a saving shows where
it acts: a mask head that runs for fewer prompts, or run-length encoding after suppression instead
of before it, is cheaper per prompt here.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Literal

from pydantic import PositiveInt
from segment_anything import SamAutomaticMaskGenerator, SamPredictor, automatic_mask_generator
from segment_anything.modeling import MaskDecoder, Sam
from segment_anything.modeling.transformer import TwoWayTransformer

from samseg.lab.benchmark.machine import Machine
from samseg.lab.benchmark.record import Record
from samseg.lab.benchmark.stopwatch import Site, Stopwatch
from samseg.lab.benchmark.subject import Sides, Subject, photo
from samseg.lab.benchmark.tasks import AutomaticTask, BenchmarkTask
from samseg.progress import Progress
from samseg.sam import segmenter as ours
from samseg.sam.automatic import crop_masks as search
from samseg.sam.network.decoder import Decoder
from samseg.sam.network.encoder import ImageEncoder
from samseg.sam.runtime import SamRuntime
from samseg.sam.upsample.upsampler import Upsampler
from samseg.spec import Spec

ENCODER = "image encoder"
TRANSFORMER = "two-way transformer, IoU head"
HEAD = "mask head"
FILTERS = "upsampling, filters, boxes"
RLE = "run-length encoding"
REST = "the rest"

Unit = Literal["image", "prompt"]

_UNITS: Mapping[str, Unit] = {
    ENCODER: "image",
    TRANSFORMER: "prompt",
    HEAD: "prompt",
    FILTERS: "prompt",
    RLE: "prompt",
    REST: "prompt",
}


class StageTime(Spec):
    """One stage on both sides; medians of the repeats.

    Attributes:
        stage: its name.
        unit: what it is counted by: the encoder by image or crop, all others by prompt.
        reference_ms: per unit.
        samseg_ms: per unit.
    """

    stage: str
    unit: Unit
    reference_ms: float
    samseg_ms: float


class Breakdown(Record):
    """One run of `stages`.

    Attributes:
        subject: the model, and the settings as used.
        photo: its name.
        prompts: points asked on it.
        encodings: images and crops encoded.
        repeats: runs of each side.
        stages: in the order of the work.
    """

    subject: Subject
    photo: str
    prompts: int
    encodings: int
    repeats: PositiveInt
    stages: tuple[StageTime, ...]


def break_down(
    subject: Subject, path: Path, *, repeats: int, command: str, progress: Progress
) -> Breakdown:
    """Run both sides on one photo, in turn, and watch their stages.

    Args:
        subject: model and settings, with one thread.
        path: the photo.
        repeats: runs of each side, after one that does not count.
        command: how to take these figures again.
        progress: where to show progress.
    """
    progress.start("stages", 2 * (repeats + 1), "runs")
    task, pixels = AutomaticTask(), photo(path)
    sides = Sides.of(subject).on(subject, pixels)
    settings = sides.segmenter.settings
    sites = {"reference": reference_sites(sides.model), "samseg": samseg_sites()}
    watches: dict[str, list[Stopwatch]] = {side: [] for side in sites}
    for _ in range(repeats + 1):
        for side, watched in sites.items():
            watch = Stopwatch()
            with watch.watching(watched):
                if side == "reference":
                    task.reference(sides.model, settings, pixels)
                else:
                    task.samseg(sides.segmenter, pixels)
            watches[side].append(watch)
            progress.update(sum(map(len, watches.values())), side)
    progress.finish(f"{path.name}, {repeats} runs of each side")
    asked = task.asked(settings, pixels)
    return Breakdown(
        command=command,
        machine=Machine.here(sides.segmenter.device),
        subject=subject.model_copy(update={"settings": settings}),
        photo=path.name,
        prompts=asked.prompts,
        encodings=asked.encodings,
        repeats=repeats,
        stages=stage_times(watches["reference"][1:], watches["samseg"][1:], asked),
    )


def stage_times(
    reference: Sequence[Stopwatch], samseg: Sequence[Stopwatch], asked: BenchmarkTask
) -> tuple[StageTime, ...]:
    """Take medians over the repeats, per image or prompt."""
    units: Mapping[Unit, int] = {"image": asked.encodings, "prompt": asked.prompts}
    return tuple(
        StageTime(
            stage=stage,
            unit=unit,
            reference_ms=1e3 * median(w.seconds[stage] for w in reference) / units[unit],
            samseg_ms=1e3 * median(w.seconds[stage] for w in samseg) / units[unit],
        )
        for stage, unit in _UNITS.items()
    )


def reference_sites(model: Sam) -> list[Site]:
    """Return where the reference's stages begin and end."""
    return [
        (SamAutomaticMaskGenerator, "generate", REST),
        (SamPredictor, "set_image", ENCODER),
        (SamPredictor, "predict_torch", REST),
        (MaskDecoder, "predict_masks", HEAD),
        (TwoWayTransformer, "forward", TRANSFORMER),
        (model.mask_decoder.iou_prediction_head, "forward", TRANSFORMER),
        (SamAutomaticMaskGenerator, "_process_batch", FILTERS),
        (Sam, "postprocess_masks", FILTERS),
        (automatic_mask_generator, "mask_to_rle_pytorch", RLE),
        (automatic_mask_generator, "coco_encode_rle", RLE),
    ]


def samseg_sites() -> list[Site]:
    """Return where samseg's begin and end; what all prompts share is the transformer's."""
    return [
        (ours.Segmenter, "segment", REST),
        (ImageEncoder, "encode_batch", ENCODER),
        (Decoder, "image_cache", TRANSFORMER),
        (Decoder, "decode", TRANSFORMER),
        (Decoder, "logits", HEAD),
        (SamRuntime, "upsampler", FILTERS),
        (Upsampler, "measure", FILTERS),
        (Upsampler, "cut", FILTERS),
        (search, "cut_off", FILTERS),
        (ours, "to_masks", RLE),
    ]
