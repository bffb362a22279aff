"""Modules of the network on the GPU compared with `segment_anything` on the CPU, random weights."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
from segment_anything.modeling import ImageEncoderViT

from samseg.masks.rle import areas_of, boxes_of
from samseg.sam.network.compiled import compile_dynamic
from samseg.sam.network.decoder import Decoder
from samseg.sam.network.encoder import Geometry
from samseg.sam.network.vit_encoder import VitEncoder
from samseg.sam.tiny.build import build_tiny
from samseg.sam.upsample.gpu_taps import Taps, measure_px
from samseg.sam.upsample.upsampler import Upsampler

DTYPES = {"float32": (torch.float32, 1e-4), "bfloat16": (torch.bfloat16, 3e-2)}


@pytest.mark.parametrize("heads", [1, 2, 3], ids=lambda heads: f"{96 // heads} per head")
@pytest.mark.parametrize("dtype", DTYPES)
def test_vit_encoder(cuda, relative_error, dtype, heads):
    torch.manual_seed(0)
    encoder = ImageEncoderViT(
        img_size=256,
        embed_dim=96,
        depth=4,
        num_heads=heads,
        out_chans=8,
        window_size=14,
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        global_attn_indexes=[1, 3],
    ).eval()
    for parameter in encoder.parameters():
        parameter.data += 0.05 * torch.randn_like(
            parameter
        )  # positional tables are initialised to zero
    images = torch.randn(2, 3, 256, 256)
    with torch.inference_mode():
        wanted = encoder(images)
    precision, most = DTYPES[dtype]
    found = VitEncoder(copy.deepcopy(encoder).to(cuda), precision)(images.to(cuda))
    assert found.dtype == torch.float32
    assert relative_error(found, wanted) < most


@pytest.mark.parametrize("dtype", DTYPES)
@torch.inference_mode()
def test_decoder(cuda, relative_error, dtype):
    torch.manual_seed(0)
    model = build_tiny(256)
    for parameter in model.mask_decoder.parameters():
        parameter += 0.02 * torch.randn_like(parameter)
    points, features = 256 * torch.rand(5, 1, 2), torch.randn(1, 256, 16, 16)
    sparse, dense = model.prompt_encoder((points, torch.ones(5, 1)), None, None)
    logits, ious = model.mask_decoder(
        features, model.prompt_encoder.get_dense_pe(), sparse, dense, multimask_output=True
    )
    precision, most = DTYPES[dtype]
    decoder = Decoder(copy.deepcopy(model).to(cuda), precision)
    image = decoder.image_cache(features.to(cuda), dense[:1].to(cuda))
    decoded = decoder.decode(image, sparse.to(cuda), slice(1, None))
    found = decoder.logits(image, decoded, torch.arange(5, device=cuda))
    assert relative_error(decoded.predicted_iou, ious) < most
    assert relative_error(found, logits) < most


@pytest.mark.parametrize("size", [(70, 100), (534, 800), (800, 534), (1500, 2000)], ids=str)
def test_measures(cuda, cpu, blobs, size):
    geometry, logits = Geometry.of(size, 1024), blobs(9)
    wanted = Upsampler(geometry, 256, 1024, cpu).measure(logits, 0.0, 1.0)
    found = Upsampler(geometry, 256, 1024, cuda).measure(logits.to(cuda), 0.0, 1.0)
    np.testing.assert_allclose(found.areas, wanted.areas, rtol=1e-4, atol=2)
    np.testing.assert_allclose(found.boxes, wanted.boxes, atol=1)
    np.testing.assert_allclose(found.stability, wanted.stability, atol=1e-3)


@pytest.mark.parametrize("size", [(70, 100), (534, 800), (1500, 2000)], ids=str)
def test_masks_are_drawn_on_the_device(cuda, cpu, blobs, size):
    geometry, logits = Geometry.of(size, 1024), blobs(9)
    found = []
    for device in (cpu, cuda):
        upsampler, here = Upsampler(geometry, 256, 1024, device), logits.to(device)
        measured = upsampler.measure(here, 0.0, 1.0)
        found.append(upsampler.draw(upsampler.cut(here, measured), 0.0, (0, 0), size[0]))
    np.testing.assert_allclose(areas_of(found[1]), areas_of(found[0]), rtol=1e-4, atol=2)
    np.testing.assert_allclose(boxes_of(found[1], size[0]), boxes_of(found[0], size[0]), atol=1)


@torch.inference_mode()
def test_compiled_measures(cuda, blobs):
    """The only part that compiles in seconds; `jobs/gpu_check.py` compiles whole models."""
    torch.compiler.reset()
    compile_dynamic.cache_clear()
    measure, bounds = compile_dynamic(measure_px), (-1.0, 0.0, 1.0)
    for m, size in [(7, (70, 100)), (5, (534, 800)), (9, (800, 534))]:
        upsampler = Upsampler(Geometry.of(size, 1024), 256, 1024, cuda)
        rows, columns = upsampler._taps
        assert isinstance(rows, Taps)
        given = blobs(m).to(cuda), rows, columns, bounds
        torch.testing.assert_close(measure(*given), measure_px(*given), rtol=0, atol=2)
