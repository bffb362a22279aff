"""Checkpoints: the known ones, downloading, and loading into a model."""
