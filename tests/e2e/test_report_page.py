"""The report page in a browser: no requests, no errors, no overflow; mouse, keyboard, paging."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from samseg.readers.decode import DecodePolicy
from samseg.stages.report.stage import report
from tests.e2e.chromium import CHROMIUM, Tab

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed")

PHOTOS = 15
PER_PAGE = 12
OPEN = "document.querySelector('dialog').open"


@pytest.fixture
def page(small_output: Callable[..., Any], tmp_path: Path) -> Path:
    hostile = "<script>alert(1)</script>" + "x" * 300
    made = small_output(
        keys=(
            "a.jpg",
            "b/" + "long-name-" * 20 + ".jpg",
            "<img src=x onerror=alert(1)>.jpg",
            *(f"photo-{i:02d}.jpg" for i in range(PHOTOS - 3)),
        ),
        failures=((hostile, "undecodable", "a long reason " * 16),),
        size=(240, 320),
    )
    key = report(
        made.output,
        "n1",
        lambda uris: [(uri, made.photos[uri]) for uri in uris],
        DecodePolicy().decode,
        lake="s3://photos/" + "deep/" * 30,
        seconds={"plan": 0.5, "embed": 100.0},
    )
    found = tmp_path / "page.html"
    found.write_bytes(made.output.storage.get(key))
    return found


@pytest.fixture
def tab(page: Path, tmp_path: Path) -> Iterator[Tab]:
    with Tab(tmp_path / "profile") as tab:
        tab.open(page)
        yield tab


def text(tab: Tab, selector: str) -> str:
    return str(tab.value(f"document.querySelector('{selector}').textContent"))


def shown(tab: Tab, selector: str) -> int:
    visible = "one => one.checkVisibility()"
    return int(tab.value(f"[...document.querySelectorAll('{selector}')].filter({visible}).length"))


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1280, 1440])
def test_no_width_overflows_and_nothing_is_requested(tab: Tab, width: int, dark: bool) -> None:
    tab.resize(width, 900, dark)
    wider = "document.documentElement.scrollWidth - innerWidth"
    assert tab.value(wider) == 0
    tab.click("#photos .zoom")
    assert tab.value(wider) == 0
    fits = "(box => box.left >= 0 && box.right <= innerWidth && box.bottom <= innerHeight)"
    assert tab.value(f"{fits}(document.querySelector('dialog').getBoundingClientRect())")
    assert tab.logged == []
    urls = {url.partition(":")[0] for url in tab.requested}
    assert urls == {"file", "data"}
    assert [url for url in tab.requested if url.startswith("file")] == [tab.requested[0]]


def test_every_picture_decodes_and_every_button_has_a_name(tab: Tab) -> None:
    decoded = "Promise.all([...document.images].map(image => image.decode())).then(() => 'all')"
    answer = tab.call("Runtime.evaluate", expression=decoded, awaitPromise=True, returnByValue=True)
    assert answer["result"]["value"] == "all"
    assert tab.value("document.images.length") > 4 * PHOTOS
    nodes = tab.call("Accessibility.getFullAXTree")["nodes"]
    roles = ("button", "image", "link", "checkbox", "searchbox", "dialog")
    named = [n for n in nodes if n.get("role", {}).get("value") in roles]
    assert len(named) > 2 * PHOTOS
    assert [n for n in named if not n["ignored"] and not n.get("name", {}).get("value")] == []


def test_a_photo_is_enlarged_whole_by_mouse(tab: Tab) -> None:
    assert not tab.value(OPEN)
    small = tab.value("document.querySelector('#photos img').getBoundingClientRect().width")
    tab.click("#photos .zoom")
    assert tab.value(OPEN)
    size = "(({ width, height }) => [width, height])"
    w, h = tab.value(f"{size}(document.querySelector('dialog img').getBoundingClientRect())")
    assert w > 2 * small and w / h == pytest.approx(320 / 240, rel=0.01)
    faded = "getComputedStyle(document.querySelector('dialog .over')).opacity"
    tab.click("dialog .masks")
    tab.value("document.getAnimations().forEach(one => one.finish())")
    assert tab.value(faded) == "0"
    tab.click("dialog .close")
    assert not tab.value(OPEN)


def test_pictures_are_stepped_through_by_keyboard(tab: Tab) -> None:
    tab.value("document.querySelector('#photos .zoom').focus()")
    tab.press("Enter")
    assert tab.value(OPEN) and text(tab, "dialog .position") == f"1 of {PHOTOS}"
    first = text(tab, "dialog .caption")
    tab.press("ArrowRight")
    assert text(tab, "dialog .caption") != first
    tab.press("ArrowLeft")
    tab.press("ArrowLeft")
    assert text(tab, "dialog .position") == f"{PHOTOS} of {PHOTOS}"
    tab.press("m")
    assert tab.value("document.querySelector('dialog').classList.contains('bare')")
    tab.press("Escape")
    assert not tab.value(OPEN)
    assert tab.value("document.activeElement === document.querySelector('#photos .zoom')")


def test_a_crop_leads_to_its_whole_photo(tab: Tab) -> None:
    tab.click("#classes .zoom")
    key = text(tab, "dialog .caption").partition(" · ")[0]
    assert tab.value("document.querySelectorAll('dialog img').length") == 1
    tab.click("dialog .whole")
    assert tab.value("document.querySelectorAll('dialog img').length") == 2
    assert text(tab, "dialog .caption") == key


def test_photos_are_paged(tab: Tab) -> None:
    assert shown(tab, ".photo") == PER_PAGE
    assert text(tab, "#photos output") == f"1–{PER_PAGE} of {PHOTOS}"
    tab.click("#photos .pager button", 1)
    assert shown(tab, ".photo") == PHOTOS - PER_PAGE
    assert tab.value("document.querySelectorAll('#photos .pager button')[1].disabled")
    tab.click("#photos .pager button", 0)
    assert shown(tab, ".photo") == PER_PAGE


def test_every_photo_is_found_by_name_and_opened(tab: Tab) -> None:
    tab.click("#photos summary")
    assert shown(tab, ".list li") == PHOTOS + 1  # with one that failed
    tab.click("#photos .filter")
    for letter in "photo-11":
        tab.press(letter)
    assert shown(tab, ".list li") == 1
    tab.click("#photos .list li:not([hidden]) button")
    assert tab.value(OPEN) and text(tab, "dialog .caption") == "photo-11.jpg"


def test_masks_are_hidden_by_a_checkbox(tab: Tab) -> None:
    opacity = "getComputedStyle(document.querySelector('.photo .over')).opacity"
    assert tab.value(opacity) == "1"
    tab.click("#masks")
    tab.value("document.getAnimations().forEach(one => one.finish())")
    assert tab.value(opacity) == "0"


def test_without_scripts_everything_is_there(page: Path, tmp_path: Path) -> None:
    with Tab(tmp_path / "profile") as tab:
        tab.call("Emulation.setScriptExecutionDisabled", value=True)
        tab.open(page)
        tab.call("Emulation.setScriptExecutionDisabled", value=False)
        assert shown(tab, ".photo") == PHOTOS and shown(tab, ".pager") == 0


def test_its_content_security_policy_blocks_other_scripts_and_requests(
    page: Path, tmp_path: Path
) -> None:
    attacked = tmp_path / "attacked.html"
    attack = "<script>document.title = 'ran'</script><img src='file:///etc/hostname'>"
    attacked.write_text(page.read_text().replace("</main>", f"{attack}</main>"))
    with Tab(tmp_path / "profile") as tab:
        tab.open(attacked)
        assert tab.value("document.title") != "ran"
        refused = [line for line in tab.logged if re.search("Content Security Policy", line)]
        assert len(refused) == 2
        assert shown(tab, ".photo") == PER_PAGE, "its own script runs"
