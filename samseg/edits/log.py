"""The log of edits in an output folder: `edits/{n}.json`, append-only, numbered from 1.

Two people may edit at the same time. Each edit is checked against the log as it was read, and takes
the next number by one create-only PUT. Who comes second reads what came first: an edit that
concerns none of the same classes, masks and names is checked again and takes the number after;
any other is refused, with what was changed, by whom and when.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from pydantic import ValidationError

from samseg.edits.edit import FORMAT, Action, Edit, touched
from samseg.edits.replay import ClassState, replay
from samseg.errors import ConfigError, ConflictError, NotFoundError, StorageError, redact
from samseg.object_names import remedy
from samseg.output import Output
from samseg.sealed_json import sealed

_READS_AT_A_TIME = 16


def read_log(output: Output, after: int = 0) -> list[Edit]:
    """Read the edits of a folder, in order.

    Args:
        output: the folder.
        after: number of the edit after which to begin.

    Raises:
        StorageError: one is missing or damaged, or has a newer format.
    """
    numbers = output.edit_numbers()
    for n, number in enumerate(numbers, start=1):
        if n != number:  # a replay without it would mean something else
            key = output.edit_key(n)
            raise NotFoundError(
                f"no object at {redact(output.storage.uri_of(key))}, and later edits are there; "
                f"{remedy(key, redact(output.uri))}"
            )
    with ThreadPoolExecutor(_READS_AT_A_TIME) as threads:
        return list(threads.map(lambda n: _read(output, n), numbers[after:]))


def _read(output: Output, number: int) -> Edit:
    key = output.edit_key(number)
    values = output.read_json(key)
    if isinstance(found := values.get("format"), int) and found > FORMAT:
        raise StorageError(
            f"{redact(output.storage.uri_of(key))} has format {found}, and this version of samseg "
            f"reads format {FORMAT}; upgrade samseg"
        )
    with output.decoding(key):
        return Edit.from_json(number, values)


def append(
    output: Output,
    action: Action,
    author: str,
    reason: str,
    state: ClassState,
) -> Edit:
    """Add an edit to the log.

    Args:
        output: the folder.
        action: what to do.
        author: who does it.
        reason: why; may be empty.
        state: the replay of the log as it was read when the action was decided on.

    Raises:
        ConfigError: the action, the author or the reason is not valid.
        ConflictError: somebody changed something that the action concerns since `state` was read.
        StorageError: the store failed.
    """
    edits = list(state.edits.values())
    others: list[Edit] = []
    while True:
        try:
            require(state, action)
        except ConfigError as e:
            if others:
                raise _conflict(others, f"; now {e}") from e
            raise
        edit = _edit(state.newest + 1, action, author, reason)
        key = output.edit_key(edit.number)
        if output.storage.put_new(key, sealed(edit.to_json())):
            return edit
        new = read_log(output, state.newest)
        own = touched(action, {e.number: e.action for e in edits})
        edits += new
        earlier = {e.number: e.action for e in edits}
        if same := [e for e in new if touched(e.action, earlier) & own]:
            raise _conflict(same, "; nothing was written. Look at it, and edit again if needed")
        others += new
        state = replay(edits)


def require(state: ClassState, action: Action) -> None:
    """Refuse an action that does not apply.

    Raises:
        ConfigError: it does not.
    """
    if refusal := state.refusal(action):
        raise ConfigError(refusal)


def valid(make: Callable[[], Action]) -> Action:
    """Return what `make` returns, and its mistakes as a `ConfigError`.

    Raises:
        ConfigError: a name is empty or too long, for example.
    """
    try:
        return make()
    except ValidationError as e:
        raise _mistake(e) from e


def _edit(number: int, action: Action, author: str, reason: str) -> Edit:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        return Edit.from_json(number, Edit(number, now, author, reason, action).to_json())
    except ValidationError as e:
        raise _mistake(e) from e


def _mistake(error: ValidationError) -> ConfigError:
    first = error.errors()[0]
    place = [str(step) for step in first["loc"] if not isinstance(step, int)][-1:]
    what = str(first["msg"]).removeprefix("Value error, ")
    return ConfigError(f"{' '.join(place)}: {what[:1].lower()}{what[1:]}")


def _conflict(others: Iterable[Edit], end: str) -> ConflictError:
    changes = ", ".join(f"{e.action.action} ({e.signature})" for e in others)
    return ConflictError(f"the classes were changed meanwhile: {changes}{end}")
