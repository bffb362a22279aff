"""Evaluations of labelled sets, and of an output folder against labels of its images."""

from collections.abc import Sequence
from pathlib import Path

from samseg.errors import ConfigError
from samseg.lab.evaluation.classes.automatic import segmented
from samseg.lab.evaluation.classes.coco_truth import CocoTruth
from samseg.lab.evaluation.classes.evaluated import Evaluated
from samseg.lab.evaluation.classes.measure import fitted, score
from samseg.lab.evaluation.classes.oracle import true_masks, with_oracle
from samseg.lab.evaluation.classes.output_masks import of_output, read_masks
from samseg.lab.evaluation.classes.picture import check_format, write_picture
from samseg.lab.evaluation.classes.record import ClassEvaluation, ClassProtocol, ClassScores
from samseg.lab.evaluation.classes.rows import Compared
from samseg.lab.evaluation.classes.truth import LabelledTruth, LabelSource
from samseg.lab.labelled import LabelledSet
from samseg.output import Output
from samseg.progress import Progress


def evaluate(
    folders: Sequence[Path],
    compared: Compared,
    protocol: ClassProtocol,
    progress: Progress,
    work: Path | None = None,
    picture: Path | None = None,
) -> ClassEvaluation:
    """Evaluate classes on labelled sets.

    Args:
        folders: the sets.
        compared: embeddings and the fit.
        protocol: what is evaluated, and how often.
        progress: where progress is shown.
        work: where automatic masks are kept; None for the true segments as masks.
        picture: where to draw the classes of the last row; `-{set}` is added to the name where
            there are several sets.

    Raises:
        ConfigError: a set is invalid, or has fewer than two categories with enough segments;
            raised before any network runs.
    """
    if picture is not None:
        check_format(picture)
    for folder in folders:
        if (folder / "recipe.json").is_file():
            raise ConfigError(
                f"{folder} is an output folder; give the labels of its images with --truth"
            )
    sets = [LabelledSet(folder) for folder in folders]
    chosen = [true_masks(labelled, protocol, progress) for labelled in sets]
    scores = []
    for labelled, masks in zip(sets, chosen, strict=True):
        if work is None:
            found = with_oracle(labelled, masks, compared, progress)
        else:
            output = segmented(labelled, compared, work, protocol, progress)
            found = _of_output(output, LabelledTruth(labelled), None, compared, protocol, progress)
        path = picture
        if picture is not None and len(sets) > 1:
            path = picture.with_stem(f"{picture.stem}-{labelled.folder.resolve().name}")
        scores.append(_scored(found, protocol, progress, path))
    return ClassEvaluation(protocol=protocol, sets=tuple(scores))


def evaluate_output(
    uri: str,
    truth: Path,
    codebook: int | None,
    compared: Compared,
    protocol: ClassProtocol,
    progress: Progress,
    picture: Path | None = None,
) -> ClassEvaluation:
    """Evaluate the classes and embeddings of an output folder.

    Args:
        uri: of the folder.
        truth: a COCO file, or the folder of a labelled set, of its images.
        codebook: version; None for the newest.
        compared: the fit; of embeddings, those that the folder has.
        protocol: what is evaluated, and how often.
        progress: where progress is shown.
        picture: where to draw the classes of the last row.

    Raises:
        CodebookError: there is no such codebook.
        ConfigError: the labels are invalid, or do not match the images.
    """
    if picture is not None:
        check_format(picture)
    output = Output.existing(uri)
    labels: LabelSource = LabelledTruth(LabelledSet(truth)) if truth.is_dir() else CocoTruth(truth)
    found = _of_output(output, labels, codebook, compared, protocol, progress)
    return ClassEvaluation(protocol=protocol, sets=(_scored(found, protocol, progress, picture),))


def _of_output(
    output: Output,
    truth: LabelSource,
    codebook: int | None,
    compared: Compared,
    protocol: ClassProtocol,
    progress: Progress,
) -> Evaluated:
    found = read_masks(output, truth, codebook, protocol)
    if found.missing:
        first = ", ".join(found.missing[:5])
        progress.note(
            f"{len(found.missing)} of {len(truth.photos)} photos of {truth.name} are left out, "
            f"because {output.uri} has no such image, or no classes for it yet: {first}"
            + (", ..." if len(found.missing) > 5 else "")
        )
    return of_output(found, truth, compared, progress)


def _scored(
    found: Evaluated, protocol: ClassProtocol, progress: Progress, picture: Path | None
) -> ClassScores:
    class_ids = [fitted(found.masks, row) for row in found.rows]
    scores = score(found, class_ids, protocol, progress)
    if picture is not None:
        write_picture(found, found.rows[-1], class_ids[-1], picture)
        progress.note(f"picture of {found.rows[-1].name}: {picture}")
    return scores
