"""Assign new masks to classes as a Ray job.

    ray job submit --working-dir . -- \
        python jobs/cluster.py configs/nightly.yaml [section.key=value ...] [--strict]

Images that failed do not fail the job, unless `--strict` is given; see `exit_code.py`.
"""

import sys

from exit_code import run

run("cluster", sys.argv[1:])
