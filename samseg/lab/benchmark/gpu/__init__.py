"""A check of correctness and speed on a GPU, run by `jobs/gpu_check.py`.

    subject    the subject of the check: device, photos, point grid, architectures
    parity     masks and tensors compared with the CPU's
    recovery   masks after running out of memory
    compiling  masks with `torch.compile`
    speed      milliseconds per stage and peak memory, compared with `segment_anything`
    costs      the most expensive kernels, and GPU idle time
    findings   result types of these
    check      runs the sections in isolation, within a time limit
    table      Markdown

Needs neither Ray, DuckDB nor an object store.
"""
