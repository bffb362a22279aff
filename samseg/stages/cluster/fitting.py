"""Fits classes in a worker, so that neither the sample nor the fit is in the driver's memory.

A fit in levels needs further samples of the lake, each of what the classes so far leave out. The
driver chooses them, by a map over all embeddings, and sends the worker their positions. So the fit
is one map with one worker and a task per level. A task holds the positions of all samples so far:
the worker goes on from the level before, and another worker, after a crash, from the beginning.
"""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from samseg.clustering import Linkage
from samseg.clustering.build import build
from samseg.clustering.codebook import Codebook
from samseg.clustering.found import Found, find, find_again
from samseg.clustering.levels import Fitting, LeftOut
from samseg.clustering.sample import FitSample
from samseg.clustering.settings import ClusterSettings
from samseg.engine.protocol import Attempt, Engine, Heartbeat, Slot, Task
from samseg.stages.cluster.embeddings import Embeddings
from samseg.stages.cluster.fit_sample import Parent, read_fit_sample
from samseg.stages.cluster.sampling import Chosen, choose
from samseg.stages.table_map import alive, results

Samples = tuple[Chosen, ...]
_WAITING = 0.0
"""CPUs reserved for the fit: it waits while workers sample, also on a cluster of one CPU."""


@dataclass(frozen=True, slots=True)
class FitSpec:
    """What the worker receives.

    Attributes:
        embeddings: those of the lake.
        settings: how classes are fitted.
        parent: what they are aligned with, None for the first classes.
        reason: why they are fitted, as in `samseg.stages.cluster.stage.ClusterReport`.
    """

    embeddings: Embeddings
    settings: ClusterSettings
    parent: Parent | None
    reason: str

    def build(self, slot: Slot) -> "FitWork":
        """Return the work; there is nothing to load."""
        return FitWork(self, slot)


class FitWork:
    """The fit, suspended between its levels."""

    def __init__(self, spec: FitSpec, slot: Slot):
        """Begin nothing yet."""
        self._spec, self._slot = spec, slot
        self._fitting: Fitting[Found] | None = None
        self._sent = 0  # samples that the fit has

    def __call__(
        self, task: Task[Samples], attempt: Attempt[Samples]
    ) -> Generator[Heartbeat, None, LeftOut | Codebook]:
        """Continue with the samples that the fit does not have yet.

        Returns:
            What to sample next, or the codebook.
        """
        samples = task.payload
        if self._fitting is None or self._sent != len(samples) - 1:
            self._fitting, self._sent = None, 0
        return (yield from alive(task.id, self._slot, partial(self._continued, samples)))

    def _continued(self, samples: Samples) -> LeftOut | Codebook:
        for chosen in samples[self._sent :]:
            sample = read_fit_sample(self._spec.embeddings, chosen, self._spec.parent)
            self._sent += 1
            try:
                if self._fitting is not None:
                    wanted = self._fitting.send((sample, chosen.total))
                else:
                    self._fitting = self._begun(sample, chosen.total)
                    del sample  # the fit may replace it, and two of them fill a gigabyte
                    wanted = next(self._fitting)
            except StopIteration as end:
                self._fitting = None
                return self._codebook(end.value, samples[0].total)
        return wanted

    def _begun(self, sample: FitSample, masks: int) -> Fitting[Found]:
        settings, parent = self._spec.settings, self._spec.parent
        strategy, newest = settings.strategy, parent.codebook if parent else None
        whole = masks <= len(sample)
        if self._spec.reason == "granularity" and newest is not None:
            hierarchy = newest.hierarchy
            if isinstance(strategy, Linkage) and hierarchy is not None:
                return find_again(sample, strategy, newest.transform, hierarchy, masks, whole)
        return find(sample, settings, masks, whole, steady=self._spec.reason != "settings")

    def _codebook(self, found: Found, masks: int) -> Codebook:
        newest = self._spec.parent.codebook if self._spec.parent else None
        version = newest.version + 1 if newest else 1
        recipe = self._spec.embeddings.recipe
        return build(found, self._spec.settings, newest, version, recipe, {"masks": masks})


def fit(spec: FitSpec, shards: Sequence[str], engine: Engine) -> Codebook:
    """Fit a codebook to a sample of the lake.

    Args:
        spec: what to fit.
        shards: ids of the shards to sample.
        engine: runs the maps.
    """
    chosen = partial(choose, spec.embeddings, shards, spec.settings.reference, engine)
    samples: Samples = (chosen(),)

    def levels() -> Iterator[Task[Samples] | None]:
        level = 0
        while not isinstance(found, Codebook):
            if level == len(samples):
                yield None
            else:
                level = len(samples)
                yield Task(f"level {level}", samples)

    found: LeftOut | Codebook | None = None
    for found in results(engine, spec.build, levels(), _WAITING):
        if isinstance(found, LeftOut):
            samples = (*samples, chosen(found))
    if not isinstance(found, Codebook):
        raise RuntimeError("a fit ended without a codebook")
    return found
