"""Assign new masks to classes as a Ray job.

    ray job submit --working-dir . -- \
        python jobs/cluster.py configs/nightly.yaml [section.key=value ...]
"""

import sys

from samseg.cli import main

main(["cluster", "--config", *sys.argv[1:]])
