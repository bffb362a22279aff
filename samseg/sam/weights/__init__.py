"""Checkpoints: which ones there are, downloading them, loading them into a model."""
