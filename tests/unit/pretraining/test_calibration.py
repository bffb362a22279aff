"""Fitting predicted IoU: it learns what the answers reached, and nothing else changes."""

import copy

import numpy as np
import pytest
import torch

from samseg.pretraining.calibration import answers, calibrate, fit
from samseg.pretraining.examples import Examples, Shape
from samseg.pretraining.photos import LabelledPhotos
from samseg.progress import Silent
from samseg.sam.model import load_model
from samseg.sam.segmenter import Segmenter

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def discs(labelled_folder):
    return LabelledPhotos(
        str(labelled_folder), longest=512, held_out=0.0, ground=True, first_kind=1
    )


def head_of(model):
    return model.mask_decoder.iou_prediction_head


def test_the_head_alone_changes_and_two_threads_fit_as_one(discs):
    before, heads = load_model("tiny"), []
    for n in (1, 2):
        model = copy.deepcopy(before)
        torch.set_num_threads(n)
        calibrate(model, [discs], [1.0], 3, seed=5, progress=Silent())
        heads.append(head_of(model))
        for name, value in before.state_dict().items():
            moved = not torch.equal(value, model.state_dict()[name])
            assert moved == ("iou_prediction_head" in name), name
    torch.set_num_threads(1)
    example = Examples([discs], [1.0], Shape(1024, 4, 1), 1, seed=2)[0]
    tokens, _ = answers(Segmenter(before, device="cpu"), example)
    once, again = (head(tokens).detach() for head in heads)
    torch.testing.assert_close(once, again, rtol=0, atol=0.01)
    assert (once - head_of(before)(tokens)).abs().max() > 0.02


def test_answers_pair_the_tokens_with_what_they_reached(discs):
    segmenter = Segmenter(load_model("tiny"), device="cpu")
    example = Examples([discs], [1.0], Shape(1024, 20, 1), 1, seed=1)[0]
    tokens, reached = answers(segmenter, example)
    assert tokens.shape == (40, 256)
    assert reached.shape == (40, 4)
    assert reached[:20, 0].isnan().all()
    assert reached[20:, 1:].isnan().all()
    pixels = np.ascontiguousarray(example["image"].permute(1, 2, 0).numpy())
    found = segmenter.prompt(pixels, points=example["points"].numpy() / 2, multimask_output=True)
    said = head_of(segmenter.model)(tokens[:20])[:, 1:].detach().numpy()
    np.testing.assert_allclose(said.ravel(), found.masks.predicted_iou, atol=1e-4)
    dense = found.masks.to_dense()
    for prompt in range(20):  # against px counted one by one, at the size of the targets
        for answer in range(3):
            mask = dense[3 * prompt + answer].astype(np.float32)
            mask = mask.reshape(256, 2, 256, 2).mean((1, 3)) > 0.5
            meant = example["targets"][prompt][example["meant"][prompt]].numpy() > 127
            iou = max((mask & one).sum() / max(1, (mask | one).sum()) for one in meant)
            assert reached[prompt, 1 + answer] == pytest.approx(iou, abs=1e-5)


def test_a_fitted_head_ranks_better():
    torch.manual_seed(3)
    head = head_of(load_model("tiny"))
    known = torch.randn(6000, 3)
    tokens = known @ torch.randn(3, 256)
    reached = torch.cat([torch.full((6000, 1), torch.nan), known.sigmoid()], dim=1)
    fitted = fit(head, tokens[:5000], reached[:5000], seed=0)

    def chosen(model):
        best = model(tokens[5000:])[:, 1:].argmax(1)
        return float((best == known[5000:].argmax(1)).float().mean())

    assert chosen(head) < 0.7
    assert chosen(fitted) > 0.9
