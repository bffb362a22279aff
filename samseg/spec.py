"""The frozen base of every config section.

A section *is* the strategy it configures: `DBSCAN(eps=0.06)` comes straight out of YAML and has
the verb `fit`. Strategies of one plug point form a union discriminated by the word `kind`.
"""

from pydantic import BaseModel, ConfigDict


class Spec(BaseModel):
    """A config section: immutable, and unknown keys are mistakes."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
