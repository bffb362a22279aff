"""Features of one image, and what is pooled from them."""

from dataclasses import dataclass

from samseg.types.arrays import Bool, Float32


@dataclass(frozen=True, slots=True)
class PatchGrid:
    """How the patches of a feature map lie over an image.

    The image is scaled to `input_size` and placed in the top left corner of the network's input;
    the rest of the input is padding.

    Attributes:
        image_size: (h, w) of the image in px.
        input_size: (h, w) of the scaled image in px of the input, without padding; each at least 1.
        stride: side of a patch in px of the input.
        shape: (rows, columns) of patches, those in the padding included.
    """

    image_size: tuple[int, int]
    input_size: tuple[int, int]
    stride: int
    shape: tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Dense features of one image, from SAM or from another network.

    Attributes:
        map: (c, rows, columns) float32.
        grid: how the patches lie over the image.
    """

    map: Float32
    grid: PatchGrid

    def __post_init__(self) -> None:
        if self.map.ndim != 3 or self.map.shape[1:] != self.grid.shape:
            raise ValueError(
                f"the feature map has shape {self.map.shape}, wanted (c, *{self.grid.shape}): "
                "the features of one image, without a batch axis"
            )


@dataclass(frozen=True, slots=True, eq=False)
class Pooled:
    """One embedding per mask.

    Attributes:
        embeddings: (n, c) float32, raw (unnormalised); a zero row where `empty`.
        coverage: (n,) float32, patches of the grid covered by the mask, fractional.
        empty: (n,) bool, True where there was no patch to pool.
    """

    embeddings: Float32
    coverage: Float32
    empty: Bool
