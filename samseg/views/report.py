"""The report page of a night: one self-contained HTML file, from values in memory.

The page uses no network and no script; its content security policy forbids both. Keys, names and
errors are untrusted text: the template escapes them, and `plain` replaces invisible characters.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from samseg.masks.palette import color_of
from samseg.types import NOISE

_LARGE_CLASSES = 24
"""Number of classes shown as cards; the smaller ones are collapsed."""

_CHART_W, _CHART_H, _CHART_PAD = 460, 190, 34


@dataclass(frozen=True, slots=True)
class PageImage:
    """An image on the page.

    Attributes:
        src: `data:` URI, or None if the image could not be fetched.
        key: the image's name.
        note: alternative text, or why `src` is None.
    """

    src: str | None
    key: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class ClassCard:
    """One class, or noise.

    Attributes:
        class_id: its id, or `NOISE`.
        name: its display name.
        masks: number of its masks.
        images: number of images with at least one of them.
        crops: exemplars, the most typical first.
        born_in: the codebook version that first contains the class.
        clear: number of its masks that are clearly of this class; None if unknown.
    """

    class_id: int
    name: str
    masks: int
    images: int
    crops: Sequence[PageImage] = ()
    born_in: int | None = None
    clear: int | None = None

    @property
    def color(self) -> str:
        """The class's CSS colour."""
        return css_color(self.class_id)


@dataclass(frozen=True, slots=True)
class ExampleImage:
    """An example image.

    Attributes:
        plain: the image without masks.
        labelled: the image with its masks in the colours of their classes.
        classes: (class id, name, number of masks) of its classes, most masks first.
    """

    plain: PageImage
    labelled: PageImage
    classes: Sequence[tuple[int, str, int]] = ()


@dataclass(frozen=True, slots=True)
class FailedImage:
    """One image, or shard, that could not be labelled."""

    status: str
    key: str
    error: str


@dataclass(frozen=True, slots=True)
class Page:
    """The contents of the page.

    Attributes:
        lake: URI of the lake.
        output: URI of the output folder.
        stamp: the night's name.
        images: number of labelled images.
        masks: number of their masks.
        classes: largest first, without noise.
        noise: masks of no class; None before the first clustering.
        clear: a mask is clearly of its class if the next one is at least this many times as far.
        scenes: example images.
        failures: the first failures.
        failed: number of images and shards that failed.
        left_out: files of the lake that are not read, by extension; empty if none are known.
        stage_seconds: wall seconds per stage of this night.
        worker_seconds: seconds that the workers spent per step, over all nights.
        codebook: properties of the codebook by name; empty before the first clustering.
        curve: one row per radius tried: `eps`, `classes` and `information`.
        eps: the radius in use.
        commands: (description, command) of suggested next commands.
        version: samseg's version.
    """

    lake: str
    output: str
    stamp: str
    images: int
    masks: int
    classes: Sequence[ClassCard] = ()
    noise: ClassCard | None = None
    clear: float | None = None
    scenes: Sequence[ExampleImage] = ()
    failures: Sequence[FailedImage] = ()
    failed: int = 0
    left_out: str = ""
    stage_seconds: Mapping[str, float] = field(default_factory=dict)
    worker_seconds: Mapping[str, float] = field(default_factory=dict)
    codebook: Mapping[str, str] = field(default_factory=dict)
    curve: Sequence[Mapping[str, Any]] = ()
    eps: float | None = None
    commands: Sequence[tuple[str, str]] = ()
    version: str = ""


def render(page: Page) -> str:
    """Return the page as HTML."""
    known = sum(c.masks for c in page.classes) + (page.noise.masks if page.noise else 0)
    return str(
        _template().render(
            page=page,
            large=page.classes[:_LARGE_CLASSES],
            small=page.classes[_LARGE_CLASSES:],
            known=known,
            noise_share=page.noise.masks / known if page.noise and known else None,
            largest=max((c.masks for c in page.classes), default=1),
            chart=_chart(page.curve, page.eps),
        )
    )


def plain(text: object) -> str:
    """Replace control and direction characters, so that no name can imitate another."""
    hidden = ("Cc", "Cf", "Co", "Cs", "Zl", "Zp")
    return "".join("\ufffd" if unicodedata.category(c) in hidden else c for c in str(text))


def css_color(class_id: int) -> str:
    """Return the CSS colour of a class."""
    return "#{:02x}{:02x}{:02x}".format(*color_of(class_id))


def duration(seconds: float) -> str:
    """Format seconds for display."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def percent(share: float) -> str:
    """Format a share for display; only exact 0 and 1 are shown as 0 % and 100 %."""
    if 0 < share < 0.005:
        return "<1 %"
    if 0.995 <= share < 1:
        return ">99 %"
    return f"{share:.0%}".replace("%", " %")


@cache
def _template() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("samseg", "views"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "plain": plain,
        "duration": duration,
        "percent": percent,
        "color": css_color,
        "count": lambda n: f"{n:,}".replace(",", "\u202f"),
    }
    environment.globals["NOISE"] = NOISE
    return environment.get_template("report.html.j2")


def _chart(curve: Sequence[Mapping[str, Any]], eps: float | None) -> dict[str, Any] | None:
    """Lay out the curves of classes and information over eps, in px of the drawing."""
    rows = [r for r in curve if r.get("eps") is not None and r.get("classes") is not None]
    rows.sort(key=lambda r: float(r["eps"]))
    if len(rows) < 2:
        return None
    low, high = float(rows[0]["eps"]), float(rows[-1]["eps"])
    width, height = _CHART_W - 2 * _CHART_PAD, _CHART_H - 2 * _CHART_PAD

    def x_of(value: float) -> float:
        return round(_CHART_PAD + width * (value - low) / ((high - low) or 1), 1)

    def line(name: str) -> tuple[str, float]:
        top = max(float(r.get(name) or 0) for r in rows)
        heights = (float(r.get(name) or 0) / (top or 1) for r in rows)
        points = zip(rows, heights, strict=True)
        return " ".join(
            f"{x_of(float(r['eps']))},{round(_CHART_PAD + height * (1 - h), 1)}" for r, h in points
        ), top

    classes, most = line("classes")
    score, best = line("information")
    return {
        "w": _CHART_W,
        "h": _CHART_H,
        "pad": _CHART_PAD,
        "classes": classes,
        "most": most,
        "score": score if best > 0 else None,
        "low": low,
        "high": high,
        "at": x_of(eps) if eps is not None and low <= eps <= high else None,
        "eps": eps,
    }
