"""Ask the model about windows of its input, in batches of pictures, differentiably.

`segment_anything`'s own modules, called for many pictures at once; the same modules with the same
arguments as `Sam.forward` where the window is the whole input.
"""

import torch
from segment_anything.modeling import Sam
from torch import Tensor

from samseg.lab.pretraining.examples import PATCH
from samseg.lab.pretraining.picture import GREY


def encode(model: Sam, images: Tensor) -> Tensor:
    """Encode windows.

    Args:
        model: a model whose encoder halves its input first.
        images: (b, 3, s / 2, s / 2) uint8, `GREY` in padding.

    Returns:
        (b, 256, s / 16, s / 16).
    """
    grey = torch.tensor(GREY, device=images.device)[:, None, None]
    padding = (images == grey).all(1, keepdim=True)
    x = ((images - model.pixel_mean) / model.pixel_std).masked_fill(padding, 0)
    x = x.to(memory_format=torch.channels_last)
    return model.image_encoder.encode_halved(x)


class WindowPrompter:
    """b windows of one size, as the decoder sees them; p prompts on each."""

    def __init__(self, model: Sam, features: Tensor, corners: Tensor):
        """Take the positional encoding of the windows.

        Args:
            model: the model.
            features: (b, 256, g, g).
            corners: (b, 2) int64, xy in the input, px.
        """
        self._model, self._features = model, features
        g = features.shape[-1]
        everywhere = model.prompt_encoder.get_dense_pe()[0]
        at = (corners // PATCH).tolist()
        self._places = torch.stack([everywhere[:, y : y + g, x : x + g] for x, y in at])

    def ask(
        self,
        prompts: int,
        points: tuple[Tensor, Tensor] | None,
        boxes: Tensor | None,
        masks: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Answer b x p prompts; a window's own ones follow each other.

        Args:
            prompts: p.
            points: (b p, k, 2) float32 xy in px of the input, and (b p, k) labels.
            boxes: (b p, 4) float32 xyxy in px of the input.
            masks: (b p, 1, 4 g, 4 g) float32 logits.

        Returns:
            (b p, 4, 4 g, 4 g) logits of all four masks, and (b p, 4) predicted IoU.
        """
        encoder, decoder = self._model.prompt_encoder, self._model.mask_decoder
        embedded = []
        if points is not None:
            embedded.append(encoder._embed_points(*points, pad=boxes is None))
        if boxes is not None:
            embedded.append(encoder._embed_boxes(boxes))
        sparse = torch.cat(embedded, dim=1)
        own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
        tokens = torch.cat([own.expand(len(sparse), -1, -1), sparse], dim=1)
        if masks is None:
            dense = encoder.no_mask_embed.weight.reshape(1, -1, 1, 1)
        else:
            dense = encoder._embed_masks(masks)
        image = self._features.repeat_interleave(prompts, dim=0) + dense
        places = self._places.repeat_interleave(prompts, dim=0)
        answers, keys = decoder.transformer(image, places, tokens)
        upscaled = decoder.output_upscaling(keys.transpose(1, 2).view(image.shape))
        hyper = torch.stack(
            [mlp(answers[:, 1 + i]) for i, mlp in enumerate(decoder.output_hypernetworks_mlps)],
            dim=1,
        )
        logits = (hyper @ upscaled.flatten(2)).unflatten(2, upscaled.shape[-2:])
        return logits.float(), decoder.iou_prediction_head(answers[:, 0]).float()


def correction(
    logits: Tensor, targets: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Click where answers are wrong, anywhere in the error.

    Args:
        logits: (n, h, w) of the answers.
        targets: (n, h, w) in [0, 1].
        generator: source of chance.

    Returns:
        (n, 2) int64 xy of a px of the logits, and (n,) labels: 1 where it is missing from the
        answer, 0 where it is too much. Where nothing is wrong, any px.
    """
    wanted = targets > 0.5
    wrong = (logits > 0) != wanted
    weights = wrong | ~wrong.flatten(1).any(dim=1)[:, None, None]
    chosen = torch.multinomial(weights.flatten(1).float(), 1, generator=generator)[:, 0]
    y, x = chosen // logits.shape[2], chosen % logits.shape[2]
    labels = wanted[torch.arange(len(wanted), device=wanted.device), y, x]
    return torch.stack([x, y], dim=1), labels
