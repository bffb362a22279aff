"""Compiled parts yield the same results as uncompiled ones, with few graphs.

Whole parts are only traced and functionalised; Inductor, which takes minutes for a whole decoder,
compiles only the small function `measure_px`.
"""

from contextlib import nullcontext
from functools import partial
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from segment_anything.modeling import ImageEncoderViT
from torch.fx.experimental.proxy_tensor import make_fx
from torch.profiler import ProfilerActivity, profile

from samseg.sam.network import decoder as decoder_module
from samseg.sam.network.compiled import compile_dynamic, pad_batch
from samseg.sam.network.decoder import Decoder
from samseg.sam.network.encoder import Geometry
from samseg.sam.network.vit_encoder import VitEncoder
from samseg.sam.segmenter import Segmenter
from samseg.sam.settings import MaskSettings
from samseg.sam.tiny.build import build_tiny
from samseg.sam.upsample.gpu_taps import Taps, measure_px
from samseg.sam.upsample.upsampler import _weights

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def fresh():
    torch.compiler.reset()
    compile_dynamic.cache_clear()


@pytest.fixture
def small():
    """A random SAM whose features are 16 x 16."""
    torch.manual_seed(0)
    model = build_tiny(256)
    for parameter in model.mask_decoder.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    return model


@pytest.fixture
def traced_only(monkeypatch):
    """Compile up to the point where Inductor would start."""
    trace(monkeypatch)


@pytest.fixture
def traced_whole(monkeypatch):
    """Do the same and fail on a graph break."""
    trace(monkeypatch, fullgraph=True)


def trace(monkeypatch, **more):
    compile_ = torch.compile
    monkeypatch.setattr(
        torch,
        "compile",
        lambda f, dynamic, mode=None: compile_(f, dynamic=dynamic, backend="aot_eager", **more),
    )


no_recompile = partial(torch.compiler.set_stance, "fail_on_recompile")
"""Fail if anything is compiled: an image of another size must reuse the graphs there are."""


def test_batch_is_padded_with_its_last_row():
    rows = torch.tensor([[1, 2], [3, 4]])
    assert pad_batch(rows, 4).tolist() == [[1, 2], [3, 4], [3, 4], [3, 4]]
    assert pad_batch(rows, 2).tolist() == rows.tolist()


@torch.inference_mode()
def test_decoder(small, traced_whole, monkeypatch):
    monkeypatch.setattr(decoder_module, "_CHUNK", 2)
    points = 256 * torch.rand(5, 1, 2)
    sparse, dense = small.prompt_encoder((points, torch.ones(5, 1)), None, None)
    plain, compiled = Decoder(small), Decoder(small, compiled_for=5)
    for seed, b in enumerate([5, 3, 5]):
        features = torch.randn(1, 256, 16, 16, generator=torch.Generator().manual_seed(seed))
        chosen = torch.tensor([2, 0, 1])[: b - seed]
        ious, logits = [], []
        with no_recompile() if seed else nullcontext():
            for decoder in (plain, compiled):
                image = decoder.image_cache(features, dense[:1], (256, 170))
                decoded = decoder.decode(image, sparse[:b], slice(1, None))
                ious.append(decoded.predicted_iou)
                logits.append(decoder.logits(image, decoded, chosen))
            nothing = compiled.logits(image, decoded, chosen[:0])
        torch.testing.assert_close(ious[1], ious[0], rtol=0, atol=1e-5)
        assert (logits[0].shape[3], logits[1].shape) == (44, (len(chosen), 3, 64, 64))
        torch.testing.assert_close(logits[1][..., :44], logits[0], rtol=0, atol=1e-5)
        assert nothing.shape == (0, 3, 64, 64)


@pytest.mark.parametrize("kind", ["grid", "adaptive"])
def test_segmenter(small, scene, traced_only, kind):
    settings = MaskSettings(
        points={"kind": kind},
        points_per_side=4,
        points_per_batch=7,
        pred_iou_thresh=0.0,
        stability_score_thresh=0.0,
        box_nms_thresh=1.0,
    )
    plain, compiled = (Segmenter(small, settings, "cpu", compiled=c) for c in (False, True))
    for size in [(80, 120), (120, 80)]:
        wanted, _ = plain.segment(scene(*size))
        with no_recompile() if size == (120, 80) else nullcontext():
            masks, _ = compiled.segment(scene(*size))
        assert len(wanted) > 9
        assert masks.rles == wanted.rles
        np.testing.assert_allclose(masks.predicted_iou, wanted.predicted_iou, atol=1e-5)


