"""Label the planned shards that are not committed yet as a Ray job.

    ray job submit --working-dir . -- \
        python jobs/embed.py configs/nightly.yaml [section.key=value ...] [--strict]

Images that failed do not fail the job, unless `--strict` is given; see `exit_code.py`.
"""

import sys

from exit_code import run

run("embed", sys.argv[1:])
