"""SAM's mask decoder, reorganised: the same weights and masks at a fraction of the operations.

Exact up to float32 rounding, for any prompt. Shapes: t tokens per prompt (iou, 4 masks, points and
boxes), h = 8 heads of c = 16 channels, n = 4096 image positions of d = 256 channels. The reference
stores an image embedding (n, d) for each prompt and projects it ten times. But a prompt updates the
embedding only by a low-rank term: image-to-token attention adds to each position a combination,
with weights W (h t, n), of the rows of M (h t, d), and a LayerNorm follows. Therefore:

1. **Keys are never materialised.** Centring is linear: the centred base + M^T W is the centred base
   plus the centred M with the same W. Only the LayerNorm's scale s depends on the position, and
   |base + M^T W|^2 = |base|^2 + W . (2 M base + (M M^T) W). Hence keys = s (base + D^T W) + bias,
   where D is the centred M times the LayerNorm's weight. The next layer appends its own rows: for
   keys of this form, M^T W' is s (M^T (W' / s)), so r grows from h t to 2 h t rows.
2. **Base and bias are the same for all prompts**, so their projections are computed once per image
   (`image_cache`): 7 x 16 x n products per head remain of 256 x 128 x n.
3. All terms linear in the keys are small in D (`cross_attention`): scores x . P keys are
   s (x . P base + (x P D^T) W) + x . P bias; values softmax(S) P keys are summed over the base and
   over W, and then projected. M is the output projection O of values v, so M base is v (O^T base),
   where O^T base is also computed once per image. Each head's W sums to 1 over the tokens, so the
   biases are added to the M of one head.
4. The final attention is computed only for the output tokens. Predicted IoU depends only on tokens,
   so it is computed first, and masks only for the prompts selected by it.
5. The mask head upscales the keys by a matrix product (`mask_head`), so it also takes the base from
   the image cache and adds D^T W: r x 256 x n instead of d x 256 x n, without the padding.

Multiply-adds per prompt (t = 7): transformer 1400 M in the reference, 170 M here; mask head 412 M
in the reference, 260 M here before skipping the padding. The error against float64 is of the same
size as the reference's.
"""

from contextlib import nullcontext
from dataclasses import dataclass

import torch
from segment_anything.modeling import MaskDecoder, Sam
from torch import Tensor

from samseg.sam.network.compiled import begin_replay, compile_as_cuda_graph, pad_batch
from samseg.sam.network.cross_attention import Keys
from samseg.sam.network.image_cache import ImageCache, ImageCacheBuilder
from samseg.sam.network.mask_head import MaskHead
from samseg.sam.network.tf32 import tf32_products
from samseg.sam.network.two_way_transformer import TwoWay

