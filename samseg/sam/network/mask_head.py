"""SAM's mask head: from attention weights to logits; see `samseg.sam.network.decoder`.

Exact up to rounding in the given precision. A transposed convolution of kernel 2 and stride 2 is a
matrix product per position, and LayerNorm and GELU act on single pixels: one position yields 4 x 4
logits independently of its neighbours. So positions are processed in tiles, positions in the
padding are skipped, and sub-pixels stay in the channel dimension up to the logits.
"""

import torch
from segment_anything.modeling import MaskDecoder
from torch import Tensor
from torch.nn import functional

from samseg.sam.network.cross_attention import Keys
from samseg.sam.network.image_cache import ImageCache, kernel2

_CPU_PROMPTS = 4
"""Prompts upscaled at once on a CPU: one tile of them fits into the CPU cache."""


class MaskHead:
    """Computes logits from keys and mask tokens; holds no image."""

    def __init__(self, decoder: MaskDecoder, grid: tuple[int, int], precision: torch.dtype):
        """Use the weights of `decoder`.

        Args:
            decoder: mask decoder.
            grid: rows and columns of positions.
            precision: of the two upscaling products; everything else is float32.
        """
        self._hypernetworks = decoder.output_hypernetworks_mlps
        first, self._norm, _, second, _ = decoder.output_upscaling
        self._first = kernel2(first, columns_first=True)
        weight, bias = kernel2(second, columns_first=False)
        self._second = weight.to(precision), bias.to(precision)
        self._keys_bias = decoder.transformer.layers[-1].norm4.bias
        self._grid, self._precision = grid, precision

    def __call__(
        self, image: ImageCache, keys: Keys, tokens: Tensor, masks: list[int], prompts: Tensor
    ) -> Tensor:
        """Compute logits for b of the prompts in `keys`.

        Args:
            image: cache of the image.
            keys: the prompts' image embeddings.
            tokens: (prompts in `keys`, masks, d) mask tokens.
            masks: the hypernetwork of each mask token.
            prompts: (b,) int64 positions among the prompts in `keys`.

        Returns:
            (b, masks, 4 rows, 4 columns) float32 logits of the visible rows and columns.
        """
        tokens = tokens[prompts]
        b, m = tokens.shape[:2]
        rows, columns = image.visible
        hyper = torch.stack([self._hypernetworks[k](tokens[:, i]) for i, k in enumerate(masks)], 1)
        weight, bias = self._first
        directions = (keys.directions[prompts] @ weight.T).to(self._precision)  # (b, r, 4 x 64)
        constant = weight @ self._keys_bias + bias
        tiles, w = image.upscaled.shape[:2]
        logits = tokens.new_empty(b, m, tiles, w, 16)
        at_once = _CPU_PROMPTS if tokens.device.type == "cpu" else b
        for start in range(0, b, at_once):
            some = slice(start, start + at_once)
            for tile, base in enumerate(image.upscaled.to(self._precision)):
                weights = self._visible(keys.weights[tile, prompts[some]], columns)
                weights = weights.to(self._precision)
                scale = self._visible(keys.scale[tile, prompts[some], None], columns)
                x = torch.baddbmm(base, weights.transpose(1, 2), directions[some]).float()
                x = torch.addcmul(constant, x, scale.transpose(1, 2), out=x)
                logits[some, :, tile] = self._to_logits(x, hyper[some]).unflatten(2, (w, 16))
        # channels are ordered (column, row, row, column) by sub-pixel, so the last two pixels of a
        # row are adjacent; a CPU moves them as one 64-bit number, a view that Inductor cannot
        # compile for a GPU
        dtype = torch.float64 if logits.device.type == "cpu" else torch.float32
        pairs = logits.view(dtype).view(b, m, tiles * w // columns, 2 * columns, 4, -1)
        by_row = pairs[:, :, :rows].transpose(3, 4).contiguous().view(torch.float32)
        return by_row.view(b, m, 4 * rows, 4 * columns)

    def _to_logits(self, x: Tensor, hyper: Tensor) -> Tensor:
        """Map (b, w, 4 x 64), the first product, to (b, masks, w x 16) logits."""
        norm = self._norm
        x = x.unflatten(2, (4, -1))
        x = functional.layer_norm(x, x.shape[-1:], norm.weight, norm.bias, norm.eps)
        x = functional.linear(functional.gelu(x).to(self._precision), *self._second)
        upscaled = functional.gelu(x).float().view(len(x), -1, hyper.shape[-1])
        return hyper @ upscaled.transpose(1, 2)

    def _visible(self, tile: Tensor, columns: int) -> Tensor:
        """Select the positions in visible columns of (b, r, w)."""
        if columns == self._grid[1]:
            return tile
        return tile.unflatten(2, (-1, self._grid[1]))[..., :columns].flatten(2)
