"""What a night did: the last line of every command, and `status.json` in the night's folder."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(slots=True)
class Summary:
    """Result of a night: the last line of every command, and `status.json`.

    Attributes:
        output: URI of the output folder.
        stamp: name of the night.
        exit: 0 done, 1 done with failed images or shards given up.
        seconds: wall seconds per stage.
        counts: counts per stage.
        page: URI of the report page, if one was written.
    """

    output: str
    stamp: str
    exit: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    counts: dict[str, Any] = field(default_factory=dict)
    page: str | None = None

    def line(self, command: str) -> str:
        """Return the summary as one line of JSON."""
        return json.dumps({"samseg": command, **asdict(self)}, default=str)
