"""SAM's two-way transformer, with the prompts' image embeddings in factored form.

See `samseg.sam.network.decoder` for the derivation. Exact up to float32 rounding; the steps are
those of `segment_anything.modeling.transformer`.
"""

import torch
from segment_anything.modeling.transformer import Attention, TwoWayTransformer
from torch import Tensor

from samseg.sam.network.cross_attention import ImageToTokenAttention, Keys, TokenToImageAttention
from samseg.sam.network.image_cache import ImageCache


class TwoWay:
    """Two-way attention between tokens and image; holds no image."""

    def __init__(self, transformer: TwoWayTransformer):
        """Share the weights of `transformer`, on its device."""
        self._layers = transformer.layers
        self._final: Attention = transformer.final_attn_token_to_image
        self._norm = transformer.norm_final_attn

    def __call__(self, image: ImageCache, prompt: Tensor, selected: slice) -> tuple[Tensor, Keys]:
        """Run both layers and the final attention.

        Args:
            image: cache of the image.
            prompt: (b, t, d) tokens, which are also their own positional encoding.
            selected: the tokens to return besides the first; others skip the final attention.

        Returns:
            (b, 1 + selected, d) tokens, and the prompts' image embeddings.
        """
        first = self._layers[0]
        tokens = first.norm1(first.self_attn(prompt, prompt, prompt))
        attention: Attention = first.cross_attn_token_to_image
        reader = TokenToImageAttention(attention, image.token_to_image[0], tokens + prompt, None)
        tiles, _, _, w = image.token_to_image[0].keys.shape
        for tile in range(tiles):
            reader.add(tile)
        b, t, _ = prompt.shape
        rows = attention.num_heads * t
        weights = prompt.new_empty(tiles, b, len(self._layers) * rows, w)
        keys: Keys | None = None
        for i, layer in enumerate(self._layers):
            tokens = layer.norm2(tokens + reader.result())
            tokens = layer.norm3(tokens + layer.mlp(tokens))
            writer = ImageToTokenAttention(
                self._layers[: i + 1],
                image.image_to_token[i],
                tokens,
                tokens + prompt,
                keys,
                weights[:, :, : (i + 1) * rows],
            )
            if i + 1 < len(self._layers):
                following = self._layers[i + 1]
                positioned = tokens + prompt
                attended = following.self_attn(positioned, positioned, tokens)
                tokens = following.norm1(tokens + attended)
                attention = following.cross_attn_token_to_image
            else:
                tokens, prompt = (
                    torch.cat([x[:, :1], x[:, selected]], dim=1) for x in (tokens, prompt)
                )
                attention = self._final
            keys = writer.keys
            reader = TokenToImageAttention(
                attention, image.token_to_image[i + 1], tokens + prompt, keys
            )
            for tile in range(tiles):  # written and read while it is in the CPU cache
                writer.add(tile)
                reader.add(tile)
        if keys is None:
            raise ValueError("the transformer has no layers")
        output: Tensor = self._norm(tokens + reader.result())
        return output, keys
