"""What every record of a measurement says besides its figures."""

from typing import Literal

from samseg.lab.benchmark.machine import Machine
from samseg.spec import Spec


class Record(Spec):
    """One run of one command of the benchmark.

    Attributes:
        version: of the record.
        command: how to take these figures again.
        machine: where.
    """

    version: Literal[1] = 1
    command: str
    machine: Machine
