"""What the page says of how the classes were found, from the manifest of their codebook."""

from collections.abc import Mapping
from typing import Any

from samseg.output import Output
from samseg.schema import SAM_COLUMN

_LABELS = {
    "efficientnet_lite0": "its network learned from ImageNet's labels; your images need none",
}
"""What to say of the labels that a kind of embedding depends on."""


def _embedding_row(output: Output, manifest: Mapping[str, Any]) -> str:
    """Return the embedding of the codebook and the labels that it depends on."""
    name = manifest.get("embedding", "")
    recipe = output.recipe(name) if name not in ("", SAM_COLUMN) else None
    labels = _LABELS.get((recipe or {}).get("kind", ""))
    return f"{name}: {labels}" if labels else name


def fit_rows(output: Output, manifest: Mapping[str, Any]) -> dict[str, str]:
    """Return what the page says of a fit; values that the manifest lacks are omitted."""
    if not manifest:
        return {}
    parent = manifest.get("parent")
    fit = (manifest.get("settings") or {}).get("fit") or {}
    rows = {
        "Codebook": f"v{manifest.get('version')}"
        + (f", continues v{parent}" if parent else ", the first"),
        "Fitted by": ", ".join(
            str(v) if k == "kind" else f"{k} {v}" for k, v in fit.items() if v is not None
        ),
        "Embedding": _embedding_row(output, manifest),
        "Fitted to": _ratio(manifest, "reference", "masks"),
        "Groups are joined up to": f"a mean cosine distance of {manifest['cut']:.4g}"
        if fit.get("kind") == "linkage" and manifest.get("cut")
        else "",
        "New masks are compared with": _prototypes(manifest),
        "A mask joins a class within": _radius(manifest),
        "Remark": manifest.get("remark", ""),
    }
    return {name: text for name, text in rows.items() if text}


def _radius(manifest: Mapping[str, Any]) -> str:
    if not manifest.get("eps"):
        return ""
    several = "up to " if _by_means(manifest) else ""
    return f"{several}a cosine distance of {manifest['eps']:.4g}"


def _prototypes(manifest: Mapping[str, Any]) -> str:
    if not manifest.get("anchors"):
        return ""
    kind = "the means of the classes" if _by_means(manifest) else "typical masks of the classes"
    return f"{kind} ({manifest['anchors']:,})"


def _by_means(manifest: Mapping[str, Any]) -> bool:
    """Return whether classes are recognised by their means, each within a radius of its own."""
    fit = (manifest.get("settings") or {}).get("fit") or {}
    return fit.get("kind") in ("linkage", "hdbscan")


def _ratio(manifest: Mapping[str, Any], part: str, whole: str) -> str:
    if not isinstance(manifest.get(part), int) or not isinstance(manifest.get(whole), int):
        return ""
    return f"{manifest[part]:,} of {manifest[whole]:,} masks"
