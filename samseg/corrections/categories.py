"""The categories of a corrected file beside the classes that were exported: renames and merges.

A category says for which class it was exported (`class_id`), unless the format has names only, or a
tool has dropped that. Then it is the class of its name, and a name that the export did not have is
a class that a person added, with one exception: where all masks of a class without a name have one
new name, and no other masks have it, the class is renamed.

A name that a category shares with another one, and did not share before, makes both one class. So
does a class whose category was deleted and whose masks are all in one other category; but not if
the tool has dropped all categories without masks.
"""

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence

from samseg.corrections.corrected_file import FileCategory
from samseg.errors import ConfigError
from samseg.exporters.names import labels_of
from samseg.exporters.types import ClassRow
from samseg.types import NOISE

Counts = Mapping[tuple[int, Hashable], int]
"""(class of the export, key of a category) -> number of masks."""


class Categories:
    """What the categories of a file are in the classes of its export.

    Attributes:
        listed: classes of the export that have a category in the file.
    """

    def __init__(
        self,
        file: str,
        categories: Sequence[FileCategory],
        classes: Sequence[ClassRow],
        listing: bool,
    ):
        """Match categories and classes.

        Args:
            file: name of the file.
            categories: of the file.
            classes: of the export, ascending by id.
            listing: whether the file lists all categories, not only those of its masks.

        Raises:
            ConfigError: a category is for a class that was not exported, or two are for one.
        """
        self._names = {NOISE: "noise", **{c.class_id: c.name for c in classes}}
        self._listing = listing
        by_name = {c.name: c.class_id for c in reversed(classes)}
        by_name |= {str(label): c for c, label in labels_of(classes).items() if c is not None}
        self._target: dict[Hashable, int | str] = {}
        self._given: dict[int, str] = {}
        for category in categories:
            class_id = category.class_id
            if class_id is None:
                continue
            if class_id not in self._names:
                raise ConfigError(
                    f"{file}: category {category.key} is for class {class_id}, which its export "
                    "does not have"
                )
            if class_id in self._given:
                raise ConfigError(f"{file} has two categories for class {class_id}")
            self._given[class_id] = category.name
            self._target[category.key] = class_id
        given = {_folded(name): class_id for class_id, name in reversed(self._given.items())}
        for category in categories:
            if category.class_id is None:
                name = category.name
                known = given.get(_folded(name), by_name.get(name))
                self._target[category.key] = name if known is None else known
        self.listed = {t for t in self._target.values() if isinstance(t, int)}

    def target(self, key: Hashable) -> int | str:
        """Return the class of a category, or the name of the class that it adds."""
        return self._target[key]

    def statements(self, counts: Counts) -> tuple[dict[int, str], dict[int, int]]:
        """Return what the file says of classes as a whole.

        Args:
            counts: masks of the file by the class and the category that they have.

        Returns:
            Class -> new name, and class -> the class that it is merged into.
        """
        renamed = {c: n for c, n in self._given.items() if n != self._names[c] and c != NOISE}
        merged = self._of_one_name(renamed)
        for base, found in self._targets(counts).items():
            if base in self.listed or base == NOISE or len(found) != 1:
                continue
            (target,) = found
            if isinstance(target, int) and target != NOISE and self._deletes(counts):
                merged[base] = target
            if isinstance(target, str) and self._nameless(base) and self._alone(target, counts):
                renamed[base] = target
        for class_id in merged:
            renamed.pop(class_id, None)
        return renamed, {c: _end(c, merged) for c in merged}

    def _of_one_name(self, renamed: Mapping[int, str]) -> dict[int, int]:
        """Return the merges of categories that have come to have one name."""
        alike: dict[str, list[int]] = defaultdict(list)
        for class_id, name in self._given.items():
            if class_id != NOISE:
                alike[_folded(name)].append(class_id)
        merged: dict[int, int] = {}
        for classes in alike.values():
            kept = min(classes, key=lambda c: (c in renamed, c))
            merged |= {c: kept for c in classes if c != kept and c in renamed}
        return merged

    def _targets(self, counts: Counts) -> dict[int, set[int | str]]:
        """Return for each class where its masks are now."""
        found: dict[int, set[int | str]] = defaultdict(set)
        for base, key in counts:
            found[base].add(self._target[key])
        return found

    def _deletes(self, counts: Counts) -> bool:
        """Whether a category that is not there was deleted by a person."""
        used = {base for base, _ in counts}
        unused = self._names.keys() - used - {NOISE}
        return self._listing and bool(self._given) and unused <= self.listed

    def _nameless(self, class_id: int) -> bool:
        return self._names[class_id] == f"class {class_id}"

    def _alone(self, name: str, counts: Counts) -> bool:
        """Whether all masks of a category are of one class."""
        return len({base for base, key in counts if self._target[key] == name}) == 1


def _end(class_id: int, merged: Mapping[int, int]) -> int:
    while class_id in merged:
        class_id = merged[class_id]
    return class_id


def _folded(name: str) -> str:
    return name.strip().casefold()
