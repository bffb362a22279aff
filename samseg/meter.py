"""Counts of images and masks from the engine's heartbeats and results, for a progress display."""

import logging
from typing import TYPE_CHECKING

from samseg.engine.protocol import Heartbeat, Workers
from samseg.progress import Progress

if TYPE_CHECKING:
    from samseg.stages.describe.stage import DescribeEvent
    from samseg.stages.embed.stage import EmbedEvent

_log = logging.getLogger(__name__)


class Meter:
    """Counts images and masks from the engine's events and shows them."""

    def __init__(self, progress: Progress):
        """Start at zero, before there are workers."""
        progress.update(0, "starting workers")
        self._progress = progress
        self._running: dict[str, Heartbeat] = {}
        self._images = self._masks = self._failed = 0

    def __call__(self, event: "EmbedEvent | DescribeEvent") -> None:
        """Count one event."""
        if isinstance(event, Workers):
            if not event.ready:
                self._progress.update(0, f"starting {event.starting} workers")
            return
        if isinstance(event, Heartbeat):
            self._running[event.task_id] = event
        else:
            self._running.pop(event.task.id, None)
            if event.value:
                self._images += event.value.images
                self._failed += event.value.failed
                self._masks += event.value.masks
                _log.info(
                    "shard %s: %d images, %d masks",
                    event.task.id,
                    event.value.images,
                    event.value.masks,
                )
            else:
                self._progress.note(
                    f"shard {event.task.id} given up: "
                    + (event.failures[-1] if event.failures else "cause unknown")
                )
        running = self._running.values()
        images = self._images + sum(_images(heartbeat) for heartbeat in running)
        masks = self._masks + sum(heartbeat.counts["masks"] for heartbeat in running)
        detail = f"{masks} masks" + (f", {self._failed} failed" if self._failed else "")
        self._progress.update(images, detail)


def _images(heartbeat: Heartbeat) -> int:
    """Return the images of a shard that are done."""
    return heartbeat.counts["images"] if heartbeat.index is None else heartbeat.index
