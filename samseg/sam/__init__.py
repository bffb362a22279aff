"""The Segment Anything Model: automatic and prompted masks, equal to the reference's.

`segmenter` is the entry point; `runtime` holds the model with its optimised encoder and decoder,
which `prompts` and `automatic` share.
"""
