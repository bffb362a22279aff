"""Add named embeddings to masks that lack them as a Ray job.

    ray job submit --working-dir . -- \
        python jobs/describe.py configs/nightly.yaml [section.key=value ...]
"""

import sys

from samseg.cli import main

main(["describe", "--config", *sys.argv[1:]])