_CHUNK = 16
"""Prompts per call of a compiled mask head; less than one chunk of padding is computed."""


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """b prompts after the transformer, before the mask head.

    With a compiled decoder, tokens and keys include the prompts that pad the batch, and are valid
    until its next call of `decode`.

    Attributes:
        predicted_iou: (b, masks) of the selected masks.
        mask_tokens: (b, masks, d).
        keys: the prompts' image embeddings.
        masks: the selected ones of the 4 masks.
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
        """Share the weights of `model`, on its device.

        Args:
            model: the model, on its device.
            precision: of the mask head's products; IoU head, hypernetworks and the final product
                are always float32. So is the transformer, but with a lower precision its products
                may use TF32 on a GPU, which has three more bits of mantissa than bfloat16.
            compiled_for: maximum number of prompts per call of a compiled decoder; None disables
                compilation.
        """
        self._weights: MaskDecoder = model.mask_decoder
        self._grid: tuple[int, int] = model.prompt_encoder.image_embedding_size
        self._side: int = model.image_encoder.img_size
        with torch.inference_mode():
            self._image_caches = ImageCacheBuilder(model)
            self._two_way = TwoWay(model.mask_decoder.transformer).__call__
            self._mask_head = MaskHead(model.mask_decoder, self._grid, precision).__call__
            self._output_tokens = torch.cat(
                [self._weights.iou_token.weight, self._weights.mask_tokens.weight]
            )
        self._tf32 = precision != torch.float32 and model.device.type == "cuda"
        self._compiled_for = compiled_for
        if compiled_for is not None:
            self._two_way = compile_as_cuda_graph(self._two_way)
            self._mask_head = compile_as_cuda_graph(self._mask_head)

    def image_cache(
        self, features: Tensor, dense: Tensor, input_size: tuple[int, int] | None = None
    ) -> ImageCache:
        """Compute the terms shared by all prompts on an image.

        Args:
            features: (1, d, 64, 64).
            dense: (1, d, 64, 64) dense prompt embedding: a mask prompt, or "no mask".
            input_size: (h, w) of the image in the model's input, px before padding; mask logits
                beyond it are skipped. None means the whole input. A compiled decoder always
                computes the whole input, to avoid recompiling the mask head for each aspect ratio.
        """
        if input_size is None or self._compiled_for is not None:
            return self._image_caches.build(features, dense, self._grid)
        rows, columns = (
            visible_positions(size, n, self._side)
            for n, size in zip(self._grid, input_size, strict=True)
        )
        return self._image_caches.build(features, dense, (rows, columns))

    def decode(self, image: ImageCache, sparse: Tensor, masks: slice) -> Decoded:
        """Run the two-way transformer and the IoU head.

        Args:
            image: from `image_cache`.
            sparse: (b, prompt tokens, d) embedded points and boxes.
            masks: which of the 4 masks: the first is the single-mask output, the other three are
                the multi-mask output.
        """
        b = len(sparse)
        if self._compiled_for is not None:
            begin_replay()
            sparse = pad_batch(sparse, self._compiled_for if b > 1 else 1)
        prompt = torch.cat([self._output_tokens.expand(len(sparse), -1, -1), sparse], dim=1)
        selected = range(self._weights.num_mask_tokens)[masks]
        with tf32_products() if self._tf32 else nullcontext():
            mask_tokens = slice(1 + selected.start, 1 + selected.stop)
            tokens, keys = self._two_way(image, prompt, mask_tokens)
        predicted = self._weights.iou_prediction_head(tokens[:b, 0])
        return Decoded(predicted[:, masks], tokens[:, 1:], keys, list(selected))

    def logits(self, image: ImageCache, decoded: Decoded, prompts: Tensor) -> Tensor:
        """Run the mask head for a subset of the prompts.

        Args:
            image: the cache passed to `decode`.
            decoded: from `decode`.
            prompts: (p,) int64 positions among the b prompts.

        Returns:
            (p, masks, 4 rows, 4 columns) float32 logits of the visible rows and columns.
        """
        if len(prompts) == 0:
            h, w = (4 * n for n in image.visible)
            return decoded.mask_tokens.new_empty(0, len(decoded.masks), h, w)
        head, inputs = self._mask_head, (decoded.keys, decoded.mask_tokens, decoded.masks)
        if self._compiled_for is None:
            return head(image, *inputs, prompts)
        chunk = min(_CHUNK, len(decoded.mask_tokens))
        parts = [head(image, *inputs, pad_batch(part, chunk)) for part in prompts.split(chunk)]
        return torch.cat(parts)[: len(prompts)]  # a copy: later calls overwrite the parts


def visible_positions(size: int, positions: int, side: int) -> int:
    """Return the number of positions along an axis whose logits determine pixels of the image.

    The last pixel, at size - 1/2, lies between two logits, which are side / (4 positions) = 4 px
    apart, starting at 2 px. The second of the two is less than 4 px after the pixel, so its patch
    starts at most 1 px after the end of the image.

    Args:
        size: px of the image in the model's input.
        positions: number of positions of the whole input.
        side: px of the whole input.
    """
    return min(positions, (size + 1) * positions // side + 1)
