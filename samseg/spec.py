"""The frozen base class of all config sections.

A section is the strategy that it configures: `DBSCAN(eps=0.06)` is validated from YAML and has the
method `fit`. The strategies of one plug point form a union with the discriminator `kind`.
"""

from pydantic import BaseModel, ConfigDict


class Spec(BaseModel):
    """A config section: immutable; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
