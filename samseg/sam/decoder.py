"""SAM's mask decoder, rearranged: the same weights, the same masks, a fraction of the work.

Exact up to float32 rounding, for any prompt; nothing here is approximate. Shapes: b prompts, t
tokens each (iou, 4 masks, prompt), h = 8 heads of c = 16 channels, n = 4096 image positions of
d = 256 channels.

Every cross-attention scores tokens x against image positions, S = x_h . (W_h (keys + pe) + b):

1. S = x_h . (W_h pe + b) + (W_h^T x_h) . keys. The first term's image side is the same for all
   prompts. In the second, absorbing W_h into the few tokens (h t = 56 columns) replaces projecting
   all n positions (h c = 128 columns). Before layer 1 the keys are the same for all prompts too
   and join the first term: one projection per image.
2. Tokens reading the image: softmax(S) V with V = W_v keys + b_v is W_v (softmax(S) keys) + b_v,
   as rows of a softmax sum to 1: again no projection of the n positions.
3. The image reading tokens: its output projection W_o goes to the few values: keys + P^T (W_o v).
   Each head's P sums to 1 over tokens, so the output bias joins one head's values.
4. The mask head upscales by two transposed convolutions of kernel 2 and stride 2: each is one
   matrix product per position. Sub-pixels stay inside the channels; only logits are rearranged.
5. Predicted IoU needs tokens only: it comes first, and masks only for the prompts asked for.

The names follow `segment_anything.modeling.transformer` and `.mask_decoder`.
"""

from dataclasses import dataclass

import torch
from segment_anything.modeling import MaskDecoder, Sam
from segment_anything.modeling.transformer import Attention
from torch import Tensor
from torch.nn import functional

_HEAD_POSITIONS = 1024
"""Positions that the mask head upscales at once on a CPU: they stay in the cache (2 MB)."""


@dataclass(frozen=True, slots=True, eq=False)
class ImageSide:
    """What all prompts on one image share.

    Attributes:
        keys: (1 or b, n, d) features plus dense prompt; b only with mask prompts.
        to_image: per layer, (1 or b, h, n, c): projected keys of token-to-image attention.
        values: (1 or b, h, n, c), projected values of token-to-image attention in layer 0.
        to_tokens: per layer, (1 or b, h, n, c): projected queries of image-to-token attention.
        final: (1, h, n, c), the final attention's.

    Of layer 0 the projections hold features and positional encoding, of later ones the encoding.
    """

    keys: Tensor
    to_image: tuple[Tensor, ...]
    values: Tensor
    to_tokens: tuple[Tensor, ...]
    final: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """b prompts after the transformer, before the mask head.

    Attributes:
        predicted_iou: (b, 4), for the single mask and the three of a multi-mask answer.
        mask_tokens: (b, 4, d).
        keys: (b, n, d), the image as these prompts see it.
    """

    predicted_iou: Tensor
    mask_tokens: Tensor
    keys: Tensor


