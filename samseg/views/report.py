"""The report page of a night: one self-contained HTML file, from values in memory.

The page makes no requests. Its content security policy forbids them, and every script but the one
in `report.js`, by its hash. Keys, names and errors are untrusted text: the template escapes them,
and `plain` replaces invisible characters.
"""

import base64
import hashlib
import unicodedata
from functools import cache
from importlib.resources import files
from typing import Any

from samseg.masks.palette import color_of
from samseg.types import NOISE
from samseg.views.chart import FRAME, chart
from samseg.views.page import Page

_LARGE_CLASSES = 24
"""Number of classes shown as cards; the smaller ones are collapsed."""
_CLASSES = 1000
"""Number of classes on the page."""


def render(page: Page) -> str:
    """Return the page as HTML."""
    known = sum(c.masks for c in page.classes) + (page.noise.masks if page.noise else 0)
    shown = list(page.classes[:_CLASSES])
    return str(
        template("report.html.j2").render(
            page=page,
            large=shown[:_LARGE_CLASSES],
            small=shown[_LARGE_CLASSES:],
            rest=len(page.classes) - len(shown),
            known=known,
            noise_share=page.noise.masks / known if page.noise and known else None,
            largest=max((c.masks for c in page.classes), default=1),
            linked={c.class_id for c in [*shown, page.noise] if c is not None},
            enlarged={photo.image_id for photo in page.photos if photo.src},
            charts=chart(page.curve, page.eps),
            frame=FRAME,
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


def html_environment(package: str, folder: str) -> Any:
    """Return a Jinja environment that escapes, with the filters that pages share.

    Args:
        package: has the templates.
        folder: where they are in it.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader(package, folder),
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
    environment.globals |= {"NOISE": NOISE}
    return environment


@cache
def template(name: str) -> Any:
    """Return a template of a page, with the style, the script and the filters of all pages."""
    from markupsafe import Markup

    environment = html_environment("samseg", "views")
    script = files("samseg.views").joinpath("report.js").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    style = files("samseg.views").joinpath("report.css").read_text("utf-8")
    environment.globals |= {
        "style": Markup(style),
        "script": Markup(script),
        "script_hash": f"sha256-{digest}",
    }
    return environment.get_template(name)