def blobs(m):
    coarse = torch.randn(m, 1, 12, 12, generator=torch.Generator().manual_seed(4))
    coarse -= torch.linspace(-1, 2.5, m)[:, None, None, None]
    return torch.nn.functional.interpolate(coarse, 256, mode="bicubic")[:, 0] * 4


def largest_allocation(work):
    """Return the bytes of the largest allocation or release of memory in `work`."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        work()
    return max(abs(event.cpu_memory_usage) for event in profiled.events())


@torch.inference_mode()
def test_measuring_stores_no_pixels_and_compiles_once():
    bounds = (-1.0, 0.0, 1.0)
    measure = compile_dynamic(measure_px)
    for m, size in [(7, (70, 100)), (5, (534, 800)), (9, (800, 534)), (2, (1500, 2000))]:
        into = Geometry.of(size, 1024).input_size
        taps = [Taps.of(_weights(256, 1024, *n)) for n in zip(into, size, strict=True)]
        given = (blobs(m), *taps, bounds)
        with no_recompile() if m != 7 else nullcontext():
            measured = measure(*given)
        torch.testing.assert_close(measured, measure_px(*given), rtol=0, atol=1)
    pixels = 4 * m * size[0] * size[1]
    assert largest_allocation(lambda: measure_px(*given)) >= pixels
    assert largest_allocation(lambda: measure(*given)) < pixels / 4


def vit(**more):
    norm = partial(torch.nn.LayerNorm, eps=1e-6)
    given = dict(img_size=256, embed_dim=32, depth=4, num_heads=2, out_chans=8, window_size=14)
    return ImageEncoderViT(
        **given, norm_layer=norm, use_rel_pos=True, global_attn_indexes=[1, 3], **more
    ).eval()


def test_vit_encoder(traced_only):
    encoder, images = vit(), torch.randn(1, 3, 256, 256)
    wanted = VitEncoder(encoder)(images)
    torch.testing.assert_close(
        VitEncoder(encoder, compiled=True)(images), wanted, rtol=0, atol=1e-4
    )


class TestOtherDevices:
    """Run the code paths of devices other than CPUs with `meta` tensors."""

    @torch.inference_mode()
    def test_blocks_of_the_vit_encoder_are_one_graph_each(self, monkeypatch):
        """One windowed and one global graph serve all four blocks."""
        compile_, graphs = torch.compile, []

        def backend(graph, inputs):
            graphs.append(graph)
            return graph.forward

        monkeypatch.setattr(
            torch, "compile", lambda f, dynamic: compile_(f, backend=backend, fullgraph=True)
        )
        encoder = VitEncoder(vit().to("meta"), torch.bfloat16, compiled=True)
        assert encoder(torch.empty(2, 3, 256, 256, device="meta")).shape == (2, 8, 16, 16)
        assert len(graphs) == 2

    @torch.inference_mode()
    def test_decoding_creates_no_tensor_on_the_cpu(self, small):
        """A CUDA graph cannot contain a copy from the CPU."""
        decoder = Decoder(small.to("meta"), torch.bfloat16)
        image = decoder.image_cache(*torch.empty(2, 1, 256, 16, 16, device="meta"))

        def batch(sparse, prompts):
            decoded = decoder.decode(image, sparse, slice(1, None))
            return decoder.logits(image, decoded, prompts)

        sparse, prompts = torch.empty(5, 2, 256, device="meta"), torch.arange(3, device="meta")
        traced = make_fx(batch)(sparse, prompts)
        constants = [
            getattr(traced, node.target) for node in traced.graph.nodes if node.op == "get_attr"
        ]
        assert len(constants) > 50  # the weights
        assert {constant.device.type for constant in constants} == {"meta"}


@pytest.mark.parametrize("fails", [False, True])
@torch.inference_mode()
def test_decoding_restores_the_matmul_precision(small, monkeypatch, fails):
    """The precision is a setting of the process, which the calling program may have chosen."""
    decoder = Decoder(small, torch.bfloat16)
    decoder._tf32 = True  # as on a GPU
    image = decoder.image_cache(*torch.randn(2, 1, 256, 16, 16))
    if fails:
        monkeypatch.setattr(decoder, "_two_way", Mock(side_effect=torch.OutOfMemoryError))
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with pytest.raises(torch.OutOfMemoryError) if fails else nullcontext():
            decoded = decoder.decode(image, torch.randn(2, 2, 256), slice(1, None))
            decoder.logits(image, decoded, torch.arange(2))
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
