"""Prompt the model on windows of its input, batched over images and differentiable.

Calls the modules of `segment_anything` for many images at once. Where the window is the whole
input, they receive the same arguments as from `Sam.forward`.
"""

import torch
from segment_anything.modeling import Sam
from torch import Tensor

from samseg.lab.pretraining.examples import PATCH
from samseg.lab.pretraining.training_image import GREY


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
    """Encoded windows of one size, b of them, with p prompts each."""

    def __init__(self, model: Sam, features: Tensor, corners: Tensor):
        """Select the positional encoding of the windows.

        Args:
            model: the model.
            features: (b, 256, g, g).
            corners: (b, 2) int64, xy in the input, px.
        """
        self._model, self._features = model, features
        g = features.shape[-1]
        encoding = model.prompt_encoder.get_dense_pe()[0]
        at = (corners // PATCH).tolist()
        self._encodings = torch.stack([encoding[:, y : y + g, x : x + g] for x, y in at])

    def predict(
        self,
        prompts: int,
        points: tuple[Tensor, Tensor] | None,
        boxes: Tensor | None,
        masks: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Predict masks for b x p prompts, ordered by window.

        Args:
            prompts: p, prompts per window.
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
        encodings = self._encodings.repeat_interleave(prompts, dim=0)
        queries, keys = decoder.transformer(image, encodings, tokens)
        upscaled = decoder.output_upscaling(keys.transpose(1, 2).view(image.shape))
        hyper = torch.stack(
            [mlp(queries[:, 1 + i]) for i, mlp in enumerate(decoder.output_hypernetworks_mlps)],
            dim=1,
        )
        logits = (hyper @ upscaled.flatten(2)).unflatten(2, upscaled.shape[-2:])
        return logits.float(), decoder.iou_prediction_head(queries[:, 0]).float()


def correction(
    logits: Tensor, targets: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw a corrective click from the wrong px of each prediction.

    Args:
        logits: (n, h, w) of the predictions.
        targets: (n, h, w) in [0, 1].
        generator: random generator.

    Returns:
        (n, 2) int64 xy of a px of the logits, and (n,) bool labels: True for a missing px, False
        for one outside the target. Where nothing is wrong, any px with its true label.
    """
    wanted = targets > 0.5
    wrong = (logits > 0) != wanted
    weights = wrong | ~wrong.flatten(1).any(dim=1)[:, None, None]
    chosen = torch.multinomial(weights.flatten(1).float(), 1, generator=generator)[:, 0]
    y, x = chosen // logits.shape[2], chosen % logits.shape[2]
    labels = wanted[torch.arange(len(wanted), device=wanted.device), y, x]
    return torch.stack([x, y], dim=1), labels
