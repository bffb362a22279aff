"""Measuring samseg against `segment_anything` and against a bare loop; `jobs/benchmark.py` runs it.

Not part of a night: nothing else of samseg imports it.
"""
