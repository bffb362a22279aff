"""SAM's mask decoder, rearranged: the same weights, the same masks, a fraction of the work.

Exact up to float32 rounding, for any prompt; nothing here is approximate. Shapes: t tokens per
prompt (iou, 4 masks, points and boxes), h = 8 heads of c = 16 channels, n = 4096 image positions
of d = 256 channels. The reference gives every prompt its own image of (n, d) and projects it ten
times. But a prompt changes the image in few ways: image-to-token attention adds to each position a
mixture, W (h t, n), of few vectors, M (h t, d), and a LayerNorm follows. So:

1. **Keys are never formed.** Centring is linear: base + M^T W centred is the centred base plus the
   centred M under the same W. Only the LayerNorm's scale s differs by position, and
   |base + M^T W|^2 = |base|^2 + W . (2 M base + (M M^T) W). Hence keys = s (base + D^T W) + bias
   with D the centred M times the LayerNorm's weight. The next layer adds its own rows: to keys of
   this form, M^T W' is s (M^T (W' / s)), so r = h t rows grow to 2 h t and nothing else changes.
2. **Base and bias are the same for all prompts**, so what a layer projects of them is computed
   once per image (`image_cache`): 7 x 16 x n products per head remain of 256 x 128 x n.
3. Whatever is linear in the keys is small in D (`cross_attention`): scores x . P keys are
   s (x . P base + (x P D^T) W) + x . P bias; values softmax(S) P keys are read from the base and
   from W and then projected. M comes from values v by the output projection O, so M base is
   v (O^T base): shared again. Each head's W sums to 1 over the tokens, so one head's M takes the
   biases.
4. The last attention answers only tokens that are wanted; predicted IoU needs tokens alone: it
   comes first, and masks only for the prompts asked for.
5. The mask head upscales the keys by a matrix product (`mask_head`), so it too takes the base from
   the image and adds D^T W: r x 256 x n instead of d x 256 x n, for positions that hold image.

Multiply-adds per prompt (t = 7): transformer 1400 M in the reference, 170 M here; mask head 412 M
there, 260 M here, before padding is left out. Against float64 the error is the reference's own.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
from segment_anything.modeling import MaskDecoder, Sam
from torch import Tensor

from samseg.sam.network.compiled import begin_replay, repeated, replayed
from samseg.sam.network.cross_attention import Keys
from samseg.sam.network.image_cache import ImageCache, ImageCaches
from samseg.sam.network.mask_head import MaskHead
from samseg.sam.network.two_way_transformer import TwoWay

_CHUNK = 16
"""Prompts that a compiled mask head takes at once: fewer than this are computed for nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """b prompts after the transformer, before the mask head.

    Of a compiled decoder, tokens and keys hold further prompts that fill up the batch, and are
    valid until it decodes again.

    Attributes:
        predicted_iou: (b, masks) of the masks asked for.
        mask_tokens: (b, masks, d).
        keys: the image as these prompts see it.
        masks: which of the 4 masks were asked for.
    """

    predicted_iou: Tensor
    mask_tokens: Tensor
    keys: Keys
    masks: list[int]


