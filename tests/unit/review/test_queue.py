"""The review queue: least sure masks first; accepted ones stay, wrong ones go."""

import re

import numpy as np
import pytest

from samseg.review.session import Pace


def queued(page):
    return re.findall(r'name="mask" value="([^"]+)"', page)


def test_masks_of_one_class_come_least_sure_first(unsure):
    now = unsure.review.now
    masks = queued(unsure.get("/queue"))
    rows = [now.catalogue.find(mask) for mask in masks]
    assert len({int(now.class_ids[row]) for row in rows}) == 1
    ratio = now.catalogue.ratio[rows]
    assert (np.diff(ratio) >= 0).all() and ratio[0] == 1
    (only,) = {
        int(now.class_ids[r]) for r in map(now.catalogue.find, queued(unsure.get("/queue?class=2")))
    }
    assert only == 2


def test_accepted_masks_keep_their_class_and_wrong_ones_go(unsure):
    before = sum(unsure.review.now.unsure.values())
    page = unsure.get("/queue")
    masks, which = queued(page), re.search(r'name="class" value="(\d+)"', page)[1]
    page = unsure.post("decide", mask=masks, wrong=masks[:2], **{"class": which})
    assert "move 2 masks to no class" in page
    now = unsure.review.now
    rows = [now.catalogue.find(mask) for mask in masks]
    assert now.class_ids[rows].tolist() == [-1, -1] + [int(which)] * (len(masks) - 2)
    assert sum(now.unsure.values()) == before - len(masks)
    assert not {*queued(unsure.get("/queue"))} & {*masks}
    assert f"<b>{len(masks)} labels</b>" in unsure.get("/queue")
    masks = queued(unsure.get("/queue?class=1"))
    unsure.post("decide", mask=masks, wrong=masks[0], into="2", **{"class": 1})
    row = unsure.review.now.catalogue.find(masks[0])
    assert unsure.review.now.class_ids[row] == 2


def test_skipped_masks_come_no_more_and_nothing_is_written(unsure):
    masks = queued(unsure.get("/queue"))
    unsure.post("skip", mask=masks)
    assert not {*queued(unsure.get("/queue"))} & {*masks}
    assert unsure.review.now.newest == 0


def test_the_queue_ends(unsure):
    while masks := queued(unsure.get("/queue")):
        unsure.post("skip", mask=masks)
    assert "Nothing left to judge" in unsure.get("/queue")


def test_ignored_classes_are_not_judged_unless_asked_for(unsure):
    unsure.post("ignore", **{"class": [0, 1, 2]})
    assert {
        int(unsure.review.now.class_ids[unsure.review.now.catalogue.find(m)])
        for m in queued(unsure.get("/queue"))
    } == {3}
    assert queued(unsure.get("/queue?class=0"))


def test_the_pace_leaves_breaks_out():
    time = [0.0]
    pace = Pace(lambda: time[0])
    assert pace.per_minute is None
    time[0] = 30.0
    pace.add(12)
    assert pace.per_minute == pytest.approx(24)
    time[0] += 300.0  # a break counts as a minute
    pace.add(12)
    assert pace.per_minute == pytest.approx(60 * 24 / 90) and pace.total == 24
    time[0] += 5000.0
    pace.add(3)
    assert pace.total == 27 and pace.per_minute is None, "nothing to compare the last one with"
