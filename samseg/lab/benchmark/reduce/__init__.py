"""Benchmark of the stages after `embed`, over synthetic output folders of any size."""
