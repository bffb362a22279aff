"""One run on a GPU that tells whether samseg works there, and how fast; `jobs/gpu_check.py`.

    subject    what is checked: device, photos, point grid, architectures
    parity     masks and tensors against the CPU's
    recovery   the same masks with too little memory
    compiling  the same masks through `torch.compile`
    speed      milliseconds per stage and peak memory, next to `segment_anything`
    costs      the most expensive kernels, and how long the GPU waits
    findings   what each of these says
    check      all of them in turn, each on its own, within a time limit
    table      Markdown

Needs no Ray, no DuckDB and no object store.
"""
