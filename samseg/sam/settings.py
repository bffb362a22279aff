"""What the user says about the model and about mask generation.

Mask settings carry the names and defaults of `segment_anything.SamAutomaticMaskGenerator`. Those
defaults were chosen for vit_h; a checkpoint may recommend others (`MaskSettings.resolved`).
This module imports no torch.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PlainSerializer, model_validator

from samseg.spec import Spec

Architecture = Literal["vit_b", "vit_l", "vit_h", "tiny"]
Precision = Literal["float32", "bfloat16"]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
GridPoint = tuple[Fraction, Fraction]


class GridPoints(Spec):
    """Every point of the grid is asked, as by the reference."""

    kind: Literal["grid"] = "grid"


class AdaptivePoints(Spec):
    """A coarse grid first, finer points where they promise masks; approximate.

    See `samseg.sam.automatic.adaptive_points` for the rule and for what it misses.
    """

    kind: Literal["adaptive"] = "adaptive"


class MaskSettings(Spec):
    """Every parameter of `SamAutomaticMaskGenerator` but `output_mode`, and `points`.

    Attributes:
        points: which points of the grid are asked.
        points_per_side: points along one side of the image; None when `point_grids` is given.
        points_per_batch: most points decoded at once; decides memory and speed, not masks.
        pred_iou_thresh: masks whose predicted IoU is not above this are dropped; 0 keeps all.
        stability_score_thresh: masks less stable than this are dropped; 0 keeps all.
        stability_score_offset: shift of the mask threshold, in logits, that stability measures.
        box_nms_thresh: of two masks of one crop with box IoU above this, the one with the lower
            predicted IoU is dropped.
        crop_n_layers: layers of crops; layer i has (2**i)**2 crops besides the whole image.
        crop_nms_thresh: as `box_nms_thresh`, between crops; the smaller crop wins.
        crop_overlap_ratio: overlap of the crops of layer 1, as a fraction of the shorter side.
        crop_n_points_downscale_factor: layer i has points_per_side / factor**i points per side.
        point_grids: explicit (x, y) points in [0, 1], one grid per layer, layer 0 first.
        min_mask_region_area: holes and islands smaller than this many px are removed.
    """

    points: Annotated[GridPoints | AdaptivePoints, Field(discriminator="kind")] = GridPoints()
    points_per_side: Annotated[int, Field(ge=1)] | None = 32
    points_per_batch: int = Field(default=64, ge=1)
    pred_iou_thresh: Fraction = 0.88
    stability_score_thresh: Fraction = 0.95
    stability_score_offset: float = Field(default=1.0, ge=0.0)
    box_nms_thresh: Fraction = 0.7
    crop_n_layers: int = Field(default=0, ge=0, le=8)
    crop_nms_thresh: Fraction = 0.7
    crop_overlap_ratio: float = Field(default=512 / 1500, ge=0.0, lt=1.0)
    crop_n_points_downscale_factor: int = Field(default=1, ge=1)
    point_grids: tuple[tuple[GridPoint, ...], ...] | None = None
    min_mask_region_area: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _one_source_of_points(self) -> "MaskSettings":
        if (self.points_per_side is None) == (self.point_grids is None):
            got = "neither" if self.point_grids is None else "both"
            raise ValueError(
                f"exactly one of points_per_side and point_grids must be given, got {got}; "
                "set points_per_side to null to use point_grids"
            )
        if self.points.kind == "adaptive" and self.point_grids is not None:
            raise ValueError(
                "adaptive points need the order of a grid: give points_per_side, not point_grids, "
                "or set points to {kind: grid}"
            )
        layers = self.crop_n_layers + 1
        if self.point_grids is not None and len(self.point_grids) < layers:
            raise ValueError(
                f"point_grids holds {len(self.point_grids)} grids, but crop_n_layers="
                f"{self.crop_n_layers} needs {layers}: one for the whole image and one per layer"
            )
        if self.points_per_side is not None:
            smallest = self.points_per_side // self.crop_n_points_downscale_factor ** (layers - 1)
            if smallest < 1:
                raise ValueError(
                    f"crop layer {layers - 1} would have no points: points_per_side="
                    f"{self.points_per_side} divided by crop_n_points_downscale_factor="
                    f"{self.crop_n_points_downscale_factor} to the power of {layers - 1} "
                    "is below 1; lower the factor or raise points_per_side"
                )
        return self

    def of_reference(self) -> dict[str, Any]:
        """Return the arguments that make `SamAutomaticMaskGenerator` ask the whole grid."""
        arguments = self.model_dump(exclude={"points"})
        if self.point_grids is not None:
            import numpy as np

            arguments["point_grids"] = [np.array(grid) for grid in self.point_grids]
        return arguments

    def resolved(self, recommended: Mapping[str, Any]) -> "MaskSettings":
        """Return the settings as they will be used with one checkpoint.

        A setting given explicitly (in the config or as an argument) stays; one that was not takes
        the checkpoint's recommended value, and where there is none, the default above. Giving a
        value equal to the default counts as given. Resolving twice changes nothing.

        Args:
            recommended: the checkpoint's own values, by setting name.
        """
        given = {name: getattr(self, name) for name in self.model_fields_set}
        return MaskSettings(**{**recommended, **given})


def _default_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "samseg"


class ModelSpec(Spec):
    """Which checkpoint, and where it runs.

    Attributes:
        checkpoint: `tiny` (shipped), `vit_b`, `vit_l`, `vit_h` (fetched once), a path or a URL.
        device: `auto` takes a GPU where there is one.
        precision: of the large matrix products. float32 gives the reference's masks up to
            rounding; bfloat16 nearly them, faster where the hardware has it (GPUs, and CPUs with
            AMX or AVX512-BF16).
        compile: compile the model with `torch.compile`, the same masks up to rounding; minutes
            before the first image, so for long runs, on GPUs. Needs a C compiler.
        sha256: digest that a path or URL must have; the named checkpoints have theirs pinned.
        cache: folder for fetched checkpoints.
        arch: architecture, where the weights themselves do not tell; None asks the weights.
    """

    checkpoint: str = Field(default="tiny", min_length=1)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Precision = "float32"
    compile: bool = False
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    cache: Annotated[Path, PlainSerializer(str)] = Field(default_factory=_default_cache)
    arch: Architecture | None = None
