"""The training loop, with weight averaging and resumable checkpoints."""

import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import yaml
from segment_anything.modeling import Sam
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Subset

from samseg.backbones import efficientnet_lite0
from samseg.errors import ConfigError
from samseg.lab.pretraining import checkpoint
from samseg.lab.pretraining.contact_sheet import draw_sheet
from samseg.lab.pretraining.curriculum import Curriculum
from samseg.lab.pretraining.examples import Examples, Shape
from samseg.lab.pretraining.likeness import TrunkLikeness
from samseg.lab.pretraining.objective import Batch, PromptPlan, StepLosses, objective
from samseg.lab.pretraining.optimizer import MatrixOptimizer, parameter_groups, rate_shares
from samseg.lab.pretraining.replicas import average_norms, replicate
from samseg.lab.pretraining.running_means import RunningMeans, mean_of
from samseg.lab.pretraining.settings import Pretraining, Stage
from samseg.lab.pretraining.sources import open_sources
from samseg.progress import Progress
from samseg.sam.network.tf32 import tf32_products
from samseg.sam.threads import Threads
from samseg.sam.tiny.build import build_tiny
from samseg.sam.tiny.lite0_encoder import Lite0Encoder
from samseg.sam.weights.load import load_model, resolve_device

WEIGHTS = "weights.safetensors"
"""Name of the file with the averaged weights, in the output folder."""

_MEMORY = 768
"""Embeddings of earlier steps that the loss of kinds uses."""

_LOG_EVERY = 50
"""Steps between lines of `metrics.jsonl`."""

_PROGRESS_EVERY_S = 2.0
"""Seconds between progress lines: reading the figures synchronises the GPU."""

_CLIP = 1.0


