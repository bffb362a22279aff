"""Automatic masks compared with the reference generator, on the shipped model and on vit_b."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from segment_anything import SamAutomaticMaskGenerator

from samseg.errors import ConfigError, DeviceError
from samseg.lab.benchmark.matching import agreement
from samseg.sam import runtime
from samseg.sam.network.decoder import Decoder
from samseg.sam.network.encoder import ImageEncoder
from samseg.sam.segmenter import Segmenter, load_segmenter
from samseg.sam.settings import AdaptivePoints, MaskSettings, ModelSpec
from samseg.sam.threads import Threads
from samseg.sam.weights.load import build_model

pytestmark = pytest.mark.slow

LOW = {"pred_iou_thresh": 0.2, "stability_score_thresh": 0.3}


def reference(model, image, settings):
    generator = SamAutomaticMaskGenerator(
        model, **settings.reference_arguments(), output_mode="coco_rle"
    )
    return generator.generate(image)


class Patches(torch.nn.Module):
    """A cheap encoder: features are a random projection of each patch's colours."""

    img_size = 1024

    def __init__(self):
        super().__init__()
        self.project = torch.nn.Conv2d(3, 256, kernel_size=3, padding=1)

    def forward(self, x):
        x = self.project(torch.nn.functional.avg_pool2d(x, 16))
        return torch.nn.functional.layer_norm(x.movedim(1, -1), (256,)).movedim(-1, 1)


@pytest.fixture(scope="module")
def vit_b():
    """SAM's decoder with random weights; its encoder is tested in `network/test_encoder.py`."""
    torch.manual_seed(0)
    model = build_model("vit_b")
    model.image_encoder = Patches().eval()
    for parameter in model.mask_decoder.parameters():
        parameter.data += 0.03 * torch.randn_like(parameter)  # no bias is zero
    return model


CASES = {
    "landscape": ((120, 180), {"points_per_side": 5}),
    "portrait": ((300, 170), {"points_per_side": 4}),
    "larger than the input": ((900, 1300), {"points_per_side": 3}),
    "crops": ((200, 300), {"points_per_side": 4, "crop_n_layers": 1}),
    "small regions": ((160, 200), {"points_per_side": 4, "min_mask_region_area": 300}),
    "all kept": (
        (90, 100),
        {"points_per_side": 3, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0},
    ),
    "point grids": (
        (130, 130),
        {"points_per_side": None, "point_grids": (((0.3, 0.4), (0.5, 0.5), (0.9, 0.1)),)},
    ),
    "batches of three": ((100, 140), {"points_per_side": 4, "points_per_batch": 3}),
    "one pixel": ((1, 1), {"points_per_side": 2}),
    "a line": ((1, 1800), {"points_per_side": 2}),
    "a column": ((1800, 1), {"points_per_side": 2}),
    "a few pixels": ((5, 7), {"points_per_side": 3}),
    "six megapixels": ((2000, 3000), {"points_per_side": 2}),
    "a px short of a patch": ((767, 1024), {"points_per_side": 3}),
    "black": ((200, 150), {"points_per_side": 3}),
}


def once(masks):
    """Leave out repetitions of a mask, which the reference keeps where boxes have no area."""
    first = {}
    for mask in masks:
        first.setdefault(mask["segmentation"]["counts"], mask)
    return list(first.values())


PHOTOS = ("landscape", "portrait", "larger than the input", "six megapixels")
"""Cases whose masks must look like masks of photos, which those of random weights do not."""


