"""An examination of an output folder, and what a person and a program are told of it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from samseg.doctor.contents import Contents, contents
from samseg.doctor.finding import Finding, damaged
from samseg.doctor.presence import Presence, checked, presence
from samseg.engine.protocol import Engine
from samseg.errors import redact
from samseg.object_names import KINDS, kind_of
from samseg.output import Output

_NAMED = 20


@dataclass(slots=True)
class Examination:
    """What was found.

    Attributes:
        output: URI of the folder.
        probed: whether the store was probed.
        deep: whether the contents of all objects were read.
        objects: number of objects.
        findings: damaged and missing objects.
        foreign: keys of objects that samseg did not write.
        repaired: keys of the objects that were set aside.
    """

    output: str
    probed: bool
    deep: bool
    objects: int
    findings: tuple[Finding, ...]
    foreign: tuple[str, ...]
    repaired: Sequence[str] = field(default=())

    @property
    def exit(self) -> int:
        """0 if nothing is wrong, else 1."""
        return int(bool(self.findings))

    def record(self) -> dict[str, Any]:
        """Return the examination for a program."""
        return {"samseg": "doctor", "exit": self.exit, **asdict(self)}

    def lines(self) -> list[str]:
        """Return the examination for a person: what is wrong, then three lines of summary."""
        lines = [str(finding) for finding in self.findings[:_NAMED]]
        if more := len(self.findings) - _NAMED:
            lines += [f"{more} more"] if more > 0 else []
        lines += [f"{key} is not of samseg; it is ignored" for key in self.foreign[:_NAMED]]
        how = "read whole" if self.deep else "by name and size; --deep reads them"
        wrong = f"{len(self.findings)} damaged or missing" if self.findings else "none is damaged"
        return [
            *lines,
            f"Store:   {'creates every object once' if self.probed else 'not probed'}",
            f"Objects: {self.objects} ({how}), {wrong}, {len(self.foreign)} foreign",
            f"Next:    {self._next()}",
        ]

    def _next(self) -> str:
        if any(f.repairable for f in self.findings):
            deep = " --deep" if self.deep else ""
            return f"`samseg doctor {self.output.removeprefix('file://')}{deep} --repair`"
        steps = []
        if self.repaired:
            steps.append(f"{len(self.repaired)} objects lie in damaged/ now; run the night again")
        if self.findings:
            steps.append("what is damaged cannot be written again; what to do stands above")
        return "; ".join(steps) or "nothing to do"


def examine(output: Output, engine: Engine | None, probed: bool) -> tuple[Examination, Presence]:
    """Check an output folder.

    Args:
        output: the folder.
        engine: reads the contents of all objects; None checks names and sizes only.
        probed: whether the store was probed.
    """
    found = presence(output)
    findings = {finding.key: finding for finding in found.findings}
    if engine is not None:
        keys = [key for key in checked(found.bytes) if key not in findings]
        read = contents(output, keys, engine)
        problems = {key: problem for key, (problem, _) in read.items() if problem}
        for key, problem in [*_inconsistent(read, found.planned), *problems.items()]:
            findings[key] = damaged(output.uri, key, problem)
    return (
        Examination(
            redact(output.uri),
            probed,
            engine is not None,
            len(found.bytes),
            tuple(findings[key] for key in sorted(findings)),
            found.foreign,
        ),
        found,
    )


def _inconsistent(read: Contents, planned: Mapping[str, int | None]) -> Iterator[tuple[str, str]]:
    """Yield parts whose number of rows does not go with their shard."""
    masks = {
        found["id"]: rows
        for key, (problem, rows) in read.items()
        if not problem and (found := KINDS["masks"].fullmatch(key))
    }
    for key, (problem, rows) in read.items():
        kind = kind_of(key)
        if problem or kind not in ("images", "embeddings", "assignments"):
            continue
        part = KINDS[kind].fullmatch(key)
        shard = part["id"] if part else ""
        wanted = planned.get(shard) if kind == "images" else masks.get(shard)
        if wanted is not None and rows != wanted:
            yield key, f"has {rows} rows instead of {wanted}"
