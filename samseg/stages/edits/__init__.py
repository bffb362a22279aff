"""Edits of classes against an output folder: looked up, checked, resolved for each codebook."""
