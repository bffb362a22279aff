"""The classes of an opened folder: a DuckDB relation to read, with the verbs to edit them."""

from collections.abc import Callable
from typing import Any

import duckdb

from samseg.edits.edit import Edit, Example, Refine
from samseg.edits.log import read_log
from samseg.edits.replay import replay
from samseg.engine.local import Local
from samseg.output import Output
from samseg.stages.edits.editor import Act, ClassEditor
from samseg.stages.edits.members import write_members


class EditableClasses(ClassEditor):
    """`samseg.open(output).classes`: whatever a relation has, and the verbs of `ClassEditor`.

    The tables of the folder that is open show an edit at once. `example` and `refine` search all
    embeddings for the members of the class, in this process; a night does so on its engine.
    """

    def __init__(
        self,
        output: Output,
        relation: duckdb.DuckDBPyRelation,
        refresh: Callable[[], None],
    ):
        """Wrap a relation.

        Args:
            output: the folder.
            relation: the view `classes`.
            refresh: reads the edits again.
        """
        super().__init__(output)
        self._relation, self._refresh = relation, refresh

    def __getattr__(self, name: str) -> Any:
        return getattr(self._relation, name)

    def __getitem__(self, column: str) -> Any:
        return self._relation[column]

    def __len__(self) -> int:
        return len(self._relation)

    def __repr__(self) -> str:
        return repr(self._relation)

    def _edit(self, act: Act, author: str | None, reason: str) -> Edit:
        edit = super()._edit(act, author, reason)
        if isinstance(edit.action, Example | Refine):
            write_members(self._output, self._version(), replay(read_log(self._output)), Local())
        self._refresh()
        return edit
