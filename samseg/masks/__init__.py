"""Masks as run-length encodings: runs, containment, painting, colours. No torch, no storage."""
