"""The Segment Anything Model: automatic masks and masks from prompts, equal to the reference's.

`segmenter` is the entry point; `runtime` holds the model and its rearranged parts, which `prompts`
and `automatic` share.
"""
