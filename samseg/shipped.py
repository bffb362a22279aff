"""The example configs that ship with the package.

They lie in `configs/` of the source tree, and in `samseg/configs/` of an installed wheel.
"""

from pathlib import Path

_PACKAGE = Path(__file__).parent
_FOLDERS = (_PACKAGE / "configs", _PACKAGE.parent / "configs")


def shipped_configs() -> dict[str, Path]:
    """Return the shipped configs by file name."""
    folder = next((f for f in _FOLDERS if (f / "quickstart.yaml").is_file()), None)
    return {} if folder is None else {path.name: path for path in sorted(folder.glob("*.yaml"))}


def found_or_shipped(path: Path) -> Path:
    """Return `path`, or the shipped config of that name where there is no `configs/` of one's own.

    So `-c configs/vit_h.yaml` works in a source tree and after `pip install`.
    """
    if path.exists() or path.parent != Path("configs"):
        return path
    return shipped_configs().get(path.name, path)
