"""Run a whole night as a Ray job: plan, embed, cluster, export, report.

    ray job submit --working-dir . -- \
        python jobs/nightly.py configs/nightly.yaml [section.key=value ...]
"""

import sys

from samseg.cli import main

main(["nightly", "--config", *sys.argv[1:]])
