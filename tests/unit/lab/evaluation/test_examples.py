"""Classes by example against the labels."""

import json

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from samseg import cli
from samseg.errors import ConfigError
from samseg.lab.evaluation.classes.labelled_masks import LabelledMasks
from samseg.lab.evaluation.examples import report
from samseg.lab.evaluation.examples.draws import category_draws
from samseg.lab.evaluation.examples.measure import average_precision, score_examples
from samseg.lab.evaluation.examples.record import ExampleEvaluation, ExampleProtocol
from samseg.types import image_id_of, mask_id_of

D, PHOTOS = 24, 16
FEW = ExampleProtocol(draws=2)


def made(spread, seed=0):
    """Masks of three categories, two of each in every photo, and their vectors."""
    g = np.random.default_rng(seed)
    photos = np.repeat([f"{i:02d}" for i in range(PHOTOS)], 6)
    codes = np.tile([0, 0, 1, 1, 2, 2], PHOTOS)
    vectors = np.eye(D)[codes] + spread * g.standard_normal((len(codes), D)) + 0.3
    ids = tuple(mask_id_of(image_id_of(p), i % 6) for i, p in enumerate(photos))
    none = tuple({} for _ in ids)
    return LabelledMasks(ids, photos, none, codes, ("a", "b", "c"), {}), vectors.astype(np.float32)


def test_examples_and_ranked_masks_are_of_different_photos():
    masks, _ = made(0.1)
    draws = list(category_draws(masks.codes, masks.photos, FEW))
    assert len(draws) == 2 * 3
    for draw in draws:
        inside = {*masks.photos[draw.examples], *masks.photos[draw.others]}
        assert not inside & {*masks.photos[draw.ranked]} and len(draw.examples) >= 10
        category = masks.codes[draw.examples][0]
        assert (masks.codes[draw.examples] == category).all()
        assert (draw.truth == (masks.codes[draw.ranked] == category)).all()
    assert {d.ranked.tobytes() for d in draws[:3]} != {d.ranked.tobytes() for d in draws[3:]}


def test_average_precision_is_that_of_scikit_learn():
    g = np.random.default_rng(1)
    for _ in range(20):
        truth = g.random(30) < 0.3
        truth[0] = True
        scores = g.standard_normal(30)
        wanted = average_precision_score(truth, scores)
        assert average_precision(truth, scores) == pytest.approx(wanted)


def test_clear_categories_are_found_and_more_examples_help_with_others():
    clear, vectors = made(0.03)
    found = score_examples("set", "net", clear, vectors, FEW)
    for count in found.counts:
        assert all(value.mean == pytest.approx(1) for value in count.precision_of.values())
        assert all(of.precision.mean == pytest.approx(1) for of in count.members.values())
    assert all(of.recall.mean > 0.85 for of in found.counts[-1].members.values())
    noisy, vectors = made(0.35)
    one, _, ten = score_examples("set", "net", noisy, vectors, FEW).counts
    for name, value in ten.precision_of.items():
        assert value.mean > one.precision_of[name].mean > found.chance
    record = ExampleEvaluation(protocol=FEW, sets=(found,))
    text = report.example_markdown(record)
    assert "| average precision, centred cosine, mean | 1.000 ± 0.000 |" in text
    assert sum(1 for _ in report.example_tables(record)) == 2


def test_a_set_with_too_few_masks_is_refused(drawn, capsys):
    masks, vectors = made(0.1)
    few = masks.take(np.arange(24))
    with pytest.raises(ConfigError, match="no category has 10 masks in one half"):
        score_examples("set", "net", few, vectors[:24], FEW)
    with pytest.raises(SystemExit) as ended:
        cli.main(["eval", "examples", str(drawn.folder), "--min-segments", "2"])
    assert ended.value.code == 2
    assert "no category has 10 masks" in json.loads(capsys.readouterr().out)["message"]


def test_an_unknown_embedding_is_refused(drawn, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["eval", "examples", str(drawn.folder), "--embedding", "nothing"])
    assert ended.value.code == 2 and "--embedding nothing" in capsys.readouterr().err
