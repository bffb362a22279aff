"""The pictures of masks: a person's outline is drawn in place of the machine's."""

import re

import cv2
import numpy as np
from pycocotools import mask as coco

from samseg.edits.edit import Redraw
from samseg.edits.log import append, read_log
from samseg.edits.replay import replay
from samseg.stages.edits.outlines import write_outlines


def redraw(output, mask_id, size):
    dense = np.zeros(size, np.uint8)
    dense[3:33, 3:33] = 1
    rle = coco.encode(np.asfortranarray(dense))
    row = {
        "mask_id": mask_id,
        "image_id": mask_id.rpartition("-")[0],
        "bbox": {"x": 3, "y": 3, "w": 30, "h": 30},
        "area": 900,
        "rle": {"size": rle["size"], "counts": rle["counts"].decode()},
    }
    number = write_outlines(output, [row], "ben")
    action = Redraw(mask_ids=(mask_id,), correction=number)
    append(output, action, "ben", "", replay(read_log(output)))
    return row


def test_an_outline_of_a_person_is_drawn(browser):
    review = browser.review
    row = int(review.now.rows_of(0)[0])
    mask_id = review.now.catalogue.mask_id(row)
    machines = review.pictures.mask(row)
    first = browser.client.get(f"/crops/0/{mask_id}").content
    assert "?outline" not in browser.get("/classes/0")

    drawn = redraw(review.output, mask_id, machines["rle"]["size"])
    assert f'src="/crops/0/{mask_id}?outline=1"' in browser.get("/classes/0")
    point = re.search(rf'<a href="/masks/{mask_id}"[^>]*>', browser.get("/map"))[0]
    assert 'data-outline="1"' in point
    now = review.pictures.mask(row)
    assert (now["rle"], now["area"]) == (drawn["rle"], 900)
    assert now["predicted_iou"] == machines["predicted_iou"]
    second = browser.client.get(f"/crops/0/{mask_id}?outline=1").content
    assert second != first
    layer = browser.client.get(f"/layers/{review.now.newest}/{mask_id}").content
    alpha = cv2.imdecode(np.frombuffer(layer, np.uint8), cv2.IMREAD_UNCHANGED)[..., 3]
    assert alpha[18, 18] == 0 and alpha[50:].all(), "all but the square is covered"

    browser.post("undo", edit=1)
    assert review.pictures.mask(row) == machines
    assert browser.client.get(f"/crops/0/{mask_id}").content == first
