"""The page of a try: each image as the last try and this one found it."""

from html import escape
from pathlib import Path

from samseg.trial.tried import FILE, Tried, TriedImage

PAGE = "index.html"

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1500px; margin: 0 auto; padding: 20px; }
table { border-collapse: collapse; width: 100%; table-layout: fixed; }
th, td { text-align: left; vertical-align: top; padding: 6px; font-weight: normal; }
th code { display: block; overflow-wrap: anywhere; }
img { width: 100%; display: block; border-radius: 6px; }
p { margin: 2px 0 10px; color: gray; overflow-wrap: anywhere; }
"""


def write_page(folder: Path, last: Tried | None, now: Tried) -> Path:
    """Write the page, and keep this try for the next one; return the path of the page."""
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / PAGE
    page.write_text(_page(last, now), encoding="utf-8")
    (folder / FILE).write_text(now.model_dump_json(), encoding="utf-8")
    return page


def _page(last: Tried | None, now: Tried) -> str:
    tries = [t for t in (last, now) if t is not None]
    titles = ["Last try", "This try"][-len(tries) :]
    heads = "".join(
        f"<th><b>{title}</b><code>{escape(' '.join(t.settings)) or 'default settings'}</code>"
        f"{escape(str(t))}</th>"
        for title, t in zip(titles, tries, strict=True)
    )
    found = [{image.key: image for image in t.images} for t in tries]
    rows = "".join(
        f"<tr>{''.join(_cell(images.get(image.key), image.key) for images in found)}</tr>"
        for image in now.images
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "img-src data:; style-src 'unsafe-inline'\">"
        f"<title>samseg try</title><style>{_STYLE}</style><h1>{escape(now.lake)}</h1>"
        f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></html>\n"
    )


def _cell(image: TriedImage | None, key: str) -> str:
    if image is None:
        return "<td></td>"
    told = image.error or f"{image.masks} masks, {image.seconds:.1f} s"
    picture = f'<img src="{escape(image.picture)}" alt="">' if image.picture else ""
    return f"<td>{picture}<p>{escape(key)}: {escape(told)}</p></td>"
