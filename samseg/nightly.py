"""One night: runs plan, embed, cluster, export and report, in this order, on one output folder.

Each stage can also be run alone. Stages derive what is left to do from the tables, so running the
same command again resumes an interrupted run. A night ends by writing `nights/{stamp}/` with the
resolved config, `status.json` and the report page.
"""

import json
import secrets
import time
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import samseg
from samseg import schema
from samseg.config import Config, recipe_of
from samseg.errors import CheckpointError, ConfigError, LakeError, redact
from samseg.features import NamedEmbedding
from samseg.output import Output, fingerprint
from samseg.progress import Meter, Progress, Silent, duration
from samseg.resume import completed, completed_embedding, resumed
from samseg.sam.weights import registry as checkpoints
from samseg.stages.cluster.stage import ClusterReport
from samseg.stages.cluster.stage import cluster as cluster_stage
from samseg.stages.describe.stage import DescribeSpec, DescribeTotals, undescribed
from samseg.stages.describe.stage import describe as describe_stage
from samseg.stages.embed.stage import EmbedSpec, EmbedTotals, pending
from samseg.stages.embed.stage import embed as embed_stage
from samseg.stages.export import export as export_new
from samseg.stages.export import export_all
from samseg.stages.plan import PlanReport
from samseg.stages.plan import plan as plan_stage
from samseg.stages.report.stage import report as report_stage
from samseg.stages.status import Status, status_of
from samseg.summary import Summary
from samseg.views_sql import views_sql