class Decoder:
    """Decodes prompts on an image with the weights of `model.mask_decoder`; holds no image."""

    def __init__(self, model: Sam):
        """Use the weights of `model` where they are."""
        self._weights: MaskDecoder = model.mask_decoder
        self._transformer = model.mask_decoder.transformer
        self._grid: tuple[int, int] = model.prompt_encoder.image_embedding_size
        with torch.inference_mode():
            self._pe = _positions(model.prompt_encoder.get_dense_pe())

    def image_side(self, features: Tensor, dense: Tensor) -> ImageSide:
        """Compute what all prompts on an image share.

        Args:
            features: (1, d, 64, 64).
            dense: (1 or b, d, 64, 64) dense prompt embedding: mask prompts, or "no mask".
        """
        keys = _positions(features + dense)
        layers = self._transformer.layers
        positioned = [keys + self._pe, *(self._pe for _ in layers[1:])]
        first, final = (
            layers[0].cross_attn_token_to_image,
            self._transformer.final_attn_token_to_image,
        )
        return ImageSide(
            keys=keys,
            to_image=tuple(
                _heads(layer.cross_attn_token_to_image.k_proj(x), first.num_heads)
                for layer, x in zip(layers, positioned, strict=True)
            ),
            values=_heads(first.v_proj(keys), first.num_heads),
            to_tokens=tuple(
                _heads(layer.cross_attn_image_to_token.q_proj(x), first.num_heads)
                for layer, x in zip(layers, positioned, strict=True)
            ),
            final=_heads(final.k_proj(self._pe), final.num_heads),
        )

    def decode(self, image: ImageSide, sparse: Tensor) -> Decoded:
        """Run the two-way transformer and the IoU head.

        Args:
            image: from `image_side`.
            sparse: (b, prompt tokens, d) embedded points and boxes.
        """
        own = torch.cat([self._weights.iou_token.weight, self._weights.mask_tokens.weight])
        token_pe = torch.cat([own.expand(len(sparse), -1, -1), sparse], dim=1)
        tokens, keys = token_pe, image.keys
        for i, layer in enumerate(self._transformer.layers):
            if layer.skip_first_layer_pe:
                tokens = layer.self_attn(tokens, tokens, tokens)
            else:
                positioned = tokens + token_pe
                tokens = tokens + layer.self_attn(positioned, positioned, tokens)
            tokens = layer.norm1(tokens)
            tokens = layer.norm2(tokens + self._read_image(image, i, tokens + token_pe, keys))
            tokens = layer.norm3(tokens + layer.mlp(tokens))
            keys = layer.norm4(self._read_tokens(image, i, tokens, token_pe, keys))
        final = self._transformer.final_attn_token_to_image
        scores = _absorbed_scores(
            final.q_proj(tokens + token_pe), final.k_proj.weight, image.final, keys
        )
        tokens = tokens + final.out_proj(_absorbed_values(scores.softmax(-1), final, keys))
        tokens = self._transformer.norm_final_attn(tokens)
        masks = 1 + self._weights.num_mask_tokens
        return Decoded(self._weights.iou_prediction_head(tokens[:, 0]), tokens[:, 1:masks], keys)

    def logits(self, decoded: Decoded, prompts: Tensor, masks: slice) -> Tensor:
        """Run the mask head for some of the prompts.

        Args:
            decoded: from `decode`.
            prompts: (p,) int64 positions among the b prompts.
            masks: which of the 4 masks.

        Returns:
            (p, masks, 256, 256) mask logits.
        """
        h, w = self._grid
        chosen = range(self._weights.num_mask_tokens)[masks]
        hyper = torch.stack(
            [
                self._weights.output_hypernetworks_mlps[i](decoded.mask_tokens[prompts, i])
                for i in chosen
            ],
            dim=1,
        )  # (p, masks, 32)
        if hyper.device.type == "cpu":
            flat = hyper.new_empty(*hyper.shape[:2], h * w, 16)
            for i, prompt in enumerate(prompts.tolist()):
                for start in range(0, h * w, _HEAD_POSITIONS):
                    part = slice(start, start + _HEAD_POSITIONS)
                    upscaled = self._upscaled(decoded.keys[prompt, part])
                    flat[i, :, part] = (hyper[i] @ upscaled.flatten(0, -2).T).unflatten(1, (-1, 16))
        else:
            upscaled = self._upscaled(decoded.keys[prompts])
            flat = hyper @ upscaled.flatten(1, -2).transpose(1, 2)
        tiles = flat.view(len(prompts), len(chosen), h, w, 2, 2, 2, 2)
        return tiles.permute(0, 1, 2, 4, 6, 3, 5, 7).reshape(
            len(prompts), len(chosen), 4 * h, 4 * w
        )

    def _upscaled(self, keys: Tensor) -> Tensor:
        """Both transposed convolutions: (..., n, d) to (..., n, 2 x 2, 2 x 2, 32)."""
        up1, norm, gelu, up2, gelu2 = self._weights.output_upscaling
        x = _kernel2(up1, keys)
        x = functional.layer_norm(x, x.shape[-1:], norm.weight, norm.bias, norm.eps)
        return gelu2(_kernel2(up2, gelu(x)))

    def _read_image(self, image: ImageSide, i: int, queries: Tensor, keys: Tensor) -> Tensor:
        """Token-to-image attention of layer i: (b, t, d) to (b, t, d)."""
        attention = self._transformer.layers[i].cross_attn_token_to_image
        q = attention.q_proj(queries)
        if i > 0:
            scores = _absorbed_scores(q, attention.k_proj.weight, image.to_image[i], keys)
            return attention.out_proj(_absorbed_values(scores.softmax(-1), attention, keys))
        weights = _shared_scores(q, image.to_image[0]).softmax(-1)
        b, h, t, n = weights.shape
        if len(image.values) == 1:  # one product for all prompts
            out = weights.transpose(0, 1).reshape(h, b * t, n) @ image.values[0]
            out = out.view(h, b, t, -1).transpose(0, 1)
        else:
            out = weights @ image.values
        return attention.out_proj(out.transpose(1, 2).flatten(2))

    def _read_tokens(
        self, image: ImageSide, i: int, tokens: Tensor, token_pe: Tensor, keys: Tensor
    ) -> Tensor:
        """Image-to-token attention of layer i plus its residual: (1 or b, n, d) to (b, n, d)."""
        attention = self._transformer.layers[i].cross_attn_image_to_token
        k, v = attention.k_proj(tokens + token_pe), attention.v_proj(tokens)
        if i > 0:
            scores = _absorbed_scores(k, attention.q_proj.weight, image.to_tokens[i], keys)
        else:
            scores = _shared_scores(k, image.to_tokens[0])
        weights = scores.softmax(2)  # over the tokens
        b, h, t, n = weights.shape
        out = attention.out_proj.weight.view(-1, h, v.shape[-1] // h)
        values = torch.einsum("bthc,dhc->bhtd", v.view(b, t, h, -1), out)
        values[:, 0] += attention.out_proj.bias
        return torch.baddbmm(
            keys.expand(b, -1, -1), weights.view(b, h * t, n).transpose(1, 2), values.flatten(1, 2)
        )


def _positions(image: Tensor) -> Tensor:
    """(b, d, 64, 64) to (b, n, d)."""
    return image.flatten(2).transpose(1, 2).contiguous()


def _heads(x: Tensor, heads: int) -> Tensor:
    """(b, n, h c) to (b, h, n, c)."""
    return x.view(*x.shape[:2], heads, -1).transpose(1, 2).contiguous()


def _shared_scores(x: Tensor, image: Tensor) -> Tensor:
    """Score tokens against projected positions.

    Args:
        x: (b, t, h c) projected tokens.
        image: (1 or b, h, n, c).

    Returns:
        (b, h, t, n), scaled.
    """
    b, t, _ = x.shape
    _, h, n, c = image.shape
    x = x.view(b, t, h, c) * c**-0.5
    if len(image) > 1:
        return x.transpose(1, 2) @ image.transpose(2, 3)
    x = x.permute(2, 0, 1, 3).reshape(h, b * t, c)
    return (x @ image[0].transpose(1, 2)).view(h, b, t, n).transpose(0, 1)


def _absorbed_scores(x: Tensor, projection: Tensor, image: Tensor, keys: Tensor) -> Tensor:
    """Score tokens against `projection` of the prompts' own keys, without projecting them.

    Args:
        x: (b, t, h c) projected tokens.
        projection: (h c, d), the image's projection.
        image: (1, h, n, c), the projected positional encoding, bias included.
        keys: (b, n, d).

    Returns:
        (b, h, t, n), scaled.
    """
    b, t, _ = x.shape
    _, h, n, c = image.shape
    absorbed = torch.einsum(
        "bthc,hcd->bhtd", x.view(b, t, h, c) * c**-0.5, projection.view(h, c, -1)
    )
    shared = _shared_scores(x, image).reshape(b, h * t, n)
    return shared.baddbmm_(absorbed.flatten(1, 2), keys.transpose(1, 2)).view(b, h, t, n)


def _absorbed_values(weights: Tensor, attention: Attention, keys: Tensor) -> Tensor:
    """Average keys first, project then: (b, h, t, n) weights to (b, t, h c)."""
    b, h, t, n = weights.shape
    read = (weights.view(b, h * t, n) @ keys).view(b, h, t, -1)
    out = torch.einsum("bhtd,hcd->bthc", read, attention.v_proj.weight.view(h, -1, read.shape[-1]))
    return out.flatten(2) + attention.v_proj.bias


def _kernel2(convolution: torch.nn.ConvTranspose2d, x: Tensor) -> Tensor:
    """Transposed convolution of kernel 2, stride 2: (..., c) to (..., 2 x 2, out)."""
    c_in, c_out = convolution.weight.shape[:2]
    weight = convolution.weight.permute(2, 3, 1, 0).reshape(4 * c_out, c_in)
    bias = None if convolution.bias is None else convolution.bias.repeat(4)
    return functional.linear(x, weight, bias).unflatten(-1, (4, c_out))