@pytest.mark.parametrize(
    ("case", "arch"),
    [(case, "tiny") for case in CASES] + [(case, "vit_b") for case in CASES if case not in PHOTOS],
)
def test_masks_are_the_reference_s(request, scene, case, arch):
    model = request.getfixturevalue(arch)
    size, given = CASES[case]
    image = scene(*size) if case != "black" else np.zeros((*size, 3), np.uint8)
    none = {"pred_iou_thresh": 0.0, "stability_score_thresh": 0.0}
    settings = MaskSettings(**{**(LOW if arch == "tiny" else none), **given})
    wanted = once(reference(model, image, settings))
    assert arch == "tiny" or wanted
    masks, features = Segmenter(model, settings, "cpu").segment(image)

    assert features.shape == (256, 64, 64)
    assert features.dtype == np.float32
    assert masks.size == image.shape[:2]
    rles = [{**w["segmentation"], "counts": w["segmentation"]["counts"].encode()} for w in wanted]
    pairs = agreement(rles, masks.rles)
    filled = sum(w["area"] > 0 for w in wanted)  # an empty mask has IoU 0 with any mask
    assert (pairs.at_99, pairs.found) == (filled, len(wanted))
    # also in the same order, which defines mask_index
    np.testing.assert_allclose(masks.areas, [w["area"] for w in wanted], rtol=1e-3, atol=2)
    xywh = np.array([w["bbox"] for w in wanted]).reshape(-1, 4)
    got = np.concatenate([masks.boxes[:, :2], masks.boxes[:, 2:] - masks.boxes[:, :2]], axis=1)
    np.testing.assert_allclose(got, xywh, atol=1)
    crop = np.array([w["crop_box"] for w in wanted]).reshape(-1, 4)
    got = np.concatenate([masks.crops[:, :2], masks.crops[:, 2:] - masks.crops[:, :2]], axis=1)
    np.testing.assert_array_equal(got, crop)
    points = np.array([w["point_coords"][0] for w in wanted]).reshape(-1, 2)
    np.testing.assert_allclose(masks.points, points, rtol=1e-5)
    iou = np.array([w["predicted_iou"] for w in wanted])
    np.testing.assert_allclose(masks.predicted_iou, iou, atol=1e-5)
    stability = np.array([w["stability_score"] for w in wanted])
    np.testing.assert_allclose(masks.stability_score, stability, atol=1e-3)


def test_the_cases_contain_masks(tiny, scene):
    """The comparison above would be vacuous on images without masks."""
    size, given = CASES["crops"]
    masks, _ = Segmenter(tiny, MaskSettings(**{**LOW, **given}), "cpu").segment(scene(*size))
    assert len(masks) >= 5
    assert len(np.unique(masks.crops, axis=0)) > 1


def test_columns_agree_with_the_pixels(tiny, scene):
    size, given = CASES["landscape"]
    masks, _ = Segmenter(tiny, MaskSettings(**{**LOW, **given}), "cpu").segment(scene(*size))
    dense = masks.to_dense()
    np.testing.assert_array_equal(dense.sum(axis=(1, 2)), masks.areas)
    for one, (x0, y0, x1, y1) in zip(dense, masks.boxes, strict=True):
        rows, columns = np.flatnonzero(one.any(axis=1)), np.flatnonzero(one.any(axis=0))
        assert (columns[0], rows[0], columns[-1], rows[-1]) == (x0, y0, x1, y1)
    assert masks.prompt_kind == "grid"
    grid = Segmenter(tiny, MaskSettings(points_per_side=5), "cpu")
    assert set(masks.prompt_ids) <= set(range(grid.settings.points_per_side**2))


@pytest.mark.parametrize("crop_layers", [0, 1])
def test_image_without_masks(tiny, crop_layers):
    settings = MaskSettings(points_per_side=2, crop_n_layers=crop_layers, pred_iou_thresh=1.0)
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    masks, features = Segmenter(tiny, settings, "cpu").segment(noise)
    assert len(masks) == 0
    assert masks.boxes.shape == (0, 4)
    assert masks.to_dense().shape == (0, 40, 60)
    assert np.isfinite(features).all()


