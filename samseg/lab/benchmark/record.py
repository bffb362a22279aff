"""Fields that all records of measurements share."""

from typing import Literal

from samseg.lab.benchmark.machine import Machine
from samseg.spec import Spec


class Record(Spec):
    """One run of one command of the benchmark.

    Attributes:
        version: version of the record's format.
        command: the command that reproduces the figures.
        machine: the machine used.
    """

    version: Literal[1] = 1
    command: str
    machine: Machine
