"""The image cache: linear projections of an image's features, shared by all prompts on the image.

See `samseg.sam.network.decoder` for the derivation. d = 256 channels, n = 4096 positions, h = 8
heads of c = 16 channels. Positions are grouped into tiles of whole rows of the 64 x 64 grid: p
tiles of w positions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from segment_anything.modeling import Sam
from segment_anything.modeling.transformer import Attention, TwoWayAttentionBlock
from torch import Tensor, nn

CPU_TILE = 256
"""Positions per tile on a CPU: attention weights of a few prompts then fit into the CPU cache."""


@dataclass(frozen=True, slots=True, eq=False)
class TokenToImageCache:
    """Cached terms of a token-to-image attention; a prompt's keys are scale (base + ...) + bias.

    Attributes:
        keys: (p, h, c, w), projected base; in the first layer including bias and positional
            encoding.
        position: (p, h, c, w), projected bias plus positional encoding; None in the first layer.
        values: (p, h, w, c), projected base.
        offset: (h c,), projected bias, the same for all values.
    """

    keys: Tensor
    position: Tensor | None
    values: Tensor
    offset: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class ImageToTokenCache:
    """Cached terms of an image-to-token attention and the LayerNorm after it.

    Attributes:
        queries: (p, h, c, w), as `TokenToImageCache.keys`.
        position: (p, h, c, w), as `TokenToImageCache.position`.
        square: (p, w), squared norm of the centred base.
        products: for this and each earlier layer, (p, h, c, w): product of the centred base with
            the contribution of that layer's values to the centred keys.
        constants: likewise (p, w): product of the centred base with that layer's constant
            contribution.
    """

    queries: Tensor
    position: Tensor | None
    square: Tensor
    products: tuple[Tensor, ...]
    constants: tuple[Tensor, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ImageCache:
    """The terms shared by all prompts on an image with the same dense prompt.

    Attributes:
        token_to_image: one per layer, and one for the final attention.
        image_to_token: one per layer.
        upscaled: (p', w', 4 x 64), first upscaling of the base, without tiles and columns that
            contain only padding.
        visible: rows and columns of the grid that do not contain only padding.
    """

    token_to_image: tuple[TokenToImageCache, ...]
    image_to_token: tuple[ImageToTokenCache, ...]
    upscaled: Tensor
    visible: tuple[int, int]


class ImageCacheBuilder:
    """Builds image caches with the weights of a model."""

    def __init__(self, model: Sam):
        """Share the weights of `model`, on its device."""
        self._transformer = model.mask_decoder.transformer
        self._grid: tuple[int, int] = model.prompt_encoder.image_embedding_size
        with torch.inference_mode():
            self._pe = model.prompt_encoder.get_dense_pe()[0].flatten(1)  # (d, n)
        self._upscaling, _ = kernel2(model.mask_decoder.output_upscaling[0], columns_first=True)
        positions = self._grid[0] * self._grid[1]
        self.tile = CPU_TILE if self._pe.device.type == "cpu" else positions

    def build(self, features: Tensor, dense: Tensor, visible: tuple[int, int]) -> ImageCache:
        """Build the cache of one image.

        Args:
            features: (1, d, 64, 64).
            dense: (1, d, 64, 64) dense prompt embedding: a mask prompt, or "no mask".
            visible: rows and columns of the grid that do not contain only padding.
        """
        base, bias = (features + dense)[0].flatten(1), None
        token_to_image, image_to_token = [], []
        norms: list[nn.LayerNorm] = []
        for layer in self._transformer.layers:
            attention = layer.cross_attn_token_to_image
            token_to_image.append(self._token_to_image(attention, base, bias))
            image_to_token.append(self._image_to_token(base, bias, norms))
            norms.append(layer.norm4)
            base, bias = layer.norm4.weight[:, None] * centred(base), layer.norm4.bias
        final = self._transformer.final_attn_token_to_image
        token_to_image.append(self._token_to_image(final, base, bias))
        rows, columns = visible
        per_tile = self.tile // self._grid[1]
        by_row = base.unflatten(1, (-1, per_tile, self._grid[1]))[:, : -(-rows // per_tile)]
        cropped = by_row[..., :columns].flatten(2).permute(1, 2, 0)
        upscaled = cropped @ self._upscaling.T
        return ImageCache(tuple(token_to_image), tuple(image_to_token), upscaled, visible)

    def _token_to_image(
        self, attention: Attention, base: Tensor, bias: Tensor | None
    ) -> TokenToImageCache:
        keys, position = self._project(attention.k_proj, attention.num_heads, base, bias)
        values, offset = attention.v_proj.weight @ base, attention.v_proj.bias
        if bias is not None:
            offset = offset + attention.v_proj.weight @ bias
        return TokenToImageCache(
            keys,
            position,
            self._tiles(values, attention.num_heads).transpose(2, 3).contiguous(),
            offset,
        )

    def _image_to_token(
        self, base: Tensor, bias: Tensor | None, norms: Sequence[nn.LayerNorm]
    ) -> ImageToTokenCache:
        """Build the cache of layer i from the norms of earlier layers and the last one's bias."""
        layers = self._transformer.layers[: len(norms) + 1]
        attention = layers[-1].cross_attn_image_to_token
        queries, position = self._project(attention.q_proj, attention.num_heads, base, bias)
        products: list[Tensor] = []
        constants: list[Tensor] = []
        probe = centred(base)
        square = probe.square().sum(dim=0)
        for i in reversed(range(len(layers))):
            out = layers[i].cross_attn_image_to_token.out_proj
            products.insert(0, self._tiles(out.weight.T @ probe, attention.num_heads))
            constants.insert(0, self._tiles(added_bias(layers, i) @ probe))
            if i > 0:  # contributions of earlier layers pass through the LayerNorms in between
                probe = centred(norms[i - 1].weight[:, None] * probe)
        return ImageToTokenCache(
            queries, position, self._tiles(square), tuple(products), tuple(constants)
        )

    def _project(
        self, projection: nn.Linear, heads: int, base: Tensor, bias: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Project base, and bias plus positional encoding; summed in the first layer."""
        weight, offset = projection.weight, projection.bias[:, None]
        if bias is None:
            return self._tiles(weight @ (base + self._pe) + offset, heads), None
        position = weight @ (bias[:, None] + self._pe) + offset
        return self._tiles(weight @ base, heads), self._tiles(position, heads)

    def _tiles(self, x: Tensor, heads: int = 0) -> Tensor:
        """Split (h c, n) into (p, h, c, w); without heads, (n,) into (p, w)."""
        tiles = x.unflatten(-1, (-1, self.tile)).movedim(-2, 0)
        return (tiles.unflatten(1, (heads, -1)) if heads else tiles).contiguous()


def added_bias(layers: Sequence[TwoWayAttentionBlock], i: int) -> Tensor:
    """Return the (d,) constant that layer i adds to the keys: its bias and the last norm's."""
    bias: Tensor = layers[i].cross_attn_image_to_token.out_proj.bias
    return bias if i == 0 else bias + layers[i - 1].norm4.bias


def kernel2(convolution: nn.ConvTranspose2d, columns_first: bool) -> tuple[Tensor, Tensor]:
    """Express a transposed convolution of kernel 2 and stride 2 as a matrix product per position.

    Args:
        convolution: the convolution.
        columns_first: order of the four sub-pixels: column first, otherwise row first.

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
