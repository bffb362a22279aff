"""SAM's two-way transformer, without an image per prompt; see `samseg.sam.network.decoder`.

Exact up to float32 rounding. The steps are those of `segment_anything.modeling.transformer`.
"""

import torch
from segment_anything.modeling.transformer import Attention, TwoWayTransformer
from torch import Tensor

from samseg.sam.network.cross_attention import Keys, Read, Write
from samseg.sam.network.image_cache import ImageCache


class TwoWay:
    """Lets tokens and image attend to each other; holds no image."""

    def __init__(self, transformer: TwoWayTransformer):
        """Use the weights of `transformer` where they are."""
        self._layers = transformer.layers
        self._final: Attention = transformer.final_attn_token_to_image
        self._norm = transformer.norm_final_attn

    def __call__(self, image: ImageCache, prompt: Tensor, answers: slice) -> tuple[Tensor, Keys]:
        """Run both layers and the final attention.

        Args:
            image: what the prompts share.
            prompt: (b, t, d) tokens, which serve as their own positional encoding.
            answers: the tokens that are wanted besides the first; others take no part in the final
                attention.

        Returns:
            (b, 1 + answers, d) tokens, and the image as the prompts see it.
        """
        first = self._layers[0]
        tokens = first.norm1(first.self_attn(prompt, prompt, prompt))
        attention: Attention = first.cross_attn_token_to_image
        read = Read(attention, image.readings[0], tokens + prompt, None)
        tiles, _, _, w = image.readings[0].keys.shape
        for tile in range(tiles):
            read.add(tile)
        b, t, _ = prompt.shape
        rows = attention.num_heads * t
        weights = prompt.new_empty(tiles, b, len(self._layers) * rows, w)
        keys: Keys | None = None
        for i, layer in enumerate(self._layers):
            tokens = layer.norm2(tokens + read.result())
            tokens = layer.norm3(tokens + layer.mlp(tokens))
            written = weights[:, :, : (i + 1) * rows]
            write = Write(
                self._layers[: i + 1], image.writings[i], tokens, tokens + prompt, keys, written
            )
            if i + 1 < len(self._layers):
                following = self._layers[i + 1]
                placed = tokens + prompt
                tokens = following.norm1(tokens + following.self_attn(placed, placed, tokens))
                attention = following.cross_attn_token_to_image
            else:
                tokens, prompt = (
                    torch.cat([x[:, :1], x[:, answers]], dim=1) for x in (tokens, prompt)
                )
                attention = self._final
            keys = write.keys
            read = Read(attention, image.readings[i + 1], tokens + prompt, keys)
            for tile in range(tiles):  # written and read while it is in the cache
                write.add(tile)
                read.add(tile)
        if keys is None:
            raise ValueError("the transformer has no layer")
        answer: Tensor = self._norm(tokens + read.result())
        return answer, keys
