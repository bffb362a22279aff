import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from samseg.drift import METRICS
from samseg.types import NOISE
from samseg.views.page import (
    ClassCard,
    ClassChange,
    FailedImage,
    MovedClass,
    NightChanges,
    Page,
    PageImage,
    PagePhoto,
    PhotoRow,
)
from samseg.views.report import duration, percent, plain, render

EVIL = "<img src=x onerror=alert(1)>\"'></style><script>x</script>\u202egpj.exe\n{{ 7*7 }}"
DOT = "data:image/webp;base64,AAAA"


def card(class_id: int, masks: int = 5, name: str = "") -> ClassCard:
    crops = [PageImage(DOT, "a.jpg", "mask m"), PageImage(None, "b.jpg", "gone")]
    return ClassCard(class_id, name or f"class {class_id}", masks, 2, crops)


EMPTY = Page(lake="s3://lake", output="s3://out", stamp="n1", images=0, masks=0)
FULL = replace(
    EMPTY,
    images=10,
    masks=1234,
    classes=[card(i, 40 - i) for i in range(30)],
    noise=card(NOISE, 7),
    changes=NightChanges(
        False,
        dict.fromkeys(METRICS, None) | {"new_masks": 12, "noise": 0.25, "new_classes": 30},
        born=[ClassChange(1, "class 1", 7, [(90, "class 90")])],
        retired=[ClassChange(91, "class 91", 5, [(2, "class 2")])],
        split=[ClassChange(3, "class 3", 9, [(3, "class 3"), (4, "class 4")])],
        moved=[MovedClass(NOISE, "noise", 0.5, 0.25, [PageImage(DOT, "a.jpg", "mask f")])],
    ),
    photos=[
        PagePhoto("aa", "a.jpg", DOT, DOT, (3, 4), "", [(i, f"class {i}", 3) for i in range(6)]),
        PagePhoto("bb", "b.jpg", note="gone away", is_new=True),
    ],
    listed=[
        PhotoRow("aa", "a.jpg", 5, "ok", "file:///lake/a.jpg"),
        PhotoRow("bb", "b.jpg", 5, "ok", "file:///lake/Roll #3/b.jpg", True),
        PhotoRow("cc", "c.jpg", 0, "undecodable", "tar://c.jpg::s3://lake/t.tar"),
    ],
    failures=[FailedImage("undecodable", "x.jpg", "cut short")],
    failed=99,
    stage_seconds={"plan": 1.5, "embed": 200.0},
    worker_seconds={"segment": 180.0},
    codebook={"Version": "v3"},
    curve=[{"eps": e / 10, "classes": e, "information": 1 / e} for e in range(1, 5)],
    eps=0.2,
    commands=[("Masks per class", 'samseg query -o out "select 1"\nsecond line')],
    version="1.2",
)


