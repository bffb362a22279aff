"""The training loop: the curriculum, the average of the weights, resuming after a kill."""

import copy
import json
import math
import time
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from segment_anything.modeling import Sam
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Subset

from samseg.errors import ConfigError
from samseg.lab.pretraining import checkpoint
from samseg.lab.pretraining.contact_sheet import draw_sheet
from samseg.lab.pretraining.examples import Examples, Shape
from samseg.lab.pretraining.objective import Batch, PromptPlan, StepLosses, objective
from samseg.lab.pretraining.optimizer import MatrixOptimizer
from samseg.lab.pretraining.settings import Pretraining, Stage
from samseg.lab.pretraining.sources import open_sources
from samseg.progress import Progress
from samseg.sam.threads import Threads
from samseg.sam.tiny.build import build_tiny
from samseg.sam.weights.load import load_model, resolve_device

_REMEMBERED = 768
"""Embeddings of earlier steps that the loss of kinds looks at."""

_SHOWN = 50
"""Steps that the figures shown are the mean of."""

_CLIP = 1.0


class Trainer:
    """A training run in its output folder."""

    def __init__(self, settings: Pretraining, progress: Progress):
        """Open the sources, make the model, and go on from the last checkpoint if there is one.

        Args:
            settings: the run.
            progress: where it says how far it is.

        Raises:
            ConfigError: the settings do not fit the output folder, or a source is missing.
            CheckpointError: a checkpoint cannot be used.
        """
        self._settings, self._progress = settings, progress
        self._folder = Path(settings.output)
        self._device = resolve_device(settings.device)
        self._sources, self._shares = open_sources(settings)
        torch.manual_seed(settings.seed)
        self.model = build_tiny() if settings.start is None else load_model(settings.start)
        self.model.to(self._device, memory_format=torch.channels_last)
        self._parameters = [p for p in self.model.parameters() if p.requires_grad]
        self._optimizer = MatrixOptimizer(self._parameters, settings.weight_decay)
        average = get_ema_multi_avg_fn(settings.ema)
        self._average = AveragedModel(self.model, multi_avg_fn=average, use_buffers=True)
        self._known: deque[tuple[Tensor, Tensor]] = deque()
        self._step = 0
        self._folder.mkdir(parents=True, exist_ok=True)
        self._resume()

    @property
    def averaged(self) -> Sam:
        """The average of the weights, in evaluation mode: what the run is for."""
        model: Sam = self._average.module
        return model.eval()

    def run(self) -> None:
        """Train until the curriculum ends."""
        settings = self._settings
        threads = Threads(torch.get_num_threads() if self._device.type == "cpu" else 1)
        self._progress.start("pretrain", settings.steps, "steps")
        shown: deque[dict[str, float]] = deque(maxlen=_SHOWN)
        saved = time.monotonic()
        for stage, batch in self._batches():
            shown.append(self._take_step(stage, batch, threads))
            self._step += 1
            self._progress.update(self._step, _line(stage, shown))
            if self._step % _SHOWN == 0:
                self._note({"step": self._step, "window": stage.window, **_means(shown)})
            if self._step % settings.sheet_every == 0:
                draw_sheet(self.averaged, batch, self._folder / "sheets" / f"{self._step:07d}.jpg")
            if time.monotonic() - saved > settings.checkpoint_every_s:
                self._save()
                saved = time.monotonic()
        self._save()
        self._progress.finish(f"{self._step} steps; {_line(settings.stages[-1], shown)}")

    def _take_step(self, stage: Stage, batch: Batch, threads: Threads) -> dict[str, float]:
        self.model.train()
        if stage.freeze_norm:
            for module in self.model.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        round_ = self._round()
        parts = [
            {name: tensor[i :: threads.n] for name, tensor in batch.items()}
            for i in range(min(threads.n, len(batch["image"])))
        ]
        known = self._remembered()
        models = _sharing_parameters(self.model, len(parts))

        def work(model: Sam, part: Batch) -> tuple[StepLosses, tuple[Tensor | None, ...]]:
            here = {name: t.to(self._device, non_blocking=True) for name, t in part.items()}
            outcome = objective(model, here, round_, self._settings.weights, known)
            grads = torch.autograd.grad(outcome.loss, self._parameters, allow_unused=True)
            return outcome, grads

        done = threads.map(lambda pair: work(*pair), list(zip(models, parts, strict=True)))
        _average_norms(models)
        for i, parameter in enumerate(self._parameters):
            of_parts = [grad for _, grads in done if (grad := grads[i]) is not None]
            parameter.grad = torch.stack(of_parts).sum(0) / len(done) if of_parts else None
        nn.utils.clip_grad_norm_(self._parameters, _CLIP)
        self._optimizer.step(self._learning_rate())
        self._average.update_parameters(self.model)
        for outcome, _ in done:
            self._known.append((outcome.embeddings, outcome.kinds))
        while sum(len(kinds) for _, kinds in self._known) > _REMEMBERED:
            self._known.popleft()
        return _mean([outcome.figures for outcome, _ in done])

    def _round(self) -> PromptPlan:
        """Draw how the prompts of this step are given."""
        box, corrected = np.random.default_rng([self._settings.seed, 2, self._step]).random(2)
        one, two = self._settings.corrections
        corrections = 2 if corrected < two else int(corrected < one + two)
        return PromptPlan(bool(box < self._settings.boxes), corrections, seed=self._step)

    def _learning_rate(self) -> float:
        settings = self._settings
        height = settings.learning_rate * min(1.0, (self._step + 1) / max(1, settings.warmup))
        return height * (0.505 + 0.495 * math.cos(math.pi * self._step / settings.steps))

    def _remembered(self) -> tuple[Tensor, Tensor]:
        if not self._known:
            width = self.model.prompt_encoder.embed_dim
            return torch.zeros(0, width, device=self._device), torch.zeros(
                0, dtype=torch.int64, device=self._device
            )
        return torch.cat([e for e, _ in self._known]), torch.cat([k for _, k in self._known])

    def _batches(self) -> Iterator[tuple[Stage, Batch]]:
        """Yield the batches from the present step on: what they are depends on the step alone."""
        settings, begun = self._settings, 0
        for number, stage in enumerate(settings.stages):
            skipped = min(max(0, self._step - begun), stage.steps)
            begun += stage.steps
            taught = settings.teacher is not None
            shape = Shape(stage.window, stage.clicks, settings.uses, taught)
            length = stage.steps * stage.pictures
            examples = Examples(
                self._sources, self._shares, shape, length, settings.seed * 1000 + number
            )
            rest = Subset(examples, range(skipped * stage.pictures, length))
            if len(rest):
                for batch in DataLoader(
                    rest,
                    stage.pictures,
                    num_workers=settings.loaders,
                    prefetch_factor=2 if settings.loaders else None,
                    pin_memory=self._device.type == "cuda",
                ):
                    yield stage, batch

    def _resume(self) -> None:
        """Go on from the checkpoint; settings that shape the run must be what they were."""
        now = self._settings.model_dump(mode="json", exclude={"device", "loaders", "output"})
        state = checkpoint.load(self._folder / "checkpoint.pt")
        if state is not None:
            before = yaml.safe_load((self._folder / "settings.yaml").read_text())
            other = sorted(key for key in now if now[key] != before.get(key))
            if other:
                raise ConfigError(
                    f"{self._folder} holds a run with other {', '.join(other)}; use another "
                    "output, or delete the folder"
                )
            self.model.load_state_dict(state["model"])
            self._average.load_state_dict(state["average"])
            self._optimizer.load_state_dict(state["optimizer"])
            self._step = state["step"]
            self._known.extend(state["known"])
            self._progress.note(f"going on from step {self._step}")
        (self._folder / "settings.yaml").write_text(yaml.safe_dump(now, sort_keys=False))

    def _save(self) -> None:
        state: Mapping[str, Any] = {
            "step": self._step,
            "model": self.model.state_dict(),
            "average": self._average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "known": list(self._known),
        }
        checkpoint.save(self._folder / "checkpoint.pt", state)

    def _note(self, figures: Mapping[str, float]) -> None:
        with (self._folder / "metrics.jsonl").open("a") as f:
            f.write(json.dumps({**figures, "learning_rate": self._learning_rate()}) + "\n")


