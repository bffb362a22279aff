import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from samseg.types import NOISE
from samseg.views.report import (
    ClassCard,
    ExampleImage,
    FailedImage,
    Page,
    PageImage,
    duration,
    percent,
    plain,
    render,
)

EVIL = "<img src=x onerror=alert(1)>\"'></style><script>x</script>\u202egpj.exe\n{{ 7*7 }}"
DOT = "data:image/webp;base64,AAAA"


def card(class_id: int, masks: int = 5, name: str = "") -> ClassCard:
    crops = [PageImage(DOT, "a.jpg", "mask m"), PageImage(None, "b.jpg", "gone")]
    return ClassCard(class_id, name or f"class {class_id}", masks, 2, crops, 1)


EMPTY = Page(lake="s3://lake", output="s3://out", stamp="n1", images=0, masks=0)
FULL = replace(
    EMPTY,
    images=10,
    masks=1234,
    classes=[card(i, 40 - i) for i in range(30)],
    noise=card(NOISE, 7),
    scenes=[
        ExampleImage(
            PageImage(DOT, "a.jpg"),
            PageImage(DOT, "a.jpg"),
            [(i, f"class {i}", 3) for i in range(6)],
        ),
        ExampleImage(PageImage(None, "b.jpg"), PageImage(None, "b.jpg", "gone away")),
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
def test_the_page_has_no_scripts_and_no_external_resources(page: Page) -> None:
    found = Reader(render(page))
    assert not {"script", "link", "iframe", "object", "embed", "base"} & {t for t, _ in found.tags}
    for _, attrs in found.tags:
        assert not [name for name in attrs if name.startswith("on")]
        assert (attrs.get("src") or "data:").startswith("data:")
        assert (attrs.get("href") or "#").startswith("#")
    policy = next(a["content"] for _, a in found.tags if "http-equiv" in a)
    assert policy.startswith("default-src 'none'; img-src data:")
    assert "url(" not in render(page) and "@import" not in render(page)


def test_untrusted_text_is_escaped() -> None:
    evil = PageImage(DOT, EVIL, EVIL)
    page = replace(
        FULL,
        lake=EVIL,
        output=EVIL,
        stamp=EVIL,
        classes=[replace(card(i, name=EVIL), crops=[evil]) for i in range(30)],
        scenes=[
            ExampleImage(evil, evil, [(0, EVIL, 1)]),
            ExampleImage(evil, replace(evil, src=None)),
        ],
        failures=[FailedImage(EVIL, EVIL, EVIL)],
        stage_seconds={EVIL: 1.0},
        codebook={EVIL: EVIL},
        commands=[(EVIL, EVIL)],
    )
    found, harmless = Reader(render(page)), Reader(render(FULL))
    assert {t for t, _ in found.tags} <= {t for t, _ in harmless.tags}
    assert not [a for _, attrs in found.tags for a in attrs if a.startswith("on")]
    assert "<script" not in render(page) and "49" not in found.text
    assert "\u202e" not in re.sub(r"<pre>.*?</pre>", "", render(page), flags=re.DOTALL)


def test_small_classes_are_collapsed_but_present() -> None:
    found = Reader(render(FULL))
    ids = [a["id"] for _, a in found.tags if (a.get("id") or "").startswith("class-")]
    assert ids == [f"class-{i}" for i in range(30)]
    assert "6 smaller classes, 11 to 16 masks each" in found.text
    links = {a["href"][1:] for t, a in found.tags if t == "a" and (a.get("href") or "#") != "#"}
    assert links <= {a.get("id") for _, a in found.tags}


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
