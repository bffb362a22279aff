"""What a benchmark of the review page measured."""

from samseg.lab.benchmark.record import Record
from samseg.spec import Spec


class RouteTime(Spec):
    """Times of one address or form.

    Attributes:
        what: the address or form.
        requests: how many were timed.
        median_ms: median time until the answer was there, ms.
        p95_ms: 95th percentile, ms.
        bytes: length of the longest answer.
    """

    what: str
    requests: int
    median_ms: float
    p95_ms: float
    bytes: int


class ReviewRecord(Record):
    """One run of `review`.

    Attributes:
        masks: masks of the folder.
        classes: current classes.
        warm_up_s: seconds until the page could be opened.
        resident_bytes: memory of the process after all requests.
        rows: times.
    """

    masks: int
    classes: int
    warm_up_s: float
    resident_bytes: int
    rows: tuple[RouteTime, ...]
