"""What became of classes in refits: classes that ended, and classes that were divided."""

from dataclasses import dataclass

from samseg.output import Output


@dataclass(frozen=True, slots=True)
class RefitEvent:
    """What a refit did to one class.

    Attributes:
        class_id: the class.
        codebook: version of the codebook of the refit.
        ended: whether no class continues it; else it continues as a part of what it was.
        others: the other classes that have some of its masks.
    """

    class_id: int
    codebook: int
    ended: bool
    others: tuple[int, ...]

    def __str__(self) -> str:
        went = f"class {self.class_id} " + (
            "ended" if self.ended else "was divided, and its id stays with the largest part"
        )
        rest = f"; masks of it are in {', '.join(map(str, self.others))}" if self.others else ""
        return f"codebook v{self.codebook}: {went}{rest}"


def refit_events(output: Output) -> list[RefitEvent]:
    """Return what refits did to classes, in the order of codebooks; reads all manifests."""
    found: list[RefitEvent] = []
    for version in output.codebook_versions(pruned=True):
        manifest = output.codebook_manifest(version)
        split = {int(old): new for old, new in (manifest.get("split") or {}).items()}
        ended = set(manifest.get("retired") or ())
        for class_id in sorted(ended | split.keys()):
            others = tuple(c for c in split.get(class_id, ()) if c != class_id)
            found.append(RefitEvent(class_id, version, class_id in ended, others))
    return found
