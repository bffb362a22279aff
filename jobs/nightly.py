"""Run a whole night as a Ray job: plan, embed, cluster, export, report.

    ray job submit --working-dir . -- \
        python jobs/nightly.py configs/nightly.yaml [section.key=value ...] [--strict]

Images that failed do not fail the job, unless `--strict` is given; see `exit_code.py`.
"""

import sys

from exit_code import run

run("nightly", sys.argv[1:])
