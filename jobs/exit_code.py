"""The exit code of a Ray job, which Ray and KubeRay reduce to success or failure.

A command of samseg ends with 1 if images failed or shards were given up. The rest of the work is
done, and running it again at once would not help, so a job ends with 0 then, unless `--strict` is
given. The command's own code is in `exit` of the last line of the job's log, and, of a night, in
`nights/{stamp}/status.json`. All other codes, and signals, are failures of the job.
"""

import sys
from collections.abc import Sequence
from typing import NoReturn

from samseg.cli import main

STRICT = "--strict"
_DONE_WITH_FAILURES = 1


def run(command: str, arguments: Sequence[str]) -> NoReturn:
    """Run `samseg COMMAND --config ARGUMENTS` and exit with the code of the job."""
    try:
        main([command, "--config", *(one for one in arguments if one != STRICT)])
    except SystemExit as e:
        code = e.code
    done = code == _DONE_WITH_FAILURES and STRICT not in arguments
    sys.exit(0 if done else code)
