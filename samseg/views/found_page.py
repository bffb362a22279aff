"""The page of `samseg find`: the masks nearest to an example, in one self-contained HTML file.

As on the page of a night, names and keys are untrusted text, which the template escapes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from samseg.views.page import PageImage
from samseg.views.report import template


@dataclass(frozen=True, slots=True)
class FoundCrop:
    """One mask of the page.

    Attributes:
        image: its crop.
        mask_id: its id; empty for an object of a photo that is not in the lake.
        distance: cosine distance to the example; None for an example.
        class_id: its class, `NOISE`, or None where there are no classes.
        class_name: what the class is called.
        inside: whether it is of the class by example that the page is about.
    """

    image: PageImage
    mask_id: str
    distance: float | None = None
    class_id: int | None = None
    class_name: str = ""
    inside: bool = False


@dataclass(frozen=True, slots=True)
class FoundPage:
    """The contents of the page.

    Attributes:
        title: what was searched for.
        output: URI of the output folder.
        compared: what the distances are of, in words.
        accepted: the examples.
        rejected: masks that are no examples of it.
        found: the nearest masks, nearest first.
        facts: (number, what it counts) of the class by example; empty where none is kept.
        commands: (description, command) of suggested next commands.
        version: samseg's version.
    """

    title: str
    output: str
    compared: str
    accepted: Sequence[FoundCrop]
    rejected: Sequence[FoundCrop]
    found: Sequence[FoundCrop]
    facts: Sequence[tuple[str, str]] = ()
    commands: Sequence[tuple[str, str]] = ()
    version: str = ""


def render_found(page: FoundPage) -> str:
    """Return the page as HTML."""
    return str(template("found.html.j2").render(page=page))
