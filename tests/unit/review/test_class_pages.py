"""The pages of classes: what they find, in which order, and that untrusted text stays text."""

import re

import fsspec
import numpy as np
import pytest

HOSTILE = "<script>alert('x')</script>\"; drop table labels; --\x1b[2J\u202egpj.exe"


def shown(page):
    """Return the ids of the classes on a page, in order."""
    return [int(i) for i in re.findall(r'<article class="card class" id="class-(\d+)"', page)]


def masks_on(page):
    return re.findall(r'name="mask" value="([0-9a-f]{20}-\d{4})"', page)


def test_classes_are_found_filtered_and_sorted(browser):
    browser.post("name", **{"class": 3, "name": "Ärmel"})
    browser.post("ignore", **{"class": 1})
    every = shown(browser.get("/"))
    assert sorted(every) == [0, 1, 2, 3] and every[0] == 0, "the largest one comes first"
    assert shown(browser.get("/?q=%C3%A4RMEL")) == [3]
    assert shown(browser.get("/?q=2")) == [2]
    assert shown(browser.get("/?q=nothing+like+it")) == []
    assert shown(browser.get("/?show=named")) == [3]
    assert shown(browser.get("/?show=unnamed&sort=new")) == [2, 1, 0]
    assert shown(browser.get("/?show=ignored")) == [1]
    assert shown(browser.get("/?least=20")) == [0]
    assert shown(browser.get("/?sort=name"))[0] == 3
    assert shown(browser.get("/?show=unheard+of&sort=x&least=x&page=x")) == every


@pytest.mark.parametrize("page", ["-3", "0", "99999999999999999999", "x"])
def test_pages_that_are_not_there_lead_to_the_nearest(browser, page):
    assert len(shown(browser.get(f"/?page={page}"))) == 4


def test_all_masks_of_a_class_are_reached_by_pages(browser, monkeypatch):
    monkeypatch.setattr("samseg.review.class_pages.MASKS", 7)
    found = []
    for page in range(1, 5):
        found += masks_on(browser.get(f"/classes/0?page={page}&order=unsure"))
    now = browser.review.now
    assert sorted(found) == sorted(now.catalogue.mask_ids(now.rows_of(0))) and len(found) == 24
    assert "page=2" in browser.get("/classes/0")


def test_orders_are_what_they_say(browser):
    now = browser.review.now
    rows = [now.catalogue.find(mask) for mask in masks_on(browser.get("/classes/0"))]
    assert (np.diff(now.catalogue.distance[rows]) >= 0).all()
    assert rows != sorted(rows)
    by_photo = masks_on(browser.get("/classes/0?order=photo"))
    assert by_photo == sorted(by_photo)


def test_a_hostile_name_is_kept_and_escaped_on_every_page(unsure):
    browser = unsure
    browser.post("name", **{"class": 0, "name": HOSTILE})
    now = browser.review.now
    assert now.found.name(0) == HOSTILE
    mask = now.catalogue.mask_id(int(now.rows_of(0)[0]))
    paths = ["/", "/classes/0", "/queue", "/map", "/night", "/history", f"/masks/{mask}"]
    for path in paths:
        page = browser.get(path)
        assert "<script>alert" not in page, path
        assert "&lt;script&gt;alert" in page, path
        text = re.sub(r'value="[^"]*"', "", page)  # fields hold the name as it is
        assert "\x1b" not in text and "\u202e" not in text, path


def test_a_merged_class_says_what_it_is_a_part_of(browser):
    browser.post("merge", **{"class": [1], "into": "0"})
    page = browser.get("/classes/1", status=404)
    assert "class 1 is a part of class 0 now" in page and 'href="/classes/0"' in page
    assert "no such class" in browser.get("/classes/77", status=404)
    assert "no such class" in browser.get("/classes/x%27%3Cb%3E", status=404)
    assert "no such mask" in browser.get("/masks/" + "f" * 20 + "-0000", status=404)


def test_a_mask_is_shown_with_its_photo_and_what_is_similar(browser):
    now = browser.review.now
    row = int(now.rows_of(0)[0])
    mask = now.catalogue.mask_id(row)
    part = browser.get(f"/masks/{mask}?part=1")
    assert "<html" not in part and "<html" in browser.get(f"/masks/{mask}")
    image = mask[:20]
    assert f'href="/photos/{image}"' in part and f'href="/layers/0/{mask}"' in part
    others = {m for m in re.findall(r'href="/masks/([^"]+)" data-zoom', part) if m[:20] == image}
    assert len(others) >= 6, "seven masks are of each photo"
    near = [m for m in re.findall(r'href="/masks/([^"]+)" data-zoom title=', part)]
    classes = [int(now.class_ids[now.catalogue.find(m)]) for m in near]
    assert mask not in near and classes[:10] == [0] * 10


def test_one_step_finer_and_coarser_is_offered_as_it_would_be(browser):
    page = browser.get("/classes/0")
    kept, new = (
        int(n) for n in re.findall(r"([\d]+) masks? (?:keeps? the id|becomes? a new)", page)
    )
    assert kept + new == 24 and kept >= new
    browser.post("split", **{"class": 0})
    made = max(browser.review.now.found.current)
    assert browser.review.now.masks[0] == kept and browser.review.now.masks[made] == new
    assert f'name="class" value="{made}"' in browser.get("/classes/0").partition("Coarser")[2]


@pytest.fixture
def lose_photos():
    files = fsspec.filesystem("memory")
    yield lambda: files.mv("/lake", "/away", recursive=True)
    files.mv("/away", "/lake", recursive=True)


def test_photos_that_are_gone_are_replaced_by_the_reason(browser, output, lose_photos):
    now = browser.review.now
    mask = now.catalogue.mask_id(0)
    found = browser.client.get(f"/crops/0/{mask}")
    assert found.headers["content-type"] == "image/webp" and found.content[:4] == b"RIFF"
    lose_photos()
    other = now.catalogue.mask_id(len(now.catalogue) - 1)
    gone = browser.client.get(f"/photos/{other[:20]}")
    assert gone.headers["content-type"] == "image/svg+xml"
    assert gone.headers["cache-control"] == "no-store", "it may come back"
    assert "cannot be shown" in gone.text
    assert browser.client.get(f"/crops/0/{mask}").content == found.content, "from the cache"