def _sharing_parameters(model: Sam, n: int) -> list[Sam]:
    """Return the model and n - 1 copies: threads may not write into the same running statistics."""
    shared = {id(p): p for p in model.parameters()}
    return [model, *(copy.deepcopy(model, dict(shared)) for _ in range(n - 1))]


def _average_norms(models: list[Sam]) -> None:
    """Give the first model the mean of the running statistics of all of them."""
    if len(models) == 1:
        return
    for alike in zip(*(model.modules() for model in models), strict=True):
        if isinstance(alike[0], nn.BatchNorm2d):
            for name in ("running_mean", "running_var"):
                own = getattr(alike[0], name)
                own.copy_(torch.stack([getattr(norm, name) for norm in alike]).mean(0))


def _mean(of: list[dict[str, float]]) -> dict[str, float]:
    names = {name for figures in of for name in figures}
    return {
        name: sum(f[name] for f in of if name in f) / sum(name in f for f in of) for name in names
    }


def _means(shown: deque[dict[str, float]]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in sorted(_mean(list(shown)).items())}


def _line(stage: Stage, shown: deque[dict[str, float]]) -> str:
    means = _mean(list(shown))
    names = ("mask", "iou", "kind", "patches", "features", "best", "chosen", "corrected")
    said = " ".join(f"{name} {means[name]:.3f}" for name in names if name in means)
    return f"{stage.window} px; {said}"
