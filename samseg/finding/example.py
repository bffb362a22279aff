"""What is searched for: an object of any photo, a mask of the lake, or a class by example."""

from collections.abc import Sequence
from dataclasses import dataclass

from samseg.errors import ConfigError
from samseg.picture.prompt import Prompt


@dataclass(frozen=True, slots=True, eq=False)
class Wanted:
    """An example, as it was asked for.

    Attributes:
        photo: path or URL of an image file, or None.
        prompt: where the object is in it, or None.
        accepted: ids of masks of the lake that show the same.
        rejected: ids of masks that do not.
        name: of the class to keep or to refine, or None.
    """

    photo: str | None
    prompt: Prompt | None
    accepted: tuple[str, ...]
    rejected: tuple[str, ...]
    name: str | None

    @classmethod
    def of(
        cls,
        photo: str | None,
        box: str | None,
        points: Sequence[str],
        labels: Sequence[int],
        accepted: Sequence[str],
        rejected: Sequence[str],
        name: str | None,
    ) -> "Wanted":
        """Read the options of the command.

        Raises:
            ConfigError: a prompt is malformed, or has no photo, or there is no example.
        """
        prompt = Prompt.parse(box, points, labels, None)
        if prompt is not None and photo is None:
            raise ConfigError("--box and --point say where an object is in a PHOTO; give one")
        if photo is not None and prompt is None:
            raise ConfigError(
                f"where is the object in {photo}? Give --box left,top,right,bottom or --point x,y, "
                "in px"
            )
        if photo is None and not accepted and name is None:
            raise ConfigError(
                "there is no example; give a PHOTO with --box or --point, or --mask MASK for a "
                "mask of the lake"
            )
        return cls(photo, prompt, tuple(accepted), tuple(rejected), name)
