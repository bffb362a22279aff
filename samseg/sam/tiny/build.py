"""Assemble the small SAM from its encoder and `segment_anything`'s prompt encoder and decoder."""

from segment_anything.modeling import MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

from samseg.sam.tiny.encoder import TinyEncoder
from samseg.sam.tiny.lite0_encoder import Lite0Encoder

_CHANNELS = 256
_STRIDE = 16


def build_tiny(
    img_size: int = 1024, encoder: type[TinyEncoder] | type[Lite0Encoder] = TinyEncoder
) -> Sam:
    """Return a small SAM with random weights, in evaluation mode.

    Args:
        img_size: nominal input side in px, a multiple of 64. samseg itself runs at 1024 only.
        encoder: the image encoder's class.
    """
    grid = img_size // _STRIDE
    model = Sam(
        image_encoder=encoder(img_size, _CHANNELS),
        prompt_encoder=PromptEncoder(
            embed_dim=_CHANNELS,
            image_embedding_size=(grid, grid),
            input_image_size=(img_size, img_size),
            mask_in_chans=16,
        ),
        mask_decoder=MaskDecoder(
            num_multimask_outputs=3,
            transformer=TwoWayTransformer(
                depth=2, embedding_dim=_CHANNELS, mlp_dim=1024, num_heads=8
            ),
            transformer_dim=_CHANNELS,
            iou_head_depth=3,
            iou_head_hidden_dim=_CHANNELS,
        ),
        pixel_mean=[123.675, 116.28, 103.53],
        pixel_std=[58.395, 57.12, 57.375],
    )
    return model.eval()
