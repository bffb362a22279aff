"""Label the planned shards that are not committed yet as a Ray job.

    ray job submit --working-dir . -- \
        python jobs/embed.py configs/nightly.yaml [section.key=value ...]
"""

import sys

from samseg.cli import main

main(["embed", "--config", *sys.argv[1:]])
