"""Benchmark of samseg against `segment_anything` and a bare loop; `jobs/benchmark.py` runs it.

Nothing else in samseg imports it. Modules by command:

    amg, prompts   comparison: tasks of a subject against the reference, masks by matching
    stages         breakdown, with a stopwatch
    embed          embed_stage against a bare_loop, by throughput
    reduce         reduce: the stages after embed, over synthetic folders
    (none)         gpu: one run that checks masks and speed on a GPU; `jobs/gpu_check.py`
    all            record, machine, timing, processes (CPU, memory), floor (of a GPU), report

`random_weights` replace checkpoints that a machine does not have.
"""
