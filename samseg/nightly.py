"""One night: runs plan, embed, cluster, export and report, in this order, on one output folder.

Each stage can also be run alone. What is left to do follows from the tables, so a run can resume.
"""

import secrets
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from typing import Any

from samseg import remarks
from samseg.config import Config, recipe_of
from samseg.engine.protocol import Workers
from samseg.errors import ConfigError, LakeError, redact
from samseg.exporters.types import Format
from samseg.lake import LakeRoot
from samseg.meter import Meter
from samseg.night_record import recorded, write_record
from samseg.output import Output
from samseg.progress import Progress, Silent, duration
from samseg.recipe import fingerprint
from samseg.recipes import Recipes
from samseg.resume import resumed
from samseg.sam.weights import registry as checkpoints
from samseg.stages import export as exports
from samseg.stages.cluster.stage import ClusterReport
from samseg.stages.cluster.stage import cluster as cluster_stage
from samseg.stages.describe import stage as describing
from samseg.stages.describe.stage import DescribeEvent, DescribeSpec, DescribeTotals
from samseg.stages.edits.upkeep import keep_up
from samseg.stages.embed.stage import EmbedEvent, EmbedSpec, pending
from samseg.stages.embed.stage import embed as embed_stage
from samseg.stages.embed.totals import EmbedTotals
from samseg.stages.plan import PlanReport
from samseg.stages.plan import plan as plan_stage
from samseg.stages.report.stage import report as report_stage
from samseg.stages.tally import counted
from samseg.summary import Summary
from samseg.views_sql import keep_views