class Reader(HTMLParser):
    """Collects tags and text."""

    def __init__(self, page: str):
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("page", [EMPTY, FULL], ids=["empty", "full"])
def test_the_page_has_one_script_and_no_external_resources(page: Page) -> None:
    text = render(page)
    found = Reader(text)
    assert not {"link", "iframe", "object", "embed", "base"} & {t for t, _ in found.tags}
    for tag, attrs in found.tags:
        assert not [name for name in attrs if name.startswith("on")]
        assert (attrs.get("src") or "data:").startswith("data:")
        assert tag == "a" or "href" not in attrs
        assert (attrs.get("href") or "#").startswith(("#", "file:///lake/"))
    policy = next(a["content"] for _, a in found.tags if "http-equiv" in a)
    assert policy.startswith("default-src 'none'; img-src data:")
    (script,) = re.findall("<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert "url(" not in text and "@import" not in text


def test_untrusted_text_is_escaped() -> None:
    evil = PageImage(DOT, EVIL, EVIL, EVIL)
    change = ClassChange(1, EVIL, 1, [(2, EVIL)])
    page = replace(
        FULL,
        lake=EVIL,
        output=EVIL,
        stamp=EVIL,
        classes=[replace(card(i, name=EVIL), crops=[evil]) for i in range(30)],
        changes=NightChanges(
            False,
            dict.fromkeys(METRICS, 1),
            [change],
            [change],
            [change],
            [MovedClass(1, EVIL, 0.5, 0.1, [evil])],
        ),
        photos=[
            PagePhoto(EVIL, EVIL, DOT, DOT, (3, 4), EVIL, [(0, EVIL, 1)]),
            PagePhoto(EVIL, EVIL, note=EVIL),
        ],
        listed=[PhotoRow(EVIL, EVIL, 1, EVIL, address) for address in (EVIL, f"file:///{EVIL}")],
        failures=[FailedImage(EVIL, EVIL, EVIL)],
        stage_seconds={EVIL: 1.0},
        codebook={EVIL: EVIL},
        commands=[(EVIL, EVIL)],
    )
    text = render(page)
    found, harmless = Reader(text), Reader(render(FULL))
    assert {t for t, _ in found.tags} <= {t for t, _ in harmless.tags}
    assert not [a for _, attrs in found.tags for a in attrs if a.startswith("on")]
    assert text.count("<script") == 1 and "49" not in found.text
    assert "\u202e" not in re.sub(r"<pre>.*?</pre>", "", text, flags=re.DOTALL)


def test_classes_that_changed_are_named_with_what_they_come_from_and_became() -> None:
    text = re.sub("<[^>]+>", " ", render(FULL))
    words = " ".join(text.replace(",", " , ").split())
    assert "New classes class 1 7 masks , from class 90 and 29 more" in words
    assert "Split classes class 3 into class 3 class 4" in words
    assert "Retired classes class 91 5 masks before , continued by class 2" in words
    assert "without a class mean distance 0.500 , before 0.250" in words


def test_the_first_night_has_nothing_to_compare_with() -> None:
    first = NightChanges(True, dict.fromkeys(METRICS, None) | {"new_masks": 5})
    text = Reader(render(replace(FULL, changes=first))).text
    assert "there is nothing to compare with" in text and "Retired classes" not in text


def test_a_photo_of_the_list_leads_to_its_picture() -> None:
    """On the page, or in the lake, if a browser can open it."""
    found = Reader(render(FULL))
    opens = [a["data-open"] for t, a in found.tags if t == "button" and a.get("data-open")]
    links = [a["href"] for t, a in found.tags if t == "a" and a["href"].startswith("file:")]
    assert opens == ["aa"] and links == ["file:///lake/Roll%20%233/b.jpg"]
    assert "c.jpg" in found.text and "undecodable" in found.text


def test_a_name_that_samseg_gave_is_not_told_twice() -> None:
    named = replace(FULL, classes=[card(0), card(1, name="apples")])
    text = " ".join(Reader(render(named)).text.split())
    assert "id 0" not in text and "apples id 1" in text


def test_small_classes_are_collapsed_but_present() -> None:
    found = Reader(render(FULL))
    ids = [a["id"] for _, a in found.tags if (a.get("id") or "").startswith("class-")]
    assert ids == [f"class-{i}" for i in range(30)]
    assert "6 smaller classes, 11 to 16 masks each" in found.text
    links = {a["href"][1:] for t, a in found.tags if t == "a" and a["href"][0] == "#"}
    assert links <= {a.get("id") for _, a in found.tags}


def test_the_number_of_classes_is_bounded() -> None:
    page = replace(FULL, classes=[card(i, 2000 - i) for i in range(1500)])
    found = Reader(render(page))
    ids = {a["id"] for _, a in found.tags if (a.get("id") or "").startswith("class-")}
    links = {a["href"][1:] for t, a in found.tags if t == "a" and a["href"].startswith("#class-")}
    assert len(ids) == 1000 and links <= ids
    assert "500 still smaller classes" in found.text


def test_numbers_are_shown() -> None:
    text = Reader(render(FULL)).text
    assert "1\u202f234" in text and "99" in text and "3 min 22 s" in text
    assert "The first 1 of 99" in text
    assert "7 masks on 2 images belong to no class" in text


@pytest.mark.parametrize(
    ("page", "text"),
    [
        (EMPTY, "Nothing is clustered yet"),
        (replace(EMPTY, noise=ClassCard(NOISE, "noise", 0, 0)), "No class was found"),
        (replace(FULL, failures=[], failed=0), "Every image was labelled"),
        (replace(FULL, curve=[]), "v3"),
    ],
)
def test_empty_sections_are_explained(page: Page, text: str) -> None:
    assert text in Reader(render(page)).text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (60, "1 min 00 s"),
        (3599.6, "1 h 00 min"),
        (3725, "1 h 02 min"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0 %"), (0.001, "<1 %"), (0.5, "50 %"), (0.999, ">99 %"), (1, "100 %")],
)
def test_percent(share: float, text: str) -> None:
    assert percent(share) == text


def test_plain_replaces_invisible_characters() -> None:
    assert plain("a\u202eb\x00c\nd é 日") == "a\ufffdb\ufffdc\ufffdd é 日"
