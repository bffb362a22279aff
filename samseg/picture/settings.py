"""Settings of one picture, given as `section.key=value` like those of a night."""

from collections.abc import Sequence

from samseg.clustering import Clustering
from samseg.clustering.picture import SEED
from samseg.config import parse_as
from samseg.pooling import MaskMean, Pooling
from samseg.readers.decode import DecodePolicy
from samseg.sam.settings import MaskSettings, ModelSpec
from samseg.spec import Spec


class PictureClusters(Spec):
    """How the masks of one picture are grouped into classes; see `samseg.cluster`.

    Attributes:
        fit: the clustering strategy.
        center: subtract the mean embedding first.
    """

    fit: Clustering = SEED
    center: bool = False


class PictureSettings(Spec):
    """Sections of a night's config that concern one picture, with the seed's recipe of classes.

    Attributes:
        decode: how the file becomes pixels.
        model: the checkpoint and its device.
        masks: automatic mask generation; settings that are left out take the checkpoint's values.
        pooling: how features become the embedding of a mask.
        cluster: how embeddings become classes.
    """

    decode: DecodePolicy = DecodePolicy()
    model: ModelSpec = ModelSpec()
    masks: MaskSettings = MaskSettings()
    pooling: Pooling = MaskMean()
    cluster: PictureClusters = PictureClusters()

    @classmethod
    def of(cls, overrides: Sequence[str]) -> "PictureSettings":
        """Apply `section.key=value` overrides.

        Raises:
            ConfigError: an override is not of this form, or mistaken.
        """
        defaults = {"cluster": {"fit": SEED.model_dump()}}
        return parse_as(cls, defaults, overrides, source="samseg segment")
