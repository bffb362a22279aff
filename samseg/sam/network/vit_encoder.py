"""SAM's ViT image encoder, reorganised: the same weights and features with fewer operations.

In float32 the features equal those of `ImageEncoderViT` up to rounding; bfloat16 is faster and less
exact.
Shapes: b images of g x g tokens (64 x 64) of C channels, h heads of d = C / h; windows of s x s
tokens (14 x 14), L = s^2; in global blocks the grid is the only window, s = g.

1. Window padding. The reference pads normalised tokens with zeros to whole windows (70 x 70 tokens
   for 64 x 64) and projects the padding too: 0 W + b = b. Here only the 4096 real tokens are
   projected, and the padding gets the bias b as queries, keys and values; only real tokens are
   projected back.
2. Relative position. In every block of every call the reference gathers R_h, R_w (s, s, d), the
   embeddings of the row and column differences; they depend only on weights and are computed once.
3. Folded bias. A score is q . k / sqrt(d) + q . R_h[i, i'] + q . R_w[j, j'] for the query at (i, j)
   and the key at (i', j'). With one-hot rows e this is one product of length d + 2 s,

       [q, sqrt(d) R_h[i] q, sqrt(d) R_w[j] q] . [k, e_i', e_j'] / sqrt(d),

   so unmodified fused attention applies: (h, L, L) scores and bias are never materialised.
4. Tiles. On a CPU in float32, this product costs more than memory traffic: global blocks write the
   bias to a tile of some queries, add q . k, and apply softmax and values while the tile is in the
   CPU cache.
5. Strips. On a CPU a windowed block processes strips of windows, to stay in the CPU cache.
"""

from dataclasses import dataclass

import torch
from segment_anything.modeling import ImageEncoderViT
from segment_anything.modeling.image_encoder import Block, get_rel_pos
from torch import Tensor, nn
from torch.nn import functional

from samseg.sam.network.compiled import compile_static
from samseg.sam.network.tf32 import float32_convolutions

_TILE = 2**20
"""Scores per thread in one tile of queries on a CPU: 4 MiB, 256 queries by 4096 keys."""


class VitEncoder:
    """Encodes images with the weights of an `ImageEncoderViT`, converted once; holds no image.

    Attributes:
        dtype: of weights and matrix products. LayerNorm, softmax, residuals and features are always
            float32.
    """

    def __init__(
        self, encoder: ImageEncoderViT, dtype: torch.dtype = torch.float32, compiled: bool = False
    ):
        """Share the weights of `encoder`, on its device; types other than float32 are copies.

        Args:
            encoder: the encoder.
            dtype: of weights and matrix products.
            compiled: compile the two kinds of blocks, windowed and global, once each.
        """
        self.dtype = dtype
        self._patch = encoder.patch_embed.proj
        self._patch_weights = _cast(self._patch, dtype)
        self._position = encoder.pos_embed.detach()
        self._blocks = [
            _VitBlock.of(block, block.window_size or encoder.pos_embed.shape[1], dtype)
            for block in encoder.blocks
        ]
        self._add_to = compile_static(_VitBlock.add_to) if compiled else _VitBlock.add_to
        narrow, self._narrow_norm, smooth, self._smooth_norm = encoder.neck
        self._narrow, self._smooth = (conv.weight.detach().to(dtype) for conv in (narrow, smooth))

    @torch.inference_mode()
    @float32_convolutions()
    def __call__(self, images: Tensor) -> Tensor:
        """Encode images.

        Args:
            images: (b, 3, 16 g, 16 g) float32, normalised and padded.

        Returns:
            (b, 256, g, g) float32.
        """
        patches = functional.conv2d(
            images.to(self.dtype), *self._patch_weights, stride=self._patch.stride
        )
        x = patches.permute(0, 2, 3, 1).float().contiguous() + self._position
        for block in self._blocks:
            self._add_to(block, x)
        x = functional.conv2d(x.permute(0, 3, 1, 2).to(self.dtype), self._narrow)
        x = self._narrow_norm(x.float())
        x = functional.conv2d(x.to(self.dtype), self._smooth, padding="same")
        features: Tensor = self._smooth_norm(x.float())
        return features


