"""Train the small SAM, or distil one from a larger model, as a Ray job.

    ray job submit --working-dir . --entrypoint-num-gpus 1 -- \
        python jobs/pretrain.py configs/pretrain_tiny.yaml [key=value ...]
"""

import sys

from samseg.cli import main

main(["pretrain", "--config", *sys.argv[1:]])
