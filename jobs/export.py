"""Write the exports as a Ray job.

    ray job submit --working-dir . -- \
        python jobs/export.py configs/nightly.yaml [section.key=value ...]
"""

import sys

from samseg.cli import main

main(["export", "--config", *sys.argv[1:]])
