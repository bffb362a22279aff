"""Measuring samseg against `segment_anything` and against a bare loop; `jobs/benchmark.py` runs it.

Not part of a night: nothing else of samseg imports it.

    amg, prompts   comparison, of what tasks ask, of which subject, against which reference
    stages         breakdown, by a stopwatch
    embed          embed_stage, against a bare_loop, by throughput
    all            record, machine, timing, processes (CPU, memory), floor (of a GPU), report

`random_weights` stand in for weights that a machine does not have.
"""
