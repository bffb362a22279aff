"""What a night does for edits: carries them over to its codebook and to new shards."""

from samseg.edits.log import read_log
from samseg.edits.replay import replay
from samseg.engine.protocol import Engine
from samseg.output import Output
from samseg.stages.edits.current_counts import keep_counts
from samseg.stages.edits.members import write_members
from samseg.stages.edits.resolution import Resolver


def keep_up(output: Output, version: int, engine: Engine) -> int:
    """Write what readers need of the edits under a codebook, where it is not there yet.

    These are the members of classes by example in shards without them, the tables for SQL, and the
    counts of classes that edits divided. An interrupted run is completed by the next one.

    Args:
        output: the output folder.
        version: of the codebook.
        engine: runs the map.

    Returns:
        The number of shards whose members were written.
    """
    if not output.edit_numbers():
        return 0
    state = replay(read_log(output))
    written = write_members(output, version, state, engine)
    found = Resolver(output, version).after(state, write=True)
    keep_counts(output, version, engine, found)
    return written
