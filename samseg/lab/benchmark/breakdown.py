"""Time per stage of the reference and of samseg on one photo.

Both run unchanged, with the functions of each stage timed from outside. On a CPU with one thread,
because with several samseg's stages overlap. Times are per prompt, so a saving appears in the
stage where it arises: a mask head that runs for fewer prompts, or run-length encoding after
suppression instead of before it.
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
from samseg.lab.benchmark.tasks import AutomaticTask, Workload
from samseg.progress import Progress
from samseg.sam import segmenter as ours
from samseg.sam.automatic import crop_masks
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
    """Time of one stage on both sides; medians over the repeats.

    Attributes:
        stage: its name.
        unit: `image` (image or crop) for the encoder, `prompt` for all other stages.
        reference_ms: milliseconds per unit.
        samseg_ms: milliseconds per unit.
    """

    stage: str
    unit: Unit
    reference_ms: float
    samseg_ms: float


class Breakdown(Record):
    """One run of `stages`.

    Attributes:
        subject: the model, with the settings used.
        photo: name of the photo.
        prompts: number of point prompts.
        encodings: number of images and crops encoded.
        repeats: runs of each side.
        stages: times, in the order of execution.
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
    """Run both sides alternately on one photo and time their stages.

    Args:
        subject: model and settings, with one thread.
        path: the photo.
        repeats: runs of each side, after one warm-up run.
        command: the command that reproduces the figures.
        progress: where progress is shown.
    """
    progress.start("stages", 2 * (repeats + 1), "runs")
    task, pixels = AutomaticTask(), photo(path)
    sides = Sides.of(subject).on(subject, pixels)
    settings = sides.segmenter.settings
    sites = {"reference": reference_sites(sides.model), "samseg": samseg_sites()}
    watches: dict[str, list[Stopwatch]] = {side: [] for side in sites}
    for _ in range(repeats + 1):
        for side, timed in sites.items():
            watch = Stopwatch()
            with watch.watching(timed):
                if side == "reference":
                    task.reference(sides.model, settings, pixels)
                else:
                    task.samseg(sides.segmenter, pixels)
            watches[side].append(watch)
            progress.update(sum(map(len, watches.values())), side)
    progress.finish(f"{path.name}, {repeats} runs of each side")
    workload = task.workload(settings, pixels)
    return Breakdown(
        command=command,
        machine=Machine.here(sides.segmenter.device),
        subject=subject.model_copy(update={"settings": settings}),
        photo=path.name,
        prompts=workload.prompts,
        encodings=workload.encodings,
        repeats=repeats,
        stages=stage_times(watches["reference"][1:], watches["samseg"][1:], workload),
    )


def stage_times(
    reference: Sequence[Stopwatch], samseg: Sequence[Stopwatch], workload: Workload
) -> tuple[StageTime, ...]:
    """Return medians over the repeats, per image or prompt."""
    units: Mapping[Unit, int] = {"image": workload.encodings, "prompt": workload.prompts}
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
    """Return the functions of the reference's stages."""
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
    """Return the functions of samseg's stages; work shared by all prompts counts as transformer."""
    return [
        (ours.Segmenter, "segment", REST),
        (ImageEncoder, "encode_batch", ENCODER),
        (Decoder, "image_cache", TRANSFORMER),
        (Decoder, "decode", TRANSFORMER),
        (Decoder, "logits", HEAD),
        (SamRuntime, "upsampler", FILTERS),
        (Upsampler, "measure", FILTERS),
        (Upsampler, "cut", FILTERS),
        (crop_masks, "cut_off", FILTERS),
        (ours, "to_masks", RLE),
    ]