class Trainer:
    """A training run in its output folder."""

    def __init__(self, settings: Pretraining, progress: Progress, folder: Path | None = None):
        """Open the sources, build the model, and resume from the last checkpoint if there is one.

        Args:
            settings: the run; `then` is not followed.
            progress: receives the number of steps done.
            folder: receives checkpoint, figures and weights; `settings.output` by default.

        Raises:
            ConfigError: the output folder belongs to other settings, or a source is missing.
            CheckpointError: a checkpoint cannot be used.
        """
        self._settings, self._progress = settings, progress
        self._folder = folder or Path(settings.output)
        self._device = resolve_device(settings.device)
        cv2.setNumThreads(1)  # the forked loaders share the cores
        self._sources, self._shares = open_sources(settings)
        torch.manual_seed(settings.seed)
        self.model = _initial_model(settings)
        self.model.to(self._device, memory_format=torch.channels_last)
        self._groups = parameter_groups(self.model)
        self._parameters: list[nn.Parameter] = []  # trained in the current stage
        self._optimizer = MatrixOptimizer(self._groups, settings.weight_decay)
        average = _warmed_up_average(settings.ema)
        self._average = AveragedModel(self.model, multi_avg_fn=average, use_buffers=True)
        self._trunk = TrunkLikeness().to(self._device) if settings.weights.likeness else None
        self._curriculum = Curriculum(settings)
        self._known: deque[tuple[Tensor, Tensor]] = deque()
        self._step = 0
        self._folder.mkdir(parents=True, exist_ok=True)
        self._resume()

    @property
    def steps(self) -> int:
        """Steps taken."""
        return self._step

    @property
    def averaged(self) -> Sam:
        """The averaged model, in evaluation mode; this is what the run exports."""
        model: Sam = self._average.module
        return model.eval()

    def run(self) -> str:
        """Train until the curriculum ends.

        Returns:
            The sha256 of the exported weights.
        """
        # Shapes stay the same within a stage. Trying more than 3 algorithms takes 20 s per stage.
        tuned = torch.backends.cudnn.flags(enabled=True, benchmark=True, benchmark_limit=3)
        with tuned, tf32_products():
            return self._run()

    def _run(self) -> str:
        settings = self._settings
        threads = Threads(torch.get_num_threads() if self._device.type == "cpu" else 1)
        self._progress.start("pretrain", settings.steps, "steps")
        figures = RunningMeans()
        saved = reported = time.monotonic()
        for stage, batch in self._batches():
            figures.append(self._take_step(stage, batch, threads))
            self._step += 1
            self._curriculum.count()
            if time.monotonic() - reported > _PROGRESS_EVERY_S:
                reported = time.monotonic()
                self._progress.update(self._step, f"{stage.window} px; {figures}")
            if self._step % _LOG_EVERY == 0:
                self._log({"step": self._step, "window": stage.window, **figures.rounded()})
            if self._step % settings.sheet_every == 0:
                draw_sheet(self.averaged, batch, self._folder / "sheets" / f"{self._step:07d}.jpg")
            if time.monotonic() - saved > settings.checkpoint_every_s:
                self._save()
                saved = time.monotonic()
        sha256 = self._save()
        window = settings.stages[-1].window
        self._progress.finish(f"{self._step} steps; {window} px; {figures}")
        return sha256

    def _take_step(self, stage: Stage, batch: Batch, threads: Threads) -> dict[str, Tensor]:
        self.model.train()
        if stage.freeze_norm:
            for module in self.model.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        plan = self._prompt_plan()
        parts = [
            {name: tensor[i :: threads.n] for name, tensor in batch.items()}
            for i in range(min(threads.n, len(batch["image"])))
        ]
        known = self._known_embeddings()
        models = replicate(self.model, len(parts))

        def work(model: Sam, part: Batch) -> tuple[StepLosses, tuple[Tensor | None, ...]]:
            here = {name: t.to(self._device, non_blocking=True) for name, t in part.items()}
            outcome = objective(model, here, plan, self._settings.weights, known, self._trunk)
            grads = torch.autograd.grad(outcome.loss, self._parameters, allow_unused=True)
            return outcome, grads

        done = threads.map(lambda pair: work(*pair), list(zip(models, parts, strict=True)))
        average_norms(models)
        for i, parameter in enumerate(self._parameters):
            of_parts = [grad for _, grads in done if (grad := grads[i]) is not None]
            parameter.grad = sum(of_parts[1:], of_parts[0]) / len(done) if of_parts else None
        nn.utils.clip_grad_norm_(self._parameters, _CLIP)
        rate = self._curriculum.learning_rate(self._step)
        self._optimizer.step({name: rate * share for name, share in rate_shares(stage).items()})
        self._average.update_parameters(self.model)
        for outcome, _ in done:
            self._known.append((outcome.embeddings, outcome.kinds))
        while sum(len(kinds) for _, kinds in self._known) > _MEMORY:
            self._known.popleft()
        return mean_of([outcome.figures for outcome, _ in done])

    def _prompt_plan(self) -> PromptPlan:
        """Draw the kinds of prompts of this step."""
        box, corrected = np.random.default_rng([self._settings.seed, 2, self._step]).random(2)
        one, two = self._settings.corrections
        corrections = 2 if corrected < two else int(corrected < one + two)
        return PromptPlan(bool(box < self._settings.boxes), corrections, seed=self._step)

    def _known_embeddings(self) -> tuple[Tensor, Tensor]:
        if not self._known:
            width = self.model.prompt_encoder.embed_dim
            return torch.zeros(0, width, device=self._device), torch.zeros(
                0, dtype=torch.int64, device=self._device
            )
        return torch.cat([e for e, _ in self._known]), torch.cat([k for _, k in self._known])

    def _batches(self) -> Iterator[tuple[Stage, Batch]]:
        """Yield the remaining batches; a batch depends only on its step, so a run can resume."""
        settings, curriculum = self._settings, self._curriculum
        while curriculum.stage < len(settings.stages):
            number, stage = curriculum.stage, settings.stages[curriculum.stage]
            self._choose_parameters(stage)
            distilled = settings.teacher is not None
            shape = Shape(stage.window, stage.clicks, settings.uses, distilled)
            length = stage.steps * stage.pictures
            examples = Examples(
                self._sources, self._shares, shape, length, settings.seed * 1000 + number
            )
            rest = Subset(examples, range(curriculum.step * stage.pictures, length))
            loader = DataLoader(
                rest,
                stage.pictures,
                num_workers=settings.loaders,
                prefetch_factor=2 if settings.loaders else None,
                pin_memory=self._device.type == "cuda",
            )
            batches = iter(loader) if len(rest) else iter(())
            while not curriculum.is_over():
                yield stage, next(batches)
            del batches  # ends the loaders before the next stage starts its own
            curriculum.advance()

    def _choose_parameters(self, stage: Stage) -> None:
        """Train the groups of weights whose learning rate is not 0."""
        self._parameters = []
        for name, share in rate_shares(stage).items():
            for parameter in self._groups[name]:
                parameter.requires_grad_(share > 0)
                parameter.grad = None
            if share:
                self._parameters += self._groups[name]

    def _resume(self) -> None:
        """Go on from the checkpoint; settings that shape the run must be what they were."""
        now = self._settings.model_dump(
            mode="json", exclude={"device", "loaders", "output", "then"}
        )
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
            self._curriculum.load_state_dict(state["curriculum"])
            self._known.extend(state["known"])
            self._progress.note(f"going on from step {self._step}")
        (self._folder / "settings.yaml").write_text(yaml.safe_dump(now, sort_keys=False))

    def _save(self) -> str:
        """Write the checkpoint and the averaged weights; return the sha256 of the weights."""
        state: Mapping[str, Any] = {
            "step": self._step,
            "curriculum": self._curriculum.state_dict(),
            "model": self.model.state_dict(),
            "average": self._average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "known": list(self._known),
        }
        checkpoint.save(self._folder / "checkpoint.pt", state)
        recommended = self._settings.recommended
        return checkpoint.export(self.averaged, self._folder / WEIGHTS, recommended)

    def _log(self, figures: Mapping[str, float]) -> None:
        with (self._folder / "metrics.jsonl").open("a") as f:
            rate = self._curriculum.learning_rate(self._step)
            f.write(json.dumps({**figures, "learning_rate": rate}) + "\n")


def _initial_model(settings: Pretraining) -> Sam:
    """Return the model before the first step."""
    if settings.start is not None:
        return load_model(settings.start)
    model = build_tiny(encoder=Lite0Encoder)
    model.image_encoder.trunk.load_state_dict(efficientnet_lite0.load().state_dict())
    if settings.decoder is not None:
        given = load_model(settings.decoder)
        model.prompt_encoder.load_state_dict(given.prompt_encoder.state_dict())
        model.mask_decoder.load_state_dict(given.mask_decoder.state_dict())
    return model


def _warmed_up_average(
    decay: float,
) -> Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | int], None]:
    """Return an exponential moving average for `AveragedModel`, over fewer steps at the start."""

    def average(averaged: Sequence[Tensor], weights: Sequence[Tensor], n: Tensor | int) -> None:
        current = min(decay, float((1 + n) / (10 + n)))
        get_ema_multi_avg_fn(current)(averaged, weights, n)

    return average