class Night:
    """A run of the pipeline over one output folder."""

    def __init__(self, config: Config, progress: Progress | None = None):
        """Resolve the checkpoint and the recipe; nothing is written yet.

        Settings that the config leaves open are those of the output folder, if it exists.

        Raises:
            CheckpointError: the weights cannot be found or do not match the pinned digest.
        """
        self.output = Output(config.output)
        self.config = config = resumed(config, self.output)
        self.progress = progress or Silent()
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        self.summary = Summary(self.output.uri, f"{stamp}-{secrets.token_hex(2)}")
        weights = checkpoints.identify(config.model)
        self.masks = config.masks.resolved(weights.recommended)
        self._guarded = False
        self.recipe = recipe_of(config, weights.sha256, self.masks)

    def run(self, refit: bool = False, retry_quarantined: bool = False) -> Summary:
        """Run all stages and write the night's folder."""
        self.plan()
        self.embed(retry_quarantined)
        self.cluster(refit)
        self.export()
        self.report()
        return self.close()

    def plan(self) -> PlanReport:
        """List the lake and plan what is new.

        Raises:
            RecipeError: the output folder was written with another recipe.
            LakeError: the lake cannot be listed or contains no images.
        """
        started = self._start("plan", None, "objects")
        self._guard()
        planned = plan_stage(self.output, self.config.reader)
        self._finish(
            "plan",
            started,
            asdict(planned),
            f"{planned.sources} new objects in {planned.shards} shards, {planned.known} known",
        )
        if planned.changed:
            self.progress.note(
                f"{planned.changed} objects changed since they were planned; their rows are kept. "
                "To label them again, write to a new output folder."
            )
        return planned

    def embed(self, retry_quarantined: bool = False) -> EmbedTotals:
        """Label every planned shard that is not committed yet.

        Raises:
            LakeError: there is no plan yet.
        """
        self._guard()
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
        )
        done = EmbedTotals()
        if todo.shards:
            shards, meter = todo.read(self.output), Meter(self.progress)
            done = embed_stage(self.output, spec, shards, self.config.engine, meter)
        rate = done.images / done.wall_s if done.wall_s else 0.0
        text = f"{done.images} images, {done.masks} masks"
        if done.images:
            text += f" ({rate:.2f} images/s)"
        if done.failed:
            text += f", {done.failed} images failed"
        if done.given_up:
            text += f", {done.given_up} shards given up"
        given_up = self.output.quarantined()
        self._finish(
            "embed",
            started,
            {
                "shards": done.shards,
                "images": done.images,
                "masks": done.masks,
                "statuses": dict(done.statuses),
                "given_up": done.given_up,
                "quarantined": len(given_up),
                "worker_seconds": {k: round(v, 2) for k, v in done.seconds.items()},
            },
            text,
        )
        if given_up:
            self.progress.note(
                f"{len(given_up)} shards are in {self.output.uri}/quarantine; "
                "`--retry-quarantined` retries them"
            )
        names = tuple(e.name for e in self.config.embeddings)
        if lacking := undescribed(self.output, names):
            self.progress.note(
                f"{len(lacking)} committed shards lack an embedding of {', '.join(names)}; "
                "`samseg describe -c CONFIG` adds it"
            )
        if done.failed or given_up:
            self.summary.exit = 1
        return done

    def describe(self) -> DescribeTotals:
        """Add the named embeddings of the config to the committed shards that lack them.

        Raises:
            ConfigError: there is no output folder yet, or the config names no embeddings.
        """
        if self.output.recipe() is None:
            raise ConfigError(
                f"there is no output folder at {redact(self.output.uri)}; `samseg nightly` "
                "creates one"
            )
        if not self.config.embeddings:
            raise ConfigError(
                f"neither the config nor {redact(self.output.uri)} names an embedding to add; "
                "set embeddings, for example [{kind: efficientnet_lite0}]"
            )
        self._guard()
        started = self._start("describe", None, "images")
        spec = DescribeSpec(
            self.output.uri, self.config.reader, self.config.decode, self.config.embeddings
        )
        done = describe_stage(
            self.output, spec, self.config.engine, self.config.model.device, Meter(self.progress)
        )
        self.summary.exit = 1 if done.given_up else self.summary.exit
        counts = {
            "shards": done.shards,
            "given_up": done.given_up,
            "images": done.images,
            "statuses": dict(done.statuses),
        }
        self._finish("describe", started, counts, str(done))
        return done

    def cluster(self, refit: bool = False) -> ClusterReport:
        """Assign new masks to classes; refit if the lake has grown enough or on request."""
        started = self._start("cluster", None, "masks")
        clustered = cluster_stage(
            self.output,
            self.config.cluster,
            refit=refit,
            recipe_fingerprint=fingerprint(self.output.recipe() or self.recipe),
            on_progress=self.progress.update,
        )
        counts = {k: v for k, v in asdict(clustered).items() if k != "curve"}
        self._finish("cluster", started, counts, str(clustered))
        for note in clustered.notes():
            self.progress.note(note)
        return clustered

    def export(self, everything: bool = False) -> None:
        """Write the exports of the config: what is new, or the whole lake in few files."""
        if not self.config.exports:
            return
        started = self._start("export", None, "images")
        stage = export_all if everything else export_new
        written = stage(self.output, self.config.exports, self.progress.update)
        counts: dict[str, Any] = {}
        for w in written:
            folder = "/".join(w.uri.rsplit("/", 2)[1:])
            counts[folder if w.kind in counts else w.kind] = asdict(w)
        text = ", ".join(f"{w.kind}: {w.masks} masks of {w.images} images" for w in written)
        self._finish("export", started, counts, f"{text} in {self.output.uri}/exports")

    def report(self) -> str:
        """Write the report page and return its URI."""
        from samseg.readers import fetch_many

        started = self._start("report", None, "images")
        key = report_stage(
            self.output,
            self.summary.stamp,
            fetch=fetch_many,
            decode=self.config.decode.decode,
            lake=redact(self.config.reader.uri),
            seconds=dict(self.summary.seconds),
            on_progress=self.progress.update,
        )
        self.summary.page = self.output.storage.uri_of(key)
        self._finish("report", started, {}, self.summary.page)
        return self.summary.page

    def status(self) -> Status:
        """Count what is planned, committed, failed and classified."""
        return status_of(self.output)

    def close(self) -> Summary:
        """Write the resolved config and `status.json` to the night's folder, and `views.sql`."""
        put, key = self.output.storage.put_new, self.output.night_key
        put(self.output.views_key, views_sql(redact(self.output.uri)).encode())
        resolved = self.config.model_copy(update={"masks": self.masks})
        put(key(self.summary.stamp, "config.yaml"), resolved.to_yaml().encode())
        status = {"version": samseg.__version__, **asdict(self.summary)}
        put(
            key(self.summary.stamp, "status.json"),
            json.dumps(status, indent=2, default=str).encode(),
        )
        return self.summary

    def _guard(self) -> None:
        """Create the recipes of a new folder, or check those of an existing one.

        Those of named embeddings come first: a folder with a recipe and no embedding is an old one.
        """
        if self._guarded:
            return
        for spec in self.config.embeddings:
            recipe = {"schema": schema.VERSION} | self._recipe_of(spec)
            key = self.output.embedding_recipe_key(spec.name)
            self.output.guard(recipe, key, completed_embedding)
            if (notice := spec.notice()) is not None:
                self.progress.note(notice)
        self.output.guard(self.recipe, completed=completed)
        self._guarded = True

    def _recipe_of(self, spec: NamedEmbedding) -> dict[str, Any]:
        try:
            return spec.recipe()
        except CheckpointError as e:
            stored = self.output.recipe(spec.name)
            if stored is None:
                raise
            raise CheckpointError(
                f"{e}. The embedding {spec.name} of {self.output.uri} was made with weights of "
                f"sha256 {stored['weights_sha256']}; list it under `embeddings` with these"
            ) from e

    def _start(self, stage: str, total: int | None, unit: str) -> float:
        self.progress.start(stage, total, unit)
        return time.perf_counter()

    def _finish(self, stage: str, started: float, counts: dict[str, Any], text: str) -> None:
        seconds = time.perf_counter() - started
        self.summary.seconds[stage] = round(seconds, 3)
        self.summary.counts[stage] = counts
        self.progress.finish(f"{text} in {duration(seconds)}")
