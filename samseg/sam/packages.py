"""Imports modules of a package without running its `__init__`, until a name of its own is used.

segment-anything imports torchvision, and torchvision PyTorch's compiler, of which models that are
not compiled use nothing: more than half of the time that a process takes to load one.
"""

import sys
from importlib.util import find_spec, module_from_spec
from typing import Any


def run_init_on_use(name: str) -> None:
    """Let a package that is not imported yet run its `__init__` when a name is missing.

    Its modules can be imported before that; the package is the same one for all.

    Args:
        name: of a top-level package.
    """
    spec = find_spec(name) if name not in sys.modules else None
    if spec is None or spec.loader is None:
        return
    package, loader = module_from_spec(spec), spec.loader

    def missing(attribute: str) -> Any:
        del package.__dict__["__getattr__"]
        loader.exec_module(package)
        return getattr(package, attribute)

    package.__dict__["__getattr__"] = missing
    sys.modules[name] = package
