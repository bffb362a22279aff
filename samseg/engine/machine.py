"""The CPUs and GPUs of this machine that this process may use."""

import ctypes
import os

from samseg.engine.shares import Node


def this_node() -> Node:
    """Return the resources of this machine, as a node of a cluster."""
    return {"CPU": float(cpus()), "GPU": float(cuda_devices())}


def cpus() -> int:
    """Return the number of CPUs."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cuda_devices() -> int:
    """Return the number of CUDA devices, from the driver, so that torch is not needed."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if cuda.cuInit(0) != 0 or cuda.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value
