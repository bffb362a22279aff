"""Description of the machine and versions of a measurement; part of every record."""

import os
import platform
import subprocess
from pathlib import Path

import torch

import samseg
from samseg.spec import Spec

_CPU_INFO = Path("/proc/cpuinfo")


class Machine(Spec):
    """A machine and its software versions.

    Attributes:
        cpu: name of the processor.
        cpus: number of logical CPUs.
        threads: CPU threads of one process.
        gpu: name of the GPU; None if the CPU was used.
        versions: versions of python, torch and samseg.
        commit: git commit of the working tree, with `+` if tracked files were changed; None outside
            a working tree.
    """

    cpu: str
    cpus: int
    threads: int
    gpu: str | None
    versions: dict[str, str]
    commit: str | None

    @classmethod
    def here(cls, device: torch.device, threads: int | None = None) -> "Machine":
        """Describe this machine; `threads` defaults to PyTorch's number of threads."""
        return cls(
            cpu=_cpu_name(),
            cpus=os.cpu_count() or 1,
            threads=threads or torch.get_num_threads(),
            gpu=torch.cuda.get_device_name(device) if device.type == "cuda" else None,
            versions={
                "python": platform.python_version(),
                "torch": torch.__version__,
                "samseg": samseg.__version__,
            },
            commit=_commit(),
        )

    def __str__(self) -> str:
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        where = self.gpu or f"{self.cpu}, {threads} on {self.cpus} CPUs"
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        return f"{where}; {versions}" + (f" at {self.commit}" if self.commit else "")


def _cpu_name() -> str:
    lines = _CPU_INFO.read_text().splitlines() if _CPU_INFO.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _commit() -> str | None:
    root = Path(samseg.__file__).parents[1]
    if not (root / ".git").exists():
        return None
    try:
        head, changes = (
            subprocess.run(
                ["git", "-C", root, *command], capture_output=True, text=True, check=True
            ).stdout.strip()
            for command in (["rev-parse", "--short=12", "HEAD"], ["status", "--porcelain", "-uno"])
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{head}+" if changes else head
