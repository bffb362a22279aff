"""Cross-attention between the tokens of b prompts and each prompt's image embedding.

Exact up to float32 rounding; the derivation is in `samseg.sam.network.decoder`. Shapes: b prompts
of t tokens, h = 8 heads of c = 16 channels, d = 256; image positions in p tiles of w; r = h t
attention weights for each image-to-token attention so far. Large tensors are computed one tile at a
time, in buffers that are reused for the next tile.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from segment_anything.modeling.transformer import Attention, TwoWayAttentionBlock
from torch import Tensor

from samseg.sam.network.image_cache import ImageToTokenCache, TokenToImageCache, added_bias


@dataclass(frozen=True, slots=True, eq=False)
class Keys:
    """Image embeddings of b prompts in factored form: scale (base + directions^T weights) + bias.

    Base and bias depend only on the image and the model; see `ImageCache`.

    Attributes:
        scale: (p, b, w).
        weights: (p, b, r, w), attention weights of the image-to-token attentions.
        directions: (b, r, d), the vectors that the weights are coefficients of.
        values: per layer (h, b t, c), twice the values that the directions were computed from.
    """

    scale: Tensor
    weights: Tensor
    directions: Tensor
    values: tuple[Tensor, ...]


class AttentionScores:
    """Scaled products of tokens with their prompts' projected keys.

    With keys = s (base + D^T W) + bias and the projection P, x . (P (keys + pe)) is
    s (x . P base + (x P D^T) W) + x . P (bias + pe): a product over c with a cached term, one over
    r, and one over c with another cached term. Before the first image-to-token attention, only the
    first one.
    """

    def __init__(
        self,
        projection: Tensor,
        shared: Tensor,
        position: Tensor | None,
        tokens: Tensor,
        keys: Keys | None,
        heads: int,
    ):
        """Compute the terms that do not depend on the tile.

        Args:
            projection: (h c, d) weight P.
            shared: (p, h, c, w), P base.
            position: (p, h, c, w), P (bias + pe); None if `shared` includes it.
            tokens: (b, t, h c), projected.
            keys: image embeddings after the previous layer, or None.
            heads: h.
        """
        b, t, _ = tokens.shape
        x = tokens.view(b, t, heads, -1)
        x = x * x.shape[-1] ** -0.5
        self._rows = x.permute(2, 0, 1, 3).flatten(1, 2)  # (h, b t, c)
        self._shared, self._position, self._keys = shared, position, keys
        self._absorbed: Tensor | None = None
        if keys is not None:
            absorbed = torch.einsum("bthc,hcd->bhtd", x, projection.unflatten(0, (heads, -1)))
            self._absorbed = absorbed.flatten(1, 2) @ keys.directions.transpose(1, 2)  # (b, h t, r)
        self._shape = (heads, b, t, shared.shape[-1])
        self._product = tokens.new_empty(heads, b * t, shared.shape[-1])

    def of(self, tile: int, out: Tensor) -> None:
        """Write the scores of one tile to `out`, (b, h t, w)."""
        heads, _, t, _ = self._shape
        by_head = out.unflatten(1, (heads, t))
        product = self._product.view(self._shape).transpose(0, 1)
        torch.bmm(self._rows, self._shared[tile], out=self._product)
        by_head.copy_(product)
        if self._keys is None or self._absorbed is None or self._position is None:
            return
        out.baddbmm_(self._absorbed, self._keys.weights[tile])
        torch.bmm(self._rows, self._position[tile], out=self._product)
        scale = self._keys.scale[tile][:, None, None]
        by_head.mul_(scale).add_(product)


class TokenToImageAttention:
    """Token-to-image attention with an online softmax over the tiles.

    The softmax tracks the largest score and rescales (Milakov and Gimelshein, "Online normalizer
    calculation for softmax", 2018). Its rows sum to 1, so sums are accumulated over the base and
    over the weights, and projected once.
    """

    def __init__(
        self, attention: Attention, cache: TokenToImageCache, queries: Tensor, keys: Keys | None
    ):
        """Start with (b, t, d) queries."""
        heads = attention.num_heads
        tokens = attention.q_proj(queries)
        b, t, _ = tokens.shape
        w = cache.keys.shape[-1]
        self._attention, self._cache, self._keys = attention, cache, keys
        self._scores = AttentionScores(
            attention.k_proj.weight, cache.keys, cache.position, tokens, keys, heads
        )
        self._shape = (heads, b, t, w)
        self._weights = tokens.new_empty(b, heads * t, w)
        self._by_head = tokens.new_empty(heads, b * t, w)
        self._peak = tokens.new_full((b, heads * t, 1), -torch.inf)
        self._sum = tokens.new_zeros(b, heads * t, 1)
        self._from_base = tokens.new_zeros(b, heads, t, cache.values.shape[-1])
        r = 0 if keys is None else keys.directions.shape[1]
        self._from_weights = tokens.new_zeros(b, heads * t, r)

    def add(self, tile: int) -> None:
        """Accumulate one tile."""
        heads, b, t, _ = self._shape
        x = self._weights
        self._scores.of(tile, x)
        peak = torch.maximum(self._peak, x.amax(dim=2, keepdim=True))
        shrink = (self._peak - peak).exp_()
        self._peak = peak
        x.sub_(peak).exp_()
        self._sum.mul_(shrink).add_(x.sum(dim=2, keepdim=True))
        if self._keys is not None:
            x.mul_(self._keys.scale[tile][:, None])
            weights = self._keys.weights[tile].transpose(1, 2)
            self._from_weights.mul_(shrink).baddbmm_(x, weights)
        by_head = self._by_head.view(self._shape)
        by_head.copy_(x.unflatten(1, (heads, t)).transpose(0, 1))
        added = (self._by_head @ self._cache.values[tile]).view(heads, b, t, -1).transpose(0, 1)
        self._from_base.mul_(shrink.view(b, heads, t, 1)).add_(added)

    def result(self) -> Tensor:
        """Return the output of the attention, (b, t, d), after the output projection."""
        heads, b, t, _ = self._shape
        values = self._from_base
        if self._keys is not None:
            added = (self._from_weights @ self._keys.directions).view(b, heads, t, -1)
            weight = self._attention.v_proj.weight.unflatten(0, (heads, -1))
            values = values + torch.einsum("bhtd,hcd->bhtc", added, weight)
        values = values / self._sum.view(b, heads, t, 1)
        out: Tensor = self._attention.out_proj(
            values.transpose(1, 2).flatten(2) + self._cache.offset
        )
        return out


class ImageToTokenAttention:
    """Image-to-token attention and the LayerNorm after it: weights and a scale per position.

    Attributes:
        keys: the updated image embeddings; complete after all tiles have been added.
    """

    def __init__(
        self,
        layers: Sequence[TwoWayAttentionBlock],
        cache: ImageToTokenCache,
        tokens: Tensor,
        positioned: Tensor,
        before: Keys | None,
        weights: Tensor,
    ):
        """Compute the terms that do not depend on the tile.

        Args:
            layers: of the transformer, up to and including this one.
            cache: of this layer.
            tokens: (b, t, d).
            positioned: (b, t, d), tokens with their positional encoding.
            before: image embeddings after the previous layer, or None.
            weights: (p, b, r, w) buffer of `Keys.weights`: contains those of `before`, and
                receives the new ones.
        """
        layer = layers[-1]
        attention: Attention = layer.cross_attn_image_to_token
        heads = attention.num_heads
        b, t, _ = tokens.shape
        value = attention.v_proj(tokens).view(b, t, heads, -1)
        out = attention.out_proj.weight.unflatten(1, (heads, -1))
        added = torch.einsum("bthc,dhc->bhtd", value, out)
        added[:, 0] += added_bias(layers, len(layers) - 1)  # each head's weights sum to 1
        directions = added.flatten(1, 2)
        values = (2 * value.permute(2, 0, 1, 3).flatten(1, 2),)
        if before is not None:
            directions = torch.cat([before.directions, directions], dim=1)
            values = (*before.values, *values)
        directions = directions - directions.mean(dim=2, keepdim=True)
        self._gram = directions @ directions.transpose(1, 2)
        self._scores = AttentionScores(
            attention.q_proj.weight,
            cache.queries,
            cache.position,
            attention.k_proj(positioned),
            before,
            heads,
        )
        self._cache, self._before, self._norm = cache, before, layer.norm4
        self._shape = (heads, b, t, weights.shape[-1])
        scale = weights.new_empty(len(weights), b, weights.shape[-1])
        self.keys = Keys(scale, weights, directions * layer.norm4.weight, values)
        self._new = weights.new_empty(b, heads * t, weights.shape[-1])
        self._product = weights.new_empty(heads, b * t, weights.shape[-1])
        self._products = weights.new_empty(weights.shape[1:])

    def add(self, tile: int) -> None:
        """Compute one tile."""
        heads, _, t, _ = self._shape
        self._scores.of(tile, self._new)
        by_head = self._new.unflatten(1, (heads, t))
        by_head.sub_(by_head.amax(dim=2, keepdim=True)).exp_()
        total = by_head.sum(dim=2, keepdim=True)
        if self._before is not None:  # new weights are inside the scale of the previous layer
            total.mul_(self._before.scale[tile][:, None, None])
        by_head.div_(total)
        self.keys.weights[tile, :, -heads * t :] = self._new
        self._normalise(tile)

    def _normalise(self, tile: int) -> None:
        """Compute the scale: |base + D^T W|^2 = |base|^2 + W . (2 D base + (D D^T) W), centred."""
        heads, _, t, _ = self._shape
        weights, scale = self.keys.weights[tile], self.keys.scale[tile]
        cache, product = self._cache, self._product.view(self._shape).transpose(0, 1)
        for i, value in enumerate(self.keys.values):
            torch.bmm(value, cache.products[i][tile], out=self._product)
            part = self._products[:, i * heads * t : (i + 1) * heads * t].unflatten(1, (heads, t))
            part.copy_(product)
            part[:, 0] += 2 * cache.constants[i][tile]
        square = self._products.baddbmm_(self._gram, weights).mul_(weights).sum(dim=1)
        square.add_(cache.square[tile]).clamp_min_(0)  # (b, w)
        if self._before is not None:
            square.mul_(self._before.scale[tile].square())
        variance = square.mul_(1 / self.keys.directions.shape[-1])
        torch.rsqrt(variance.add_(self._norm.eps), out=scale)
        if self._before is not None:
            scale.mul_(self._before.scale[tile])
