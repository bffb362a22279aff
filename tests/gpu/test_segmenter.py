"""Masks, embeddings and devices of the GPU, compared with the CPU's."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from samseg.lab.benchmark.gpu.recovery import recovery
from samseg.lab.benchmark.gpu.subject import CheckSubject
from samseg.lab.benchmark.matching import Agreement, agreement
from samseg.pooling import Coverage
from samseg.pooling.grid import sam_grid
from samseg.sam.segmenter import Segmenter, load_segmenter
from samseg.sam.settings import MaskSettings
from samseg.sam.weights.load import load_model, resolve_device
from samseg.types import Features

CASES = {
    "float32": ({}, 0.98),
    "crops": ({"points_per_side": 6, "crop_n_layers": 1}, 0.97),
    "small regions": ({"min_mask_region_area": 100}, 0.97),
    "batches of seven": ({"points_per_batch": 7}, 0.98),
    "bfloat16": ({"precision": "bfloat16"}, 0.94),
    "adaptive": ({"points": {"kind": "adaptive"}, "points_per_side": 16}, 0.94),
}


@pytest.mark.parametrize("case", CASES)
def test_masks_equal_the_cpus(load, cuda, cpu, scenes, case):
    given, least = CASES[case]
    on_cpu = load(cpu, **{name: value for name, value in given.items() if name != "precision"})
    on_gpu = load(cuda, **given)
    pairs = sum(
        (
            agreement(on_cpu.segment(pixels).masks.rles, on_gpu.segment(pixels).masks.rles)
            for pixels in scenes
        ),
        Agreement(),
    )
    assert pairs.wanted > 20
    assert min(pairs.recall(0.9), pairs.precision(0.9)) >= least


BOXES = [[20, 30, 120, 150], [100, 60, 300, 220], [5, 5, 60, 60]]
POINTS = [[[60, 80], [10, 10]], [[200, 150], [20, 200]], [[30, 30], [300, 20]]]
BLOBS = np.full((3, 1, 256, 256), -5, np.float32)
BLOBS[:, :, 40:120, 60:140] = 5
PROMPTS = {
    "boxes": {"boxes": BOXES},
    "three masks a box": {"boxes": BOXES, "multimask_output": True},
    "points": {"points": POINTS, "point_labels": [[1, 0], [1, -1], [1, 0]]},
    "boxes and masks": {"boxes": BOXES, "mask_inputs": BLOBS},
    "masks": {"mask_inputs": BLOBS},
}


@pytest.mark.parametrize("kind", PROMPTS)
def test_prompted_masks_equal_the_cpus(load, cuda, cpu, scenes, kind):
    given = PROMPTS[kind]
    wanted, features = load(cpu).prompt(scenes[0], **given)
    found, on_gpu = load(cuda).prompt(scenes[0], **given)
    np.testing.assert_allclose(found.predicted_iou, wanted.predicted_iou, atol=1e-3)
    np.testing.assert_allclose(on_gpu, features, atol=1e-3)
    for one, other in zip(wanted.to_dense(), found.to_dense(), strict=True):
        union = np.count_nonzero(one | other)
        assert not union or np.count_nonzero(one & other) / union > 0.99


@pytest.mark.parametrize(
    "size", [(1, 1), (1, 900), (900, 1), (5, 7), (767, 1024), (3000, 4000)], ids=str
)
def test_images_of_any_size(load, cuda, size):
    pixels = np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8)
    segmenter = load(cuda, points_per_side=2, pred_iou_thresh=0.0, stability_score_thresh=0.0)
    masks, features = segmenter.segment(pixels)
    assert len(masks) > 0
    assert masks.to_dense().shape[1:] == size
    assert features.shape == (256, 64, 64)
    assert np.isfinite(features).all()


def test_no_masks(cuda):
    model = load_model("tiny")
    with torch.no_grad():  # predicted IoU of 0
        for parameter in model.mask_decoder.iou_prediction_head.layers[-1].parameters():
            parameter.zero_()
    settings = MaskSettings(points_per_side=2, pred_iou_thresh=1.0, crop_n_layers=1)
    masks, _ = Segmenter(model, settings, cuda).segment(np.zeros((40, 60, 3), np.uint8))
    assert len(masks) == 0


def test_float32_features_keep_their_precision(load, cuda, cpu, scenes, relative_error):
    """By default PyTorch rounds the operands of convolutions to TF32, an error of about 1e-3."""
    assert torch.backends.cudnn.allow_tf32
    wanted = load(cpu).runtime.encoder.encode(scenes[0]).features
    found = load(cuda).runtime.encoder.encode(scenes[0]).features
    assert relative_error(found, wanted) < 1e-4
    assert torch.backends.cudnn.allow_tf32


def test_results_and_embeddings_are_on_the_host(load, cuda, cpu, scenes, relative_error):
    found = load(cuda).segment(scenes[1])
    masks, features = pickle.loads(pickle.dumps(found))
    assert isinstance(features, np.ndarray)
    assert masks.rles == found.masks.rles
    grid = sam_grid(scenes[1].shape[:2])
    pooled = Coverage().pool(Features(features, grid), masks)
    on_cpu = load(cpu).segment(scenes[1]).features
    wanted = Coverage().pool(Features(on_cpu, grid), masks)
    assert relative_error(pooled.embeddings, wanted.embeddings) < 1e-4
    np.testing.assert_array_equal(pooled.empty, wanted.empty)


def test_threads_of_one_process_share_a_gpu(load, cuda, scenes):
    segmenter = load(cuda, points_per_side=6)
    assert segmenter.runtime.threads.n == 1
    alone = [segmenter.segment(pixels).masks for pixels in scenes]
    with ThreadPoolExecutor(3) as pool:
        together = [s.masks for s in pool.map(segmenter.segment, scenes)]
    for one, other in zip(alone, together, strict=True):
        assert agreement(one.rles, other.rles).recall(0.9) >= 0.95


def test_less_memory_gives_the_same_masks(cuda, scenes):
    subject = CheckSubject(cuda, (scenes[0],), 16, ("tiny",), "tiny", 4, 1)
    (found,) = recovery(subject)
    assert found.times > 0
    assert found.batch_after < found.batch == 64
    assert found.parity.match.recall_90 >= 0.97


@pytest.mark.parametrize("wanted", ["auto", "cuda"])
def test_the_first_gpu_is_chosen(wanted):
    assert resolve_device(wanted) == torch.device("cuda", 0)
    segmenter = load_segmenter("tiny", device=wanted, points_per_side=2)
    assert segmenter.device == torch.device("cuda", 0)
    assert {p.device.type for p in segmenter.model.parameters()} == {"cuda"}


def test_the_cpu_stays_available():
    before = torch.cuda.memory_allocated()
    segmenter = load_segmenter("tiny", device="cpu", points_per_side=2)
    segmenter.segment(np.zeros((40, 60, 3), np.uint8))
    assert segmenter.device.type == "cpu"
    assert torch.cuda.memory_allocated() == before