class Decoder:
    """Decodes prompts on an image with the weights of `model.mask_decoder`; holds no image."""

    def __init__(
        self,
        model: Sam,
        precision: torch.dtype = torch.float32,
        compiled_for: int | None = None,
    ):
        """Use the weights of `model` where they are.

        Args:
            model: the model, on its device.
            precision: of the mask head's products; IoU head, hypernetworks and the final product
                are float32 always. The transformer is float32 too, but below that a GPU may round
                what it multiplies to TF32, which is eight times finer than bfloat16.
            compiled_for: most prompts per call of a compiled decoder; None does not compile.
        """
        self._weights: MaskDecoder = model.mask_decoder
        self._grid: tuple[int, int] = model.prompt_encoder.image_embedding_size
        self._side: int = model.image_encoder.img_size
        with torch.inference_mode():
            self._image_sides = ImageCaches(model)
            self._two_way = TwoWay(model.mask_decoder.transformer).__call__
            self._mask_head = MaskHead(model.mask_decoder, self._grid, precision).__call__
            self._own = torch.cat(
                [self._weights.iou_token.weight, self._weights.mask_tokens.weight]
            )
        self._tf32 = precision != torch.float32 and model.device.type == "cuda"
        self._compiled_for = compiled_for
        if compiled_for is not None:
            self._two_way, self._mask_head = replayed(self._two_way), replayed(self._mask_head)

    def image_cache(
        self, features: Tensor, dense: Tensor, input_size: tuple[int, int] | None = None
    ) -> ImageCache:
        """Compute what all prompts on an image share.

        Args:
            features: (1, d, 64, 64).
            dense: (1, d, 64, 64) dense prompt embedding: a mask prompt, or "no mask".
            input_size: (h, w) of the image in the model's input, px before padding; no masks are
                wanted beyond. The whole input when None. A compiled decoder computes all of it:
                the mask head would else be compiled anew for each aspect ratio.
        """
        if input_size is None or self._compiled_for is not None:
            return self._image_sides.of(features, dense, self._grid)
        rows, columns = (
            visible_positions(size, n, self._side)
            for n, size in zip(self._grid, input_size, strict=True)
        )
        return self._image_sides.of(features, dense, (rows, columns))

    def decode(self, image: ImageCache, sparse: Tensor, masks: slice) -> Decoded:
        """Run the two-way transformer and the IoU head.

        Args:
            image: from `image_cache`.
            sparse: (b, prompt tokens, d) embedded points and boxes.
            masks: which of the 4 masks: the first is the single answer, the others the three of a
                multi-mask answer.
        """
        b = len(sparse)
        if self._compiled_for is not None:
            begin_replay()
            sparse = repeated(sparse, self._compiled_for if b > 1 else 1)
        prompt = torch.cat([self._own.expand(len(sparse), -1, -1), sparse], dim=1)
        asked = range(self._weights.num_mask_tokens)[masks]
        with _tf32() if self._tf32 else nullcontext():
            tokens, keys = self._two_way(image, prompt, slice(1 + asked.start, 1 + asked.stop))
        predicted = self._weights.iou_prediction_head(tokens[:b, 0])
        return Decoded(predicted[:, masks], tokens[:, 1:], keys, list(asked))

    def logits(self, image: ImageCache, decoded: Decoded, prompts: Tensor) -> Tensor:
        """Run the mask head for some of the prompts.

        Args:
            image: as given to `decode`.
            decoded: from `decode`.
            prompts: (p,) int64 positions among the b prompts.

        Returns:
            (p, masks, 4 rows, 4 columns) float32 logits of the visible rows and columns.
        """
        if len(prompts) == 0:
            h, w = (4 * n for n in image.visible)
            return decoded.mask_tokens.new_empty(0, len(decoded.masks), h, w)
        head, given = self._mask_head, (decoded.keys, decoded.mask_tokens, decoded.masks)
        if self._compiled_for is None:
            return head(image, *given, prompts)
        chunk = min(_CHUNK, len(decoded.mask_tokens))
        parts = [head(image, *given, repeated(part, chunk)) for part in prompts.split(chunk)]
        return torch.cat(parts)[: len(prompts)]  # a copy: parts are overwritten


def visible_positions(size: int, positions: int, side: int) -> int:
    """Count the positions along an axis whose logits decide pixels of the image.

    The last pixel, at size - 1/2, lies between two logits, which are side / (4 positions) = 4 px
    apart, with the first one at 2 px. The later of the two is less than 4 px behind the pixel, so
    the patch that it is of begins at most 1 px behind the image.

    Args:
        size: px of the image in the model's input.
        positions: of the whole input.
        side: px of the whole input.
    """
    return min(positions, (size + 1) * positions // side + 1)


@contextmanager
def _tf32() -> Iterator[None]:
    """Let the GPU round the operands of float32 matrix products to 10 bits of mantissa."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
