"""The stages of a night: plain functions over an output folder and an engine."""
