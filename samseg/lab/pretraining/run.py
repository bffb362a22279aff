"""A whole run: the teacher where there is one, the training, the weights."""

from dataclasses import dataclass
from pathlib import Path

from samseg.lab.pretraining import checkpoint
from samseg.lab.pretraining.curve import draw_curve
from samseg.lab.pretraining.settings import Pretraining
from samseg.lab.pretraining.teacher import teach
from samseg.lab.pretraining.trainer import Trainer
from samseg.progress import Progress


@dataclass(frozen=True, slots=True)
class Trained:
    """What a run ended with.

    Attributes:
        weights: the file.
        sha256: its digest.
        steps: optimizer steps.
    """

    weights: str
    sha256: str
    steps: int


def pretrain(settings: Pretraining, progress: Progress) -> Trained:
    """Train to the end, or go on where a killed run was; see `Trainer` for what may be raised."""
    folder = Path(settings.output)
    if settings.teacher:
        teach(settings.teacher, folder / "teacher", progress)
    trainer = Trainer(settings, progress)
    trainer.run()
    weights = folder / "weights.safetensors"
    sha256 = checkpoint.export(trainer.averaged, weights, settings.recommended)
    draw_curve(folder / "metrics.jsonl", folder / "curve.png")
    progress.note(f"next: samseg eval masks FOLDER --model {weights}")
    return Trained(str(weights), sha256, settings.steps)
