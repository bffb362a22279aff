"""Benchmark of the answers of `samseg review`, over synthetic output folders."""