class Night:
    """A run of the pipeline over one output folder."""

    def __init__(self, config: Config, progress: Progress | None = None):
        """Resolve the checkpoint and the recipe; nothing is written yet.

        Settings that the config leaves open are those of the output folder, if it exists.

        Raises:
            CheckpointError: the weights cannot be found or do not match the pinned digest.
        """
        self.output = Output(config.output)
        self.progress = progress or Silent()
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        self.summary = Summary(self.output.uri, f"{stamp}-{secrets.token_hex(2)}")
        with recorded(self.output, self.summary, config):
            self.config = config = resumed(config, self.output)
        self._counted = partial(counted, self.output, config.engine, self._note)
        weights = checkpoints.identify(config.model)
        self.masks = config.masks.resolved(weights.recommended)
        self._recommended = weights.recommended
        self.recipe = recipe_of(config, weights.sha256, self.masks)
        self.recipes = Recipes(self.output, self.recipe, config.embeddings)
        self.lake = LakeRoot(self.output, config.reader.root)
        self._clustered: ClusterReport | None = None

    def run(
        self,
        refit: bool = False,
        retry_quarantined: bool = False,
        lake_moved: bool = False,
        retry_failed: Collection[str] = (),
    ) -> Summary:
        """Run all stages and write the night's folder, also if an error ends the night."""
        with recorded(self.output, self.summary, self._resolved):
            if lake_moved:
                self.lake.move()
            self.plan(retry_failed)
            self.embed(retry_quarantined)
            with self.output.snapshot():
                if self.output.committed():
                    self.cluster(refit)
                    if self.config.exports:
                        self.export()
                self._report()
        return self.close()

    def plan(self, retry_failed: Collection[str] = ()) -> PlanReport:
        """List the lake; plan what is new, and what failed again (see `samseg.stages.retries`).

        Raises:
            RecipeError: the output folder was written with another recipe.
            LakeError: the lake cannot be listed or contains no images.
        """
        started = self._start("plan", None, "objects")
        self._check()
        capacity = partial(self.config.engine.capacity, self.config.model.device)
        reader, claim = self.config.reader, self.lake.claim
        planned = plan_stage(self.output, reader, capacity, claim, retry_failed)
        again = f", {planned.again} planned again" * bool(planned.again)
        text = f"{planned.sources} new objects in {planned.shards} shards, {planned.known} known"
        self._finish("plan", started, asdict(planned), text + again)
        for remark in (remarks.left_out(planned.left_out), remarks.changed(planned.changed)):
            self._note(remark)
        if skipped := remarks.skipped(planned.skipped_count, planned.skipped):
            self.summary.incomplete(skipped)
        return planned

    def embed(self, retry_quarantined: bool = False) -> EmbedTotals:
        """Label every planned shard that is not committed yet.

        Raises:
            LakeError: there is no plan yet.
        """
        self._check()
        todo = pending(self.output, retry_quarantined)
        if not todo.shards and not self.output.plan_numbers():
            raise LakeError(f"{self.output.uri} has no plan; run `samseg plan` first")
        started = self._start("embed", todo.images, "images")
        spec = EmbedSpec(
            output=self.output.uri,
            reader=self.config.reader,
            decode=self.config.decode,
            model=self.config.model,
            masks=self.masks,
            pooling=self.config.pooling,
            embeddings=self.config.embeddings,
            recipe=self.output.recipe() or self.recipe,
        )
        done = EmbedTotals()
        if todo.shards:
            shards, on_event = todo.read(self.output), self._on_event()
            done = embed_stage(self.output, spec, shards, self.config.engine, on_event)
        given_up = self.output.quarantined()
        self._finish("embed", started, done.counts() | {"quarantined": len(given_up)}, str(done))
        self._counted()
        self._note(remarks.lacking(self.output, [e.name for e in self.config.embeddings]))
        self.summary.add_failures(done.failed + done.given_up, done.failures)
        if done.failed:
            self.summary.incomplete(remarks.failed(done))
        if given_up:
            self.summary.incomplete(
                f"{len(given_up)} shards are given up, see {self.output.uri}/quarantine; "
                "`--retry-quarantined` retries them."
            )
        checkpoint = self.config.model.checkpoint
        no_masks = remarks.no_masks(self.output, done, checkpoint, self.masks, self._recommended)
        if no_masks:
            self.summary.incomplete(no_masks)
        return done

    def describe(self) -> DescribeTotals:
        """Add the named embeddings of the config to the committed shards that lack them.

        Raises:
            ConfigError: there is no output folder yet, or the config names no embeddings.
        """
        Output.existing(self.output.uri)
        if not self.config.embeddings:
            raise ConfigError(
                f"neither the config nor {redact(self.output.uri)} names an embedding to add; "
                "set embeddings, for example [{kind: efficientnet_lite0}]"
            )
        self._check()
        started, config = self._start("describe", None, "images"), self.config
        spec = DescribeSpec(self.output.uri, config.reader, config.decode, config.embeddings)
        where = config.engine, config.model.device
        done = describing.describe(self.output, spec, *where, self._on_event())
        if done.given_up:
            self.summary.incomplete(
                f"{done.given_up} shards could not be read; `samseg describe` retries them."
            )
        self._finish("describe", started, done.counts(), str(done))
        return done

    def cluster(self, refit: bool = False) -> ClusterReport:
        """Assign new masks to classes; refit if the lake has grown enough or on request.

        Raises:
            ConfigError: there is no output folder.
            LakeError: it has no labelled images.
        """
        self._require_rows()
        started = self._start("cluster", None, "masks")
        clustered = cluster_stage(
            self.output,
            self.config.cluster,
            refit=refit,
            recipe_fingerprint=fingerprint(self.output.recipe() or self.recipe),
            engine=self._counted(),
            on_progress=self.progress.update,
        )
        self._clustered = clustered
        keep_up(self.output, clustered.version, self.config.engine)
        self._finish("cluster", started, clustered.counts(), str(clustered))
        for note in [*clustered.notes(), remarks.mostly_noise(clustered)]:
            self._note(note)
        return clustered

    def export(self, everything: bool = False, formats: Sequence[Format] | None = None) -> None:
        """Write what exports do not have yet, or the whole lake in few files.

        Args:
            everything: write the whole lake.
            formats: in place of those of the config.

        Raises:
            ConfigError: there are no formats, or there is no output folder.
            LakeError: the output folder has no labelled images.
        """
        formats = self.config.exports if formats is None else formats
        self._require_rows()
        if not formats:
            raise ConfigError("the config names no exports; add some, for example exports=[coco]")
        started = self._start("export", None, "images")
        written = (exports.export_all if everything else exports.export)(
            self.output, formats, self._counted(), self.progress.update
        )
        text = ", ".join(f"{w.kind}: {w.masks} masks of {w.images} images" for w in written)
        text += f" in {self.output.uri}/exports"
        self._finish("export", started, exports.counts_of(written), text)
        self._note(remarks.earlier_names(written))

    def report(self) -> str:
        """Write the report page and return its URI; raises what `export` raises."""
        self._require_rows()
        return self._report()

    def _report(self) -> str:
        from samseg.readers import by_extension, fetch_many

        started = self._start("report", None, "images")
        key = report_stage(
            self.output,
            self.summary.stamp,
            fetch=fetch_many,
            decode=self.config.decode.decode,
            lake=redact(self.config.reader.uri),
            seconds=dict(self.summary.seconds),
            left_out=by_extension(self.summary.counts.get("plan", {}).get("left_out", {})),
            clustered=self._clustered,
            engine=self.config.engine,
            on_progress=self.progress.update,
        )
        self.summary.page = self.output.storage.uri_of(key)
        self._finish("report", started, {}, self.summary.page)
        return self.summary.page

    def close(self) -> Summary:
        """Write the resolved config and `status.json` to the night's folder, and `views.sql`."""
        keep_views(self.output)
        write_record(self.output, self.summary, self._resolved)
        return self.summary

    @property
    def _resolved(self) -> Config:
        return self.config.model_copy(update={"masks": self.masks})

    def _check(self) -> None:
        self.recipes.check()
        self.lake.check()

    def _on_event(self) -> Callable[[EmbedEvent | DescribeEvent], None]:
        """Return what counts the events of a map, and creates the recipes before its first task."""
        for embedding in self.config.embeddings:
            self._note(embedding.notice())
        meter = Meter(self.progress)

        def receive(event: EmbedEvent | DescribeEvent) -> None:
            if isinstance(event, Workers) and event.ready:
                self.recipes.create()
            meter(event)

        return receive

    def _require_rows(self) -> None:
        """Check that there is something to cluster, export or report."""
        Output.existing(self.output.uri)
        if not self.output.committed():
            raise LakeError(
                f"{redact(self.output.uri)} has no labelled images yet; run `samseg embed` first"
            )

    def _note(self, text: str | None) -> None:
        if text:
            self.progress.note(text)

    def _start(self, stage: str, total: int | None, unit: str) -> float:
        self.progress.start(stage, total, unit)
        return time.perf_counter()

    def _finish(self, stage: str, started: float, counts: dict[str, Any], text: str) -> None:
        seconds = time.perf_counter() - started
        self.summary.seconds[stage] = round(seconds, 3)
        self.summary.counts[stage] = counts
        self.progress.finish(f"{text} in {duration(seconds)}")
