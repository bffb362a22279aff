"""Reads a corrected export back: what a person changed becomes edits of the log.

Each edit is decided on from the log as it is then. So an import goes on after what another person
edits meanwhile, an interrupted one is completed by running it again, and importing a file for a
second time changes nothing.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

from samseg.corrections.corrected_file import CorrectedFile, Rle
from samseg.corrections.differences import Differences, differences
from samseg.corrections.outline import shape_of
from samseg.edits.edit import (
    EXEMPLARS,
    Action,
    Edit,
    Example,
    ExampleMask,
    Exemplar,
    Redraw,
)
from samseg.edits.log import append, read_log, valid
from samseg.edits.replay import ClassState, replay
from samseg.engine.protocol import Engine
from samseg.output import Output
from samseg.stages.corrections.exported import PastExport
from samseg.stages.corrections.proposal import Proposal, Standing, propose
from samseg.stages.edits.outlines import outlines_of, write_outlines
from samseg.stages.edits.refits import refit_events
from samseg.stages.edits.resolution import resolved_after
from samseg.stages.edits.splitting import vectors_by_mask
from samseg.stages.edits.upkeep import keep_up
from samseg.types import sample_rank_of
from samseg.views_sql import keep_views

_OUTLINES_PER_EDIT = 2_000
"""Bounds the size of a table of outlines."""


@dataclass(slots=True)
class Imported:
    """What an import did, or would do.

    Attributes:
        changed: what a person changed in the file.
        proposal: what was left to do of it when the import began.
        edits: the edits that were made.
        conflicts: what was changed otherwise since the export, as sentences.
    """

    changed: Differences
    proposal: Proposal
    edits: list[Edit] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether everything in the file was understood and could be done."""
        changed = self.changed
        left = changed.unknown_images + changed.unknown_masks + changed.drawn + changed.others
        return not (left or self.conflicts)


class CorrectionImport:
    """The import of one file into one output folder."""

    def __init__(self, output: Output, file: CorrectedFile):
        """Compare the file with what was exported; nothing is written.

        Raises:
            ConfigError: the file is damaged, or of another folder.
        """
        self._output, self._file = output, file
        self._export = PastExport(output, file.origin, file.images, file.name)
        names = self._export.classes
        self._names = {c.class_id: c.name for c in names}
        self.changed = differences(file, self._export.images(), names, self._export.written)
        self._version = output.codebook_versions()[-1]
        since = file.origin.codebook
        self._refits = [event for event in refit_events(output) if event.codebook > since]

    def proposal(self) -> Proposal:
        """Return what is left to do now."""
        return self._propose(replay(read_log(self._output)))

    def run(self, author: str, engine: Engine) -> Imported:
        """Make the edits.

        Args:
            author: who corrected the file.
            engine: writes the members of classes that a person added.

        Raises:
            ConflictError: somebody edits the same at the same moment; run it again.
        """
        reason = f"import of {self._file.name.rpartition('/')[2]}"
        state = replay(read_log(self._output))
        proposal = self._propose(state)
        done, left = Imported(self.changed, proposal), proposal
        while (action := next(self._actions(left, author), None)) is not None:
            done.edits.append(append(self._output, action, author, reason, state))
            state = replay(read_log(self._output))
            left = self._propose(state)
        done.conflicts = left.conflicts
        if done.edits:
            keep_views(self._output)
            keep_up(self._output, self._version, engine)
        return done

    def _propose(self, state: ClassState) -> Proposal:
        edits = [e for e in state.edits.values() if e.number <= self._file.origin.edit]
        standing = Standing(
            replay(edits),
            state,
            resolved_after(self._output, self._version, state),
            self._refits,
            partial(self._drawn, state),
        )
        return propose(self.changed, self._names, standing)

    def _drawn(self, state: ClassState, masks: Iterable[str]) -> Mapping[str, Rle]:
        actions = {mask: state.outlined[mask].action for mask in masks}
        of = {m: a.correction for m, a in actions.items() if isinstance(a, Redraw)}
        return {mask: row["rle"] for mask, row in outlines_of(self._output, of).items()}

    def _actions(self, left: Proposal, author: str) -> Iterator[Action]:
        """Yield the actions of a proposal; tables are written when one that needs them is asked."""
        yield from left.names
        yield from left.merges
        for name, masks in left.added.items():
            yield self._example(name, masks)
        yield from left.moves
        masks = sorted(left.redrawn)
        if masks:
            some = masks[:_OUTLINES_PER_EDIT]
            rows = [
                {"mask_id": m, "image_id": _image_of(m), **shape_of(left.redrawn[m])} for m in some
            ]
            number = write_outlines(self._output, rows, author)
            yield Redraw(mask_ids=tuple(some), correction=number)

    def _example(self, name: str, masks: Iterable[str]) -> Action:
        """Return the action that makes a class of some of its masks; moves give it the others."""
        chosen = list(islice(sorted(masks, key=sample_rank_of), EXEMPLARS))
        embedding = self._output.embedding_of(self._version)
        places = [
            Exemplar(mask_id=mask, shard_id=self._export.shard_of[_image_of(mask)])
            for mask in chosen
        ]
        vectors = vectors_by_mask(self._output, embedding, places)
        accepted = tuple(
            ExampleMask(mask_id=mask, vector=tuple(vectors[mask].tolist()))
            if mask in vectors
            else ExampleMask(mask_id=mask, vector=())
            for mask in chosen
        )
        return valid(lambda: Example(name=name, embedding=embedding, accepted=accepted))


def _image_of(mask_id: str) -> str:
    return mask_id.rpartition("-")[0]
