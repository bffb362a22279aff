"""Measures the stages after `embed` over one synthetic output folder, in the process that calls it.

Imports neither torch nor what uses it: the process stands for the driver of a night, whose memory
is measured.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from samseg.clustering.settings import ClusterSettings
from samseg.engine import Local, RayPool
from samseg.engine.protocol import Engine
from samseg.exporters import Coco
from samseg.lab.benchmark.reduce.synthetic import EMBEDDING, MASKS_OF_SHARD, synthesize
from samseg.lab.benchmark.reduce.usage import Usage, UsageMeter
from samseg.output import Output
from samseg.readers.decode import DecodePolicy
from samseg.recipe import fingerprint
from samseg.spec import Spec
from samseg.stages.cluster.stage import cluster
from samseg.stages.export import export
from samseg.stages.report.stage import report
from samseg.stages.status import status_of
from samseg.stages.tally import tally


class Measurement(Spec):
    """One measurement.

    Attributes:
        what: what was done.
        masks: masks of the folder.
        workers: CPU workers; 0 for the driver alone.
        result: what came of it.
        usage: what it cost.
    """

    what: str
    masks: int
    workers: int
    result: str
    usage: Usage


@contextmanager
def ray_of(workers: int) -> Iterator[Engine]:
    """Return an engine with that many CPU workers; 0 for the driver alone."""
    if not workers:
        yield Local(threads=1, attempts=1)
        return
    os.environ.setdefault("RAY_worker_niceness", "0")
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    from samseg.engine.cluster import started

    pool = RayPool(attempts=1)
    with started(workers), pool.session():  # as `samseg nightly` does
        yield pool


def make_folder(uri: str, masks: int, workers: int) -> None:
    """Write a synthetic folder and its ledger."""
    output = Output(uri)
    with ray_of(workers) as engine:
        for _ in synthesize(output, masks, engine):
            pass
        tally(output, engine, write=True)


def measure_folder(
    uri: str, masks: int, workers: int, samples: Sequence[int], exports: bool
) -> list[Measurement]:
    """Measure one folder, which is changed; see `samseg.lab.benchmark.reduce.stages`."""
    with ray_of(workers) as engine:
        return list(_of_folder(Output(uri), masks, workers, engine, samples, exports))


def _of_folder(
    output: Output,
    masks: int,
    workers: int,
    engine: Engine,
    samples: Sequence[int],
    exports: bool,
) -> Iterator[Measurement]:
    recipe = fingerprint(output.recipe() or {})

    def measured(what: str, work: Callable[[], object]) -> Measurement:
        with UsageMeter() as meter:
            result = work()
        return Measurement(
            what=what, masks=masks, workers=workers, result=str(result), usage=meter.usage
        )

    def night(sample: int, refit: bool) -> object:
        settings = ClusterSettings(embedding=EMBEDDING, reference=sample)
        return cluster(output, settings, refit=refit, recipe_fingerprint=recipe, engine=engine)

    for sample in samples:
        yield measured(f"refit, sample {sample:,}", partial(night, sample, True))
    yield measured("status", lambda: f"{status_of(output, engine).masks} masks")
    yield measured("night with nothing new", lambda: night(samples[-1], False))
    yield measured("report", lambda: _page(output, engine))
    local = Local(attempts=1)
    for _ in synthesize(output, masks + MASKS_OF_SHARD, local):
        pass
    tally(output, local, write=True)
    yield measured("night with 5,000 new masks", lambda: night(samples[-1], False))
    if exports:
        yield measured(
            "export to coco", lambda: export(output, [Coco.model_validate({})], engine)[0].masks
        )


def _page(output: Output, engine: Engine) -> str:
    def missing(uris: Sequence[str]) -> Iterator[tuple[str, bytes | Exception]]:
        for uri in uris:
            yield uri, ValueError("a synthetic photo")

    report(output, "20260101T000000Z-0000", missing, DecodePolicy().decode, engine=engine)
    return "page without photos"
