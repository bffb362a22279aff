"""Config sections of the model and of mask generation.

Mask settings have the names and defaults of `segment_anything.SamAutomaticMaskGenerator`. The
defaults were chosen for vit_h; a checkpoint may recommend others (`MaskSettings.resolved`).
This module does not import torch.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PlainSerializer, model_validator

from samseg.location import Location
from samseg.spec import Spec

Architecture = Literal["vit_b", "vit_l", "vit_h", "tiny"]
Precision = Literal["float32", "bfloat16"]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
GridPoint = tuple[Fraction, Fraction]


class GridPoints(Spec):
    """Prompt all points of the grid, like the reference."""

    kind: Literal["grid"] = "grid"


class AdaptivePoints(Spec):
    """Prompt a coarse grid, then finer points where more masks are likely; approximate.

    See `samseg.sam.automatic.adaptive_points` for the rule and its recall.
    """

    kind: Literal["adaptive"] = "adaptive"


class MaskSettings(Spec):
    """The parameters of `SamAutomaticMaskGenerator` except `output_mode`, and `points`.

    Attributes:
        points: which points of the grid are prompted.
        points_per_side: points along one side of the image; None if `point_grids` is given.
        points_per_batch: maximum number of points per decoder call; affects memory and speed, not
            masks.
        pred_iou_thresh: masks whose predicted IoU is not above this are dropped; 0 keeps all.
        stability_score_thresh: masks with a lower stability score are dropped; 0 keeps all.
        stability_score_offset: shift of the mask threshold, in logits, used to measure stability.
        box_nms_thresh: of two masks of one crop with box IoU above this, the one with the lower
            predicted IoU is dropped.
        crop_n_layers: layers of crops; layer i has (2**i)**2 crops; layer 0 is the whole image.
        crop_nms_thresh: as `box_nms_thresh`, between crops; the mask of the smaller crop is kept.
        crop_overlap_ratio: overlap of the crops of layer 1, as a fraction of the shorter side.
        crop_n_points_downscale_factor: layer i has points_per_side / factor**i points per side.
        point_grids: explicit (x, y) points in [0, 1], one grid per layer, layer 0 first.
        min_mask_region_area: holes and islands of fewer px than this are removed.
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
                "adaptive points need a regular grid: set points_per_side instead of point_grids, "
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

    def reference_arguments(self) -> dict[str, Any]:
        """Return the arguments of `SamAutomaticMaskGenerator`, which prompts the whole grid."""
        arguments = self.model_dump(exclude={"points"})
        if self.point_grids is not None:
            import numpy as np

            arguments["point_grids"] = [np.array(grid) for grid in self.point_grids]
        return arguments

    def resolved(self, recommended: Mapping[str, Any]) -> "MaskSettings":
        """Return the settings to use with one checkpoint.

        An explicit setting (in the config or as an argument) is kept, even if it equals the
        default. Others take the checkpoint's recommended value, or else the default above.
        Resolving again with the same values changes nothing.

        Args:
            recommended: the checkpoint's recommended values, by setting name.
        """
        given = {name: getattr(self, name) for name in self.model_fields_set}
        return MaskSettings(**{**recommended, **given})


def _default_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "samseg"


class ModelSpec(Spec):
    """The checkpoint, and how to run it.

    Attributes:
        checkpoint: `tiny` (shipped), `vit_b`, `vit_l`, `vit_h` (downloaded once), a path or a URL.
        device: `auto` uses a GPU if there is one.
        precision: of the large matrix products. float32 reproduces the reference's masks up to
            rounding; bfloat16 approximately, and is faster on hardware that supports it (GPUs,
            and CPUs with AMX or AVX512-BF16). Devices without bfloat16 compute in float32. The
            encoder of `tiny` stays in float32.
        compile: compile the model with `torch.compile`; the masks are the same up to rounding.
            Takes minutes before the first image, so use it for long runs on GPUs. Needs a C
            compiler.
        sha256: required digest of a path or URL; those of the named checkpoints are pinned.
        cache: folder for downloaded checkpoints.
        arch: architecture; None detects it from the weights.
    """

    checkpoint: Location = "tiny"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Precision = "float32"
    compile: bool = False
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    cache: Annotated[Path, PlainSerializer(str)] = Field(default_factory=_default_cache)
    arch: Architecture | None = None
