"""A complete training run: labelling, training, export of the weights."""

from dataclasses import dataclass
from pathlib import Path

from samseg.lab.pretraining.curve import draw_curve
from samseg.lab.pretraining.examples import INPUT
from samseg.lab.pretraining.pack import pack
from samseg.lab.pretraining.self_labels import label_photos
from samseg.lab.pretraining.settings import Pretraining
from samseg.lab.pretraining.teacher import teach
from samseg.lab.pretraining.trainer import WEIGHTS, Trainer
from samseg.progress import Progress


@dataclass(frozen=True, slots=True)
class Trained:
    """Result of a run.

    Attributes:
        weights: path of the weights file.
        sha256: its digest.
        steps: optimizer steps taken by the last run.
    """

    weights: str
    sha256: str
    steps: int


def pretrain(settings: Pretraining, progress: Progress) -> Trained:
    """Train to the end, resuming an interrupted run; raises what `Trainer` raises.

    The last run of `settings.then` writes to `settings.output`, and the runs before it to folders
    in it named `run-1`, `run-2` and so on.
    """
    folder = Path(settings.output)
    _label(settings, progress)
    if settings.teacher:
        teach(settings.teacher, folder / "teacher", progress)
    *earlier, last = settings.runs()
    start = settings.start
    for i, run in enumerate(earlier, 1):
        start = _train(run, start, folder / f"run-{i}", progress).weights
    trained = _train(last, start, folder, progress)
    progress.note(f"next: samseg eval masks FOLDER --model {trained.weights}")
    return trained


def _train(settings: Pretraining, start: str | None, folder: Path, progress: Progress) -> Trained:
    trainer = Trainer(settings.model_copy(update={"start": start}), progress, folder)
    sha256 = trainer.run()
    draw_curve(folder / "metrics.jsonl", folder / "curve.png")
    return Trained(str(folder / WEIGHTS), sha256, trainer.steps)


def pack_photos(settings: Pretraining, path: Path, progress: Progress) -> int:
    """Pack the photos that a run would train on into a tar file; return how many.

    Raises:
        ConfigError: a photo set cannot be used.
    """
    _label(settings, progress)
    return pack(settings.photo_sets, path, longest=INPUT // 2)


def _label(settings: Pretraining, progress: Progress) -> None:
    own = settings.photo_sets[len(settings.photos) :]
    for photos, labelled in zip(settings.unlabelled, own, strict=True):
        label_photos(Path(photos.folder), Path(labelled.folder), progress)
