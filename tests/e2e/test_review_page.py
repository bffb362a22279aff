"""The review page in headless Chromium, by real clicks and keys: desktop, phone and dark."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from samseg.review.guard import Secrets
from samseg.review.serve import listening, server_of, url_of
from samseg.review.session import Review
from tests.e2e.chromium import CHROMIUM
from tests.reviewed import copy_of, fitted_review, make_unsure, session_over

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed")

HOSTILE = "<img src=x onerror=alert(1)>\u202ehazel"
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Review:
    keys = [f"2026/{i:02d}.jpg" for i in range(9)] + ["<b>name</b>.jpg"]
    return fitted_review(tmp_path_factory.mktemp("fitted"), keys, size=(120, 160))


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass
class Site:
    """A session that is served, and a browser on it."""

    review: Review
    url: str
    page: Page
    logged: list[str]

    def open(self, path: str) -> None:
        self.page.goto(self.url.partition("/?")[0] + path)

    def said(self, text: str) -> None:
        """Wait for the page that follows a form, with its script, and check what it says."""
        expect(self.page.locator(".notice")).to_contain_text(text)
        self.page.wait_for_load_state()

    def names(self) -> dict[int, str]:
        now = self.review.refresh()
        return {c: now.found.name(c) for c in now.found.current}


@pytest.fixture
def site(template: Review, chromium: Browser, tmp_path: Path) -> Iterator[Site]:
    review = session_over(template, copy_of(template, tmp_path / "copy"), tmp_path / "pictures")
    make_unsure(review)
    opened, known = listening("127.0.0.1", None), Secrets()
    port = opened.getsockname()[1]
    server = server_of(review, known, "127.0.0.1", port)
    thread = threading.Thread(target=server.run, args=([opened],))
    thread.start()
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page, logged = context.new_page(), []
    page.set_default_timeout(10_000)
    page.on("console", lambda message: logged.append(message.text))
    page.on("pageerror", lambda error: logged.append(str(error)))
    url = url_of(known, "127.0.0.1", port)
    page.goto(url)
    yield Site(review, url, page, logged)
    context.close()
    server.should_exit = True
    thread.join()
    opened.close()


def test_classes_are_named_by_typing(site: Site) -> None:
    page = site.page
    assert "token" not in page.url
    first = page.get_by_placeholder("Name class 0")
    first.fill("discs")
    first.press("Enter")
    site.said("class 0 is called 'discs'")
    focused = page.evaluate("document.activeElement.placeholder")
    assert focused.startswith("Name class"), "the next one can be typed at once"
    page.keyboard.type(HOSTILE)
    page.keyboard.press("Enter")
    site.said("is called")
    assert site.names()[0] == "discs" and HOSTILE in site.names().values()
    page.get_by_role("button", name="Undo", exact=True).first.click()
    site.said("undo edit 2")
    assert HOSTILE not in site.names().values()
    assert site.logged == []


def test_classes_are_found_merged_and_ignored(site: Site) -> None:
    page = site.page
    page.keyboard.press("/")
    page.keyboard.type("class 2")
    page.keyboard.press("Enter")
    expect(page.locator("article.class")).to_have_count(1)
    page.locator("#class-2").get_by_role("link", name="masks").click()
    page.wait_for_url("**/classes/2")
    page.keyboard.press("m")
    page.keyboard.type("class 1")
    page.keyboard.press("Enter")
    site.said("merge class 2 into class 1")
    expect(page.locator("h1")).to_contain_text("class 2 is a part of class 1 now")
    site.open("/")
    for name in ("Mark class 1", "Mark class 3"):
        page.get_by_role("checkbox", name=name).check()
    expect(page.locator(".marked-count")).to_have_text("2 marked")
    page.get_by_role("button", name="Merge").click()
    site.said("merge class 3 into class 1")
    assert len(site.names()) == 2
    page.keyboard.press("u")
    site.said("undo edit 2")
    assert len(site.names()) == 3
    page.get_by_role("checkbox", name="Mark class 3").check()
    page.get_by_role("button", name="Ignore").click()
    expect(page.locator("#class-3")).to_contain_text("ignored")


def test_a_class_is_split_and_put_together_again(site: Site) -> None:
    page = site.page
    site.open("/classes/0")
    before = site.review.refresh().masks[0]
    page.get_by_role("button", name="Split in these two").click()
    site.said("split class 0")
    assert site.review.refresh().masks[0] < before
    page.keyboard.press("b")
    site.said("into class 0")
    assert site.review.refresh().masks[0] == before


def test_marked_masks_are_moved_by_mouse_and_by_keys(site: Site) -> None:
    page = site.page
    site.open("/classes/0")
    marks = page.get_by_role("checkbox", name=re.compile("^Mark mask"))
    expect(page.get_by_role("button", name="Move", exact=True)).not_to_be_in_viewport()
    marks.nth(0).check()
    marks.nth(4).click(modifiers=["Shift"])
    expect(page.locator(".marked-count")).to_have_text("5 marked")
    page.get_by_placeholder("Name or id of a class").fill("1")
    page.get_by_role("button", name="Move", exact=True).click()
    site.said("move 5 masks to class 1")
    for key in ("j", "j", "x", "0"):
        page.keyboard.press(key)
    site.said("move 1 masks to no class")
    page.keyboard.press("i")
    expect(page.locator("header")).to_contain_text("ignored")
    assert site.logged == []


def test_a_mask_is_enlarged_with_its_photo(site: Site) -> None:
    page = site.page
    site.open("/classes/0")
    page.locator(".masks .zoom").nth(1).click()
    dialog = page.locator("#zoom")
    expect(dialog.get_by_role("img", name="with the mask in front")).to_be_visible()
    expect(dialog).to_contain_text("Other masks of the photo")
    expect(dialog).to_contain_text("Similar masks")
    expect(dialog.locator(".position")).to_have_text("2 of 30")
    box = dialog.locator("svg.stage").bounding_box()
    assert box and box["width"] > 700
    page.keyboard.press("ArrowRight")
    expect(dialog.locator(".position")).to_have_text("3 of 30")
    page.keyboard.press("v")
    expect(dialog.locator(".over")).to_have_css("opacity", "0")
    dialog.get_by_placeholder("Move to class").fill("class 3")
    dialog.get_by_role("button", name="Move", exact=True).click()
    site.said("move 1 masks to class 3")
    assert page.url.partition("?")[0].endswith("/classes/0"), "back where it was enlarged"
    page.locator(".masks .zoom").first.focus()
    page.keyboard.press("Enter")
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).not_to_be_visible()


def test_the_queue_is_judged_by_keys(site: Site) -> None:
    page = site.page
    page.keyboard.press("g")
    page.keyboard.press("q")
    page.wait_for_url("**/queue")
    expect(page.locator("h1")).to_contain_text("Are these all")
    count = page.locator(".judged .pick").count()
    page.keyboard.press("2")
    page.keyboard.press("5")
    expect(page.locator(".judged .mark:checked")).to_have_count(2)
    page.keyboard.press("y")
    site.said("move 2 masks to no class")
    expect(page.locator("header")).to_contain_text(f"{count} labels")
    expect(page.locator("header")).to_contain_text("per minute")
    page.keyboard.press("s")
    expect(page.locator("header")).to_contain_text("skipped")
    edits = site.review.refresh().newest
    assert edits == 2, "one for the accepted ones, one for the others"


def test_the_map_shows_thumbnails_and_one_class_alone(site: Site) -> None:
    page = site.page
    site.open("/map")
    page.locator("#map a").last.locator("circle").hover()
    expect(page.locator(".tip")).to_be_visible()
    expect(page.locator(".tip figcaption")).to_contain_text("class")
    expect(page.locator(".tip img")).to_have_js_property("naturalWidth", 192)
    assert "outline" not in page.locator(".tip img").get_attribute("src")
    page.locator("#map a").first.evaluate("point => { point.dataset.outline = 7; }")
    page.locator("#map a").first.locator("circle").hover(force=True)
    expect(page.locator(".tip img")).to_have_attribute("src", re.compile("outline=7$"))
    page.locator(".legend-of li").first.hover()
    assert page.locator("#map.only a.of").count() > 3
    page.locator("#map a").last.locator("circle").click()
    expect(page.locator("#zoom svg.stage")).to_be_visible()
    assert site.logged == []


def test_nights_and_history_are_shown_and_help_lists_the_keys(site: Site) -> None:
    page = site.page
    site.open("/classes/0")
    page.get_by_text("Over 2 nights").click()
    expect(page.get_by_role("cell", name="20260102T000000Z-b")).to_be_visible()
    page.keyboard.press("?")
    expect(page.locator("#help")).to_contain_text("finer: split it")
    page.keyboard.press("Escape")
    page.keyboard.press("f")
    site.said("split class 0")
    page.get_by_role("link", name="Last night").click()
    expect(page.locator("main")).to_contain_text("Shares of the classes")
    page.get_by_role("link", name="History").click()
    page.get_by_role("button", name="Undo edit 1", exact=True).last.click()
    expect(page.get_by_role("row", name=re.compile("split class 0"))).to_contain_text("undone")


def test_two_browsers_at_once(site: Site, chromium: Browser) -> None:
    other = chromium.new_context().new_page()
    other.goto(site.url)
    other.get_by_placeholder("Name class 0").fill("coins")
    other.get_by_placeholder("Name class 0").press("Enter")
    expect(other.locator(".notice")).to_contain_text("coins")
    site.page.get_by_placeholder("Name class 0").fill("plates")
    site.page.get_by_placeholder("Name class 0").press("Enter")
    expect(site.page.get_by_role("alert")).to_contain_text("were changed meanwhile: name (edit 1")
    expect(site.page.get_by_placeholder("Name class 0")).to_have_value("coins")
    other.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_no_page_overflows_and_every_control_has_a_name(site: Site, size: str, scheme: str) -> None:
    page, (width, height) = site.page, SIZES[size]
    page.set_viewport_size({"width": width, "height": height})
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    site.review.edit(0, lambda e: e.name(0, "a long name " * 16))
    mask = site.review.now.catalogue.mask_id(0)
    for path in ("/", "/classes/0", "/queue", "/map", "/night", "/history", f"/masks/{mask}"):
        site.open(path)
        wider = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wider <= 0, f"{path} is {wider} px wider than the view"
        nameless = page.evaluate(
            "[...document.querySelectorAll('a, button, input:not([type=hidden]), select, img')]"
            ".filter(e => !(e.textContent.trim() || e.ariaLabel || e.alt || e.labels?.length"
            " || e.getAttribute('placeholder') || e.querySelector?.('img[alt], title')"
            " || e.closest('#map, .tip'))).map(e => e.outerHTML)"
        )
        assert nameless == []
    contrast = page.evaluate(
        "['--ink', '--soft', '--accent'].map(name => getComputedStyle(document.documentElement)"
        ".getPropertyValue(name)).concat(getComputedStyle(document.body).backgroundColor)"
    )
    *colors, ground = [luminance(color) for color in contrast]
    for color in colors:
        assert (max(color, ground) + 0.05) / (min(color, ground) + 0.05) >= 4.5
    assert site.logged == []


def luminance(color: str) -> float:
    """Return the relative luminance of WCAG of `#rrggbb` or `rgb(r, g, b)`."""
    if "(" in color:
        found = [int(value) for value in re.findall(r"\d+", color)]
    else:
        found = [int(value, 16) for value in re.findall("..", color.strip()[1:])]
    r, g, b = (
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in (value / 255 for value in found[:3])
    )
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def test_without_scripts_classes_can_be_named_moved_and_judged(
    site: Site, chromium: Browser
) -> None:
    page = chromium.new_context(java_script_enabled=False).new_page()
    page.goto(site.url)
    page.get_by_placeholder("Name class 0").fill("discs")
    page.get_by_placeholder("Name class 0").press("Enter")
    expect(page.locator(".notice")).to_contain_text("discs")
    page.locator("#class-1").get_by_role("link", name="masks").click()
    page.get_by_role("checkbox", name="Mark mask 1", exact=True).check()
    page.get_by_role("button", name="To no class").click()
    expect(page.locator(".notice")).to_contain_text("move 1 masks to no class")
    page.get_by_role("link", name="Queue").click()
    page.get_by_role("button", name="Confirm").click()
    expect(page.locator(".notice")).to_contain_text("move")
    page.context.close()


def test_a_browser_without_the_token_is_told_what_to_do(site: Site, chromium: Browser) -> None:
    page = chromium.new_context().new_page()
    page.goto(site.url.partition("?")[0])
    expect(page.locator("h1")).to_have_text("Open the URL that was printed")
    page.context.close()


def test_the_command_prints_the_url_and_ends_with_ctrl_c(template: Review) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    run = [sys.executable, "-m", "samseg.cli", "review", template.output.uri, "--port", str(port)]
    command = subprocess.Popen(
        run, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"}
    )
    assert command.stdout is not None
    url = re.search(r'"url": "([^"]+)"', command.stdout.readline())
    assert url
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(url[1].partition("?")[0])
    command.send_signal(signal.SIGINT)
    assert command.wait(30) == 0
    command.stdout.close()
