"""Engines: where the work on shards runs.

`Local` is this process, for debugging and tests; `RayPool` is a pool of Ray actors, for everything
else. Both drive the rules of `scheduler.py` and give the same events
(`samseg.engine.protocol.Engine`); `tests/contract/test_engine.py` holds them to it. Importing this
package does not import ray.
"""

from typing import Annotated

from pydantic import Field

from samseg.engine.local import Local
from samseg.engine.ray_pool import RayPool

EngineSpec = Annotated[Local | RayPool, Field(discriminator="kind")]
"""Every engine, told apart by `kind`."""

__all__ = ["EngineSpec", "Local", "RayPool"]
