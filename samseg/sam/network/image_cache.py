"""What all prompts on one image share: linear images of its features, computed once.

See `samseg.sam.network.decoder` for the derivation. d = 256 channels, n = 4096 positions, h = 8
heads of c = 16 channels. Positions come in tiles of whole rows of the 64 x 64 grid: p tiles of w
positions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from segment_anything.modeling import Sam
from segment_anything.modeling.transformer import Attention, TwoWayAttentionBlock
from torch import Tensor, nn

CPU_TILE = 256
"""Positions per tile on a CPU, so that a few prompts' attention weights stay in the cache."""


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """The image side of a token-to-image attention; prompts' keys are scale (base + ...) + bias.

    Attributes:
        keys: (p, h, c, w), projected base; of the first layer with bias and positional encoding.
        position: (p, h, c, w), projected bias plus positional encoding; None in the first layer.
        values: (p, h, w, c), projected base.
        offset: (h c,), projected bias: what every value holds besides.
    """

    keys: Tensor
    position: Tensor | None
    values: Tensor
    offset: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Writing:
    """The image side of an image-to-token attention and of the LayerNorm after it.

    Attributes:
        queries: (p, h, c, w), as `Reading.keys`.
        position: (p, h, c, w), as `Reading.position`.
        square: (p, w), squared norm of the centred base.
        products: for this layer and each before it, (p, h, c, w): centred base times what a value
            of that layer adds to the centred keys.
        constants: likewise (p, w): centred base times what that layer adds whatever the values.
    """

    queries: Tensor
    position: Tensor | None
    square: Tensor
    products: tuple[Tensor, ...]
    constants: tuple[Tensor, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ImageCache:
    """What all prompts on an image with one dense prompt share.

    Attributes:
        readings: one per layer, and the final one.
        writings: one per layer.
        upscaled: (p', w', 4 x 64), first upscaling of the base, of the tiles that hold image,
            without columns that are only padding.
        visible: rows and columns of the grid that hold image, not only padding.
    """

    readings: tuple[Reading, ...]
    writings: tuple[Writing, ...]
    upscaled: Tensor
    visible: tuple[int, int]


class ImageCaches:
    """Makes `ImageCache`s with the weights of a model."""

    def __init__(self, model: Sam):
        """Use the weights of `model` where they are."""
        self._transformer = model.mask_decoder.transformer
        self._grid: tuple[int, int] = model.prompt_encoder.image_embedding_size
        with torch.inference_mode():
            self._pe = model.prompt_encoder.get_dense_pe()[0].flatten(1)  # (d, n)
        self._upscaling, _ = kernel2(model.mask_decoder.output_upscaling[0], columns_first=True)
        positions = self._grid[0] * self._grid[1]
        self.tile = CPU_TILE if self._pe.device.type == "cpu" else positions

    def of(self, features: Tensor, dense: Tensor, visible: tuple[int, int]) -> ImageCache:
        """Compute the image side of one image.

        Args:
            features: (1, d, 64, 64).
            dense: (1, d, 64, 64) dense prompt embedding: a mask prompt, or "no mask".
            visible: rows and columns of the grid that hold image.
        """
        base, bias = (features + dense)[0].flatten(1), None
        readings, writings = [], []
        norms: list[nn.LayerNorm] = []
        for layer in self._transformer.layers:
            readings.append(self._reading(layer.cross_attn_token_to_image, base, bias))
            writings.append(self._writing(base, bias, norms))
            norms.append(layer.norm4)
            base, bias = layer.norm4.weight[:, None] * centred(base), layer.norm4.bias
        readings.append(self._reading(self._transformer.final_attn_token_to_image, base, bias))
        rows, columns = visible
        per_tile = self.tile // self._grid[1]
        by_row = base.unflatten(1, (-1, per_tile, self._grid[1]))[:, : -(-rows // per_tile)]
        seen = by_row[..., :columns].flatten(2).permute(1, 2, 0)
        return ImageCache(tuple(readings), tuple(writings), seen @ self._upscaling.T, visible)

    def _reading(self, attention: Attention, base: Tensor, bias: Tensor | None) -> Reading:
        keys, position = self._placed(attention.k_proj, attention.num_heads, base, bias)
        values, offset = attention.v_proj.weight @ base, attention.v_proj.bias
        if bias is not None:
            offset = offset + attention.v_proj.weight @ bias
        return Reading(
            keys,
            position,
            self._tiles(values, attention.num_heads).transpose(2, 3).contiguous(),
            offset,
        )

    def _writing(self, base: Tensor, bias: Tensor | None, norms: Sequence[nn.LayerNorm]) -> Writing:
        """Prepare layer i; `norms` are those of the layers before it, `bias` the last one's."""
        layers = self._transformer.layers[: len(norms) + 1]
        attention = layers[-1].cross_attn_image_to_token
        queries, position = self._placed(attention.q_proj, attention.num_heads, base, bias)
        products: list[Tensor] = []
        constants: list[Tensor] = []
        probe = centred(base)
        square = probe.square().sum(dim=0)
        for i in reversed(range(len(layers))):
            out = layers[i].cross_attn_image_to_token.out_proj
            products.insert(0, self._tiles(out.weight.T @ probe, attention.num_heads))
            constants.insert(0, self._tiles(added_bias(layers, i) @ probe))
            if i > 0:  # what an earlier layer added has gone through the LayerNorms between
                probe = centred(norms[i - 1].weight[:, None] * probe)
        return Writing(queries, position, self._tiles(square), tuple(products), tuple(constants))

    def _placed(
        self, projection: nn.Linear, heads: int, base: Tensor, bias: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Project base, and bias plus positional encoding; together where they scale alike."""
        weight, offset = projection.weight, projection.bias[:, None]
        if bias is None:
            return self._tiles(weight @ (base + self._pe) + offset, heads), None
        placed = weight @ (bias[:, None] + self._pe) + offset
        return self._tiles(weight @ base, heads), self._tiles(placed, heads)

    def _tiles(self, x: Tensor, heads: int = 0) -> Tensor:
        """(h c, n) to (p, h, c, w); without heads (n,) to (p, w)."""
        tiles = x.unflatten(-1, (-1, self.tile)).movedim(-2, 0)
        return (tiles.unflatten(1, (heads, -1)) if heads else tiles).contiguous()


def added_bias(layers: Sequence[TwoWayAttentionBlock], i: int) -> Tensor:
    """Return (d,) what layer i adds to the keys besides values: its own bias, the norm's before."""
    bias: Tensor = layers[i].cross_attn_image_to_token.out_proj.bias
    return bias if i == 0 else bias + layers[i - 1].norm4.bias


def kernel2(convolution: nn.ConvTranspose2d, columns_first: bool) -> tuple[Tensor, Tensor]:
    """Read a transposed convolution of kernel 2 and stride 2 as one matrix product per position.

    Args:
        convolution: the convolution.
        columns_first: order of the four sub-pixels: column of the sub-pixel first, else row first.

    Returns:
        (4 x out, in) weight and (4 x out,) bias.
    """
    order = (3, 2, 1, 0) if columns_first else (2, 3, 1, 0)
    weight = convolution.weight.permute(*order).flatten(0, 2)
    bias = convolution.bias
    return weight, (weight.new_zeros(convolution.out_channels) if bias is None else bias).repeat(4)


def centred(x: Tensor) -> Tensor:
    """Subtract the mean over the channels of (d, n)."""
    return x - x.mean(dim=0)
