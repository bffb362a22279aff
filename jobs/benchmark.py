"""Measure samseg against `segment_anything`, side by side, in one run.

    python jobs/benchmark.py amg photos/*.jpg --points-per-side 16
    python jobs/benchmark.py prompts photos/*.jpg --boxes 200

Times are ratios on the machine that is named; masks are compared one to one by IoU, next to the
reference's own noise: itself with other batches, and with its input perturbed by 1e-6.
"""

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table
from segment_anything import SamAutomaticMaskGenerator, SamPredictor
from segment_anything.modeling import Sam

from samseg.readers.decode import DecodePolicy
from samseg.sam.matching import Agreement, agreement
from samseg.sam.segmenter import Segmenter
from samseg.sam.settings import MaskSettings, ModelSpec

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)
console = Console(width=110)
T = TypeVar("T")

Photos = Annotated[list[Path], typer.Argument(help="Photos to segment.")]
Checkpoint = Annotated[str, typer.Option(help="tiny, vit_b, vit_l, vit_h, a path or a URL.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Threads = Annotated[int, typer.Option(help="CPU threads; 0 leaves them to PyTorch.")]


@app.command()
def amg(
    images: Photos,
    checkpoint: Checkpoint = "tiny",
    device: Device = "auto",
    threads: Threads = 0,
    points_per_side: int = 32,
    crops: Annotated[int, typer.Option(help="Crop layers.")] = 0,
    noise: Annotated[bool, typer.Option(help="Also run the reference against itself.")] = True,
) -> None:
    """Compare automatic masks and their time with `SamAutomaticMaskGenerator`."""
    asked = MaskSettings(points_per_side=points_per_side, crop_n_layers=crops)
    segmenter = Segmenter.load(
        ModelSpec(checkpoint=checkpoint), asked, device=device, threads=threads or None
    )
    model, settings = segmenter.model, segmenter.settings
    seconds = {"reference": 0.0, "samseg": 0.0}
    found: dict[str, Agreement] = {"samseg": Agreement()}
    for path in images:
        pixels = _decode(path)
        wanted, took = _timed(lambda p=pixels: reference(model, settings, p))
        seconds["reference"] += took
        (masks, _), took = _timed(lambda p=pixels: segmenter.segment(p))
        seconds["samseg"] += took
        found["samseg"] += agreement(wanted, masks.rles)
        if noise:
            smaller = settings.model_copy(update={"points_per_batch": 7})
            for name, other in (
                ("reference, batches of 7", reference(model, smaller, pixels)),
                ("reference, input + 1e-6", perturbed(model, settings, pixels)),
            ):
                found[name] = found.get(name, Agreement()) + agreement(wanted, other)
        console.print(f"{path.name}: {len(wanted)} masks, samseg {len(masks)}", style="dim")
    title = (
        f"automatic masks, {checkpoint}, {points_per_side} points per side, {crops} crop layers, "
        f"{len(images)} photos"
    )
    _show_masks(title, found)
    _show_times(seconds, segmenter, len(images))


@app.command()
def prompts(
    images: Photos,
    checkpoint: Checkpoint = "tiny",
    device: Device = "auto",
    threads: Threads = 0,
    boxes: Annotated[int, typer.Option(help="Random boxes per photo.")] = 128,
) -> None:
    """Compare box prompts and their time with `SamPredictor.predict_torch`, encoding included."""
    segmenter = Segmenter.load(
        ModelSpec(checkpoint=checkpoint), device=device, threads=threads or None
    )
    seconds = {"reference": 0.0, "samseg": 0.0}
    found = {"samseg": Agreement()}
    for path in images:
        pixels = _decode(path)
        asked = _random_boxes(pixels.shape[:2], boxes)
        wanted, took = _timed(lambda p=pixels, b=asked: reference_boxes(segmenter.model, p, b))
        seconds["reference"] += took
        (masks, _), took = _timed(lambda p=pixels, b=asked: segmenter.prompt(p, boxes=b))
        seconds["samseg"] += took
        found["samseg"] += agreement(wanted, masks.rles)
    _show_masks(f"box prompts, {checkpoint}, {boxes} boxes per photo, {len(images)} photos", found)
    _show_times(seconds, segmenter, len(images))


def reference(model: Sam, settings: MaskSettings, pixels: np.ndarray) -> list[dict[str, Any]]:
    """Return the RLEs of `SamAutomaticMaskGenerator` under the same settings."""
    generator = SamAutomaticMaskGenerator(
        model, **settings.model_dump(), output_mode="uncompressed_rle"
    )
    return [_compressed(mask["segmentation"]) for mask in generator.generate(pixels)]


def perturbed(model: Sam, settings: MaskSettings, pixels: np.ndarray) -> list[dict[str, Any]]:
    """Return the reference's RLEs with the normalised input moved by noise of 1e-6."""
    generator = torch.Generator().manual_seed(0)

    def move(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor]:
        noise = torch.randn(inputs[0].shape, generator=generator).to(inputs[0].device)
        return (inputs[0] + 1e-6 * noise,)

    hook = model.image_encoder.register_forward_pre_hook(move)
    try:
        return reference(model, settings, pixels)
    finally:
        hook.remove()


def reference_boxes(model: Sam, pixels: np.ndarray, boxes: np.ndarray) -> list[dict[str, Any]]:
    """Return the RLEs of `SamPredictor.predict_torch`, 64 boxes at a time."""
    from pycocotools import mask as coco

    predictor = SamPredictor(model)
    predictor.set_image(pixels)
    found = []
    for part in torch.as_tensor(boxes, device=model.device).split(64):
        asked = predictor.transform.apply_boxes_torch(part, pixels.shape[:2])
        masks, _, _ = predictor.predict_torch(None, None, asked, multimask_output=False)
        found += [coco.encode(np.asfortranarray(m[0].cpu().numpy(), np.uint8)) for m in masks]
    return found


def _random_boxes(size: tuple[int, int], n: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    a, b = rng.uniform(0, 1, (2, n, 2)) * size[::-1]
    return np.concatenate([np.minimum(a, b), np.maximum(a, b)], axis=1).astype(np.float32)


def _compressed(rle: dict[str, Any]) -> dict[str, Any]:
    from pycocotools import mask as coco

    return coco.frPyObjects(rle, *rle["size"])


def _decode(path: Path) -> np.ndarray:
    return DecodePolicy().decode(path.read_bytes()).pixels


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    began = time.perf_counter()
    result = work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return result, time.perf_counter() - began


def _show_masks(title: str, found: dict[str, Agreement]) -> None:
    table = Table(title=title)
    table.add_column("against the reference")
    for name in found:
        table.add_column(name, justify="right")
    rows: dict[str, Callable[[Agreement], str]] = {
        "masks found / wanted": lambda a: f"{a.found} / {a.wanted}",
        "recall at IoU 0.9": lambda a: f"{a.recall(0.9):.4f}",
        "recall at IoU 0.99": lambda a: f"{a.recall(0.99):.4f}",
        "precision at IoU 0.9": lambda a: f"{a.precision(0.9):.4f}",
        "precision at IoU 0.99": lambda a: f"{a.precision(0.99):.4f}",
        "mean matched IoU": lambda a: f"{a.mean_iou:.6f}",
        "difference in counts": lambda a: str(a.count_difference),
    }
    for row, of in rows.items():
        table.add_row(row, *(of(a) for a in found.values()))
    console.print(table)


def _show_times(seconds: dict[str, float], segmenter: Segmenter, images: int) -> None:
    ours, theirs = seconds["samseg"], seconds["reference"]
    console.print(
        f"{theirs / ours:.1f} times as fast as the reference ({ours / images:.2f} s against "
        f"{theirs / images:.2f} s a photo) on {_machine(segmenter.device)}"
    )


def _machine(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    info = Path("/proc/cpuinfo")
    names = [x for x in info.read_text().splitlines() if "model name" in x] if info.exists() else []
    name = names[0].split(":", 1)[1].strip() if names else platform.processor()
    return f"{name}, {torch.get_num_threads()} threads of {os.cpu_count()} CPUs"


if __name__ == "__main__":
    app()