@pytest.mark.parametrize("size", [(1, 9000), (9000, 1)])
def test_images_that_the_reference_cannot_resize(tiny, scene, size):
    """Their shorter side rounds to 0 px of the model's input; samseg uses 1 px."""
    settings = MaskSettings(points_per_side=2, pred_iou_thresh=0.0, stability_score_thresh=0.0)
    masks, _ = Segmenter(tiny, settings, "cpu").segment(scene(*size))
    assert len(masks) > 0
    assert masks.to_dense().shape[1:] == size


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1)])
def test_no_mask_is_found_twice(tiny, scene, size):
    settings = MaskSettings(points_per_side=4, pred_iou_thresh=0.0, stability_score_thresh=0.0)
    masks, _ = Segmenter(tiny, settings, "cpu").segment(scene(*size))
    assert len({rle["counts"] for rle in masks.rles}) == len(masks) > 0


def test_bfloat16_finds_nearly_the_same_masks(tiny, scene, monkeypatch):
    monkeypatch.setattr(runtime, "has_bfloat16", lambda device: True)
    image, settings = scene(200, 300), MaskSettings(points_per_side=8, **LOW)
    wanted, _ = Segmenter(tiny, settings, "cpu").segment(image)
    masks, _ = Segmenter(tiny, settings, "cpu", precision="bfloat16").segment(image)
    pairs = agreement(wanted.rles, masks.rles)
    assert pairs.wanted >= 8
    assert pairs.recall(0.9) >= 0.85
    assert pairs.precision(0.9) >= 0.85
    assert masks.rles != wanted.rles


def test_a_device_without_bfloat16_computes_in_float32(tiny, scene, monkeypatch, caplog):
    monkeypatch.setattr(runtime, "has_bfloat16", lambda device: False)
    image, settings = scene(60, 80), MaskSettings(points_per_side=2, **LOW)
    wanted, _ = Segmenter(tiny, settings, "cpu").segment(image)
    masks, _ = Segmenter(tiny, settings, "cpu", precision="bfloat16").segment(image)
    assert masks.rles == wanted.rles
    assert "this CPU has no bfloat16 instructions: float32 is used" in caplog.messages


def test_adaptive_points_find_most_masks_with_fewer_points(tiny, scene, monkeypatch):
    # with LOW, small masks cover the scene, and all points beside them are prompted
    certain = {"pred_iou_thresh": 0.6, "stability_score_thresh": 0.6}
    image, settings = scene(200, 300), MaskSettings(points_per_side=16, **certain)
    wanted, _ = Segmenter(tiny, settings, "cpu").segment(image)
    assert len(wanted) >= 5
    adaptive = settings.model_copy(update={"points": AdaptivePoints()})
    segmenter, prompted = Segmenter(tiny, adaptive, "cpu"), []
    decode = segmenter.runtime.decoder.decode

    def counted(image, sparse, masks):
        prompted.append(len(sparse))
        return decode(image, sparse, masks)

    monkeypatch.setattr(segmenter.runtime.decoder, "decode", counted)
    masks, _ = segmenter.segment(image)
    assert 16**2 / 16 < sum(prompted) < 0.9 * 16**2
    pairs = agreement(wanted.rles, masks.rles)
    assert pairs.recall(0.9) >= 0.75
    assert pairs.precision(0.9) >= 0.75
    assert set(masks.prompt_ids) <= set(range(16**2))


def test_threads_do_not_change_masks(tiny, scene):
    image, settings = scene(120, 160), MaskSettings(points_per_side=6, **LOW)
    segmenter = Segmenter(tiny, settings, "cpu")
    segmenter.runtime = replace(segmenter.runtime, threads=Threads(1))
    alone, _ = segmenter.segment(image)
    segmenter.runtime = replace(segmenter.runtime, threads=Threads(3))
    together, _ = segmenter.segment(image)
    assert alone.rles == together.rles


