"""The frozen base class of all config sections.

A section is the strategy that it configures: `DBSCAN(eps=0.06)` is validated from YAML and has the
method `fit`. The strategies of one plug point form a union with the discriminator `kind`.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict


class Spec(BaseModel):
    """A config section: immutable; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def set_values(self) -> dict[str, Any]:
        """Return the values that were set, as plain data; sections keep their `kind`."""
        names = self.model_fields_set | ({"kind"} & type(self).model_fields.keys())
        plain = self.model_dump(mode="json", include=names)
        for name in names:
            value = getattr(self, name)
            if isinstance(value, Spec):
                plain[name] = value.set_values()
            elif isinstance(value, tuple) and value and isinstance(value[0], Spec):
                plain[name] = [each.set_values() for each in value]
        return plain
