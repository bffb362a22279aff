"""Add named embeddings to masks that lack them as a Ray job.

    ray job submit --working-dir . -- \
        python jobs/describe.py configs/nightly.yaml [section.key=value ...] [--strict]

Images that failed do not fail the job, unless `--strict` is given; see `exit_code.py`.
"""

import sys

from exit_code import run

run("describe", sys.argv[1:])