def test_calls_do_not_depend_on_each_other(tiny, scene):
    segmenter = Segmenter(tiny, MaskSettings(points_per_side=3, **LOW), "cpu")
    first, other = scene(80, 120), scene(120, 80, seed=1)
    alone = segmenter.segment(first)
    segmenter.segment(other)
    again = segmenter.segment(first)
    np.testing.assert_array_equal(alone.features, again.features)
    assert alone.masks.rles == again.masks.rles


def little_memory(monkeypatch, prompts=2, crops=1):
    """Run out of memory whenever more is decoded or encoded at once; return what fitted."""
    fitted = {"prompts": [], "crops": []}
    decode, encode = Decoder.decode, ImageEncoder.encode_batch

    def decode_few(self, image, sparse, masks):
        if len(sparse) > prompts:
            raise torch.OutOfMemoryError(f"{len(sparse)} prompts")
        fitted["prompts"].append(len(sparse))
        return decode(self, image, sparse, masks)

    def encode_few(self, images):
        if len(images) > crops:
            raise torch.OutOfMemoryError(f"{len(images)} crops")
        fitted["crops"].append(len(images))
        return encode(self, images)

    monkeypatch.setattr(Decoder, "decode", decode_few)
    monkeypatch.setattr(ImageEncoder, "encode_batch", encode_few)
    return fitted


def test_less_memory_gives_the_same_masks(tiny, scene, monkeypatch):
    image = scene(120, 160)
    settings = MaskSettings(points_per_side=3, points_per_batch=9, crop_n_layers=1, **LOW)
    segmenter = Segmenter(tiny, settings, "cpu")
    boxes = [[10, 10, 60, 70], [30, 5, 150, 100], [0, 0, 90, 90]]
    wanted, prompted = segmenter.segment(image), segmenter.prompt(image, boxes)
    fitted = little_memory(monkeypatch)
    segmenter.runtime = replace(segmenter.runtime, crops=4)  # as on a GPU
    found = segmenter.segment(image)
    assert fitted["crops"] == [1] * 5
    assert max(fitted["prompts"]) == segmenter.runtime.batch == 2  # of nine: four, two
    assert found.masks.rles == wanted.masks.rles
    assert found.masks.prompt_ids.tolist() == wanted.masks.prompt_ids.tolist()
    np.testing.assert_array_equal(found.features, wanted.features)
    assert segmenter.prompt(image, boxes).masks.rles == prompted.masks.rles


@pytest.mark.parametrize("limit", [{"prompts": 0}, {"crops": 0}])
def test_no_memory_for_a_single_prompt_is_an_error(tiny, scene, monkeypatch, limit):
    segmenter = Segmenter(tiny, MaskSettings(points_per_side=2, **LOW), "cpu")
    little_memory(monkeypatch, **limit)
    with pytest.raises(torch.OutOfMemoryError, match=r"^1 "):
        segmenter.segment(scene(40, 60))


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_invalid_images_are_refused(tiny, image):
    with pytest.raises(ConfigError, match=r"must be \(h, w, 3\) uint8 RGB, got"):
        Segmenter(tiny, None, "cpu").segment(image)


def test_loading_uses_the_checkpoint_s_recommended_settings():
    segmenter = load_segmenter("tiny", device="cpu", points_per_side=2)
    assert segmenter.settings.points_per_side == 2
    assert segmenter.settings.pred_iou_thresh == 0.3
    given = Segmenter.load(ModelSpec(), MaskSettings(pred_iou_thresh=0.88), device="cpu")
    assert given.settings.pred_iou_thresh == 0.88
    assert given.settings.stability_score_thresh == 0.1
    assert len(segmenter.weights_sha256) == 64


def test_invalid_arguments_are_reported():
    with pytest.raises(
        ConfigError, match=r"point_per_side: unknown key; did you mean 'points_per_side'"
    ):
        load_segmenter("tiny", point_per_side=3)
    with pytest.raises(DeviceError, match="unknown device 'tpu'"):
        load_segmenter("tiny", device="tpu")