@dataclass(frozen=True, slots=True, eq=False)
class _VitBlock:
    """One transformer block.

    Attributes:
        side: s.
        heads: h.
        norms: before attention and before the MLP, with their own float32 weights.
        qkv, proj, up, down: weights (out, in) and biases (out,).
        rel_h, rel_w: (s, s, d), [query, key], times sqrt(d).
        one_hot: (L, 2 s), one-hot encoding of each key's row and column.
    """

    side: int
    heads: int
    norms: tuple[nn.LayerNorm, nn.LayerNorm]
    qkv: tuple[Tensor, Tensor]
    proj: tuple[Tensor, Tensor]
    up: tuple[Tensor, Tensor]
    down: tuple[Tensor, Tensor]
    rel_h: Tensor
    rel_w: Tensor
    one_hot: Tensor

    @classmethod
    def of(cls, block: Block, side: int, dtype: torch.dtype) -> "_VitBlock":
        attention = block.attn
        tables = (attention.rel_pos_h, attention.rel_pos_w)
        rel_h, rel_w = (get_rel_pos(side, side, t.detach()) / attention.scale for t in tables)
        identity = torch.eye(side, dtype=dtype, device=rel_h.device)
        return cls(
            side=side,
            heads=attention.num_heads,
            norms=(block.norm1, block.norm2),
            qkv=_cast(attention.qkv, dtype),
            proj=_cast(attention.proj, dtype),
            up=_cast(block.mlp.lin1, dtype),
            down=_cast(block.mlp.lin2, dtype),
            rel_h=rel_h.to(dtype),
            rel_w=rel_w.to(dtype),
            one_hot=torch.cat(
                [identity.repeat_interleave(side, 0), identity.repeat(side, 1)], dim=1
            ),
        )

    def add_to(self, x: Tensor) -> None:
        """Add attention, then the MLP, to the tokens x (b, g, g, C) float32, in place."""
        rows = self.side * torch.get_num_threads() if x.device.type == "cpu" else x.shape[1]
        dtype = self.one_hot.dtype
        for strip in x.split(rows, dim=1):
            strip += self._attend(self.norms[0](strip).to(dtype))
            hidden = functional.linear(self.norms[1](strip).to(dtype), *self.up)
            strip += functional.linear(functional.gelu(hidden), *self.down)

    def _attend(self, x: Tensor) -> Tensor:
        """Attend within windows; (b, rows, g, C), returns the same shape."""
        b, rows, columns, channels = x.shape
        s, h, d = self.side, self.heads, channels // self.heads
        m, n = -(-rows // s), -(-columns // s)  # rows and columns of windows
        projected = functional.linear(x, *self.qkv)
        if (m * s, n * s) != (rows, columns):
            padded = projected.new_empty(b, m * s, n * s, 3 * channels)
            padded[:, :rows, :columns] = projected
            padded[:, rows:] = self.qkv[1]
            padded[:, :rows, columns:] = self.qkv[1]
            projected = padded
        windows = projected.view(b, m, s, n, s, 3, h, d).permute(5, 0, 1, 3, 6, 2, 4, 7)
        q, k, v = windows.reshape(3, b * m * n * h, s, s, d)
        rel_h = torch.einsum("nijc,ipc->nijp", q, self.rel_h)
        rel_w = torch.einsum("nijc,jpc->nijp", q, self.rel_w)
        q, k, v, rel_h, rel_w = (t.flatten(1, 2) for t in (q, k, v, rel_h, rel_w))
        if x.device.type == "cpu" and x.dtype == torch.float32 and s**4 > _TILE:
            attended = _tiled_attention(q, k, v, rel_h, rel_w)
        else:
            attended = self._folded_attention(q, k, v, rel_h, rel_w)
        windows = attended.view(b, m, n, h, s, s, d).permute(0, 1, 4, 2, 5, 3, 6)
        tokens = windows.reshape(b, m * s, n * s, channels)[:, :rows, :columns]
        return functional.linear(tokens.contiguous(), *self.proj)

    def _folded_attention(
        self, q: Tensor, k: Tensor, v: Tensor, rel_h: Tensor, rel_w: Tensor
    ) -> Tensor:
        """Attend with the bias folded into queries and keys, for n heads of windows: (n, L, d)."""
        d = q.shape[-1]
        one_hot = self.one_hot.expand(len(k), -1, -1)
        attended = functional.scaled_dot_product_attention(
            torch.cat([q, rel_h, rel_w], dim=-1)[None],
            torch.cat([k, one_hot], dim=-1)[None],
            # fused kernels require values of the same length as keys
            functional.pad(v, (0, one_hot.shape[-1]))[None],
            scale=d**-0.5,
        )
        return attended[0, ..., :d]


def _tiled_attention(q: Tensor, k: Tensor, v: Tensor, rel_h: Tensor, rel_w: Tensor) -> Tensor:
    """Attend in tiles of queries, for n heads of windows: (n, L, d), rel_* (n, L, s)."""
    scale = q.shape[-1] ** -0.5
    rel_h, rel_w = rel_h * scale, rel_w * scale
    side = rel_h.shape[-1]
    rows = _TILE * torch.get_num_threads() // side**2
    tile = q.new_empty(rows, side, side)
    attended = torch.empty_like(q)
    for keys, values, *of_queries in zip(k, v, q, rel_h, rel_w, attended, strict=True):
        for queries, down, across, out in zip(*(t.split(rows) for t in of_queries), strict=True):
            biased = torch.add(down[..., None], across[:, None], out=tile[: len(queries)])
            scores = biased.flatten(1)
            scores.addmm_(queries, keys.T, alpha=scale)
            torch.mm(scores.softmax(dim=-1), values, out=out)
    return attended


def _cast(layer: nn.Module, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return weights and biases of a linear layer or convolution."""
    weights, biases = (parameter.detach().to(dtype) for parameter in layer.parameters())
    return weights, biases
