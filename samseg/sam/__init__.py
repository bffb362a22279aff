"""The Segment Anything Model: automatic and prompted masks, equal to the reference's.

`segmenter` is the entry point; `runtime` holds the model with its optimised encoder and decoder,
which `prompts` and `automatic` share.
"""

from samseg.sam.packages import run_init_on_use

run_init_on_use("segment_anything")
run_init_on_use("torchvision")
