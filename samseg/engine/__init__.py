"""Engines: run tasks on workers, with retries, in this process or on Ray.

`Local` runs in this process, for debugging and tests; `RayPool` is a pool of Ray actors, for
everything else. Both follow the rules of `scheduler.py` and yield the same events
(`samseg.engine.protocol.Engine`); `tests/contract/test_engine.py` covers both. This package knows
neither images nor masks, and importing it does not import ray.
"""

from typing import Annotated

from pydantic import Field

from samseg.engine.local import Local
from samseg.engine.ray_pool import RayPool

EngineSpec = Annotated[Local | RayPool, Field(discriminator="kind")]
"""Any engine; `kind` is the discriminator."""

__all__ = ["EngineSpec", "Local", "RayPool"]
