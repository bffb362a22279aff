"""Embeddings from any model of `timm`, PyTorch Image Models (the extra `samseg[timm]`).

Vision transformers give the tokens of their patches after the last normalisation, at any image
size; all other models their feature maps. DINOv2 is what a GPU cluster should use.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from samseg.errors import CheckpointError, ConfigError, one_line
from samseg.features.network import EmbeddingName, EmbeddingSpec, FeatureNetwork

if TYPE_CHECKING:
    from torch import Tensor

    from samseg.features.dense import DenseNetwork

_TRIAL_PATCHES = 8
"""Patches along one side of the image that a model is tried on."""


class _Created(NamedTuple):
    """A model with its weights.

    Attributes:
        model: the module.
        maps: from images to the maps of the chosen layers, first to last.
        layers: `num_chs` and `reduction` of each.
    """

    model: Any
    maps: "Callable[[Tensor], Sequence[Tensor]]"
    layers: "Sequence[Mapping[str, Any]]"


class TimmEmbedding(EmbeddingSpec):
    """Feature maps of a model of `timm`, each normalised to unit length, one after the other.

    Attributes:
        model: its name in `timm`, for example `vit_small_patch14_dinov2.lvd142m`.
        layers: which blocks of a transformer, or feature maps of another model, counted from the
            end where negative; they are taken in the model's order.
        long_side: px that the longer side of an image is scaled to.
        weights: a local file to load (`.safetensors`, or `.pth` read without unpickling code);
            None for the weights that `timm` fetches for this name.
        sha256: digest of that file.
    """

    PLACES: ClassVar[frozenset[str]] = frozenset({"weights", "sha256"})

    kind: Literal["timm"] = "timm"
    name: EmbeddingName = "timm"
    model: str = Field(min_length=1)
    layers: tuple[int, ...] = Field(default=(-1,), min_length=1)
    long_side: int = Field(default=640, ge=32)
    weights: str | None = None
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None

    @model_validator(mode="after")
    def _digest_of_a_file(self) -> "TimmEmbedding":
        if (self.weights is None) != (self.sha256 is None):
            raise ValueError("`weights` and `sha256` go together: the file, and its digest")
        return self

    def digests(self) -> dict[str, str]:
        """See `EmbeddingSpec.digests`; weights that `timm` fetches are identified by content."""
        if self.sha256 is not None:
            self._verified_file()
            return {"weights_sha256": self.sha256}
        return {"weights_sha256": _content_digest(self._created().model)}

    def notice(self) -> str | None:
        """See `EmbeddingSpec.notice`."""
        published = _import_timm().models.get_pretrained_cfg(self.model)
        known = getattr(published, "license", None) or "not known to timm"
        source = self.weights or f"timm's {self.model}"
        if self.weights is None:
            return f"embedding {self.name}: weights of {source}, licence {known}"
        return f"embedding {self.name}: weights of {source}; timm's own are licensed {known}"

    def load(self, device: Literal["cpu", "cuda"]) -> FeatureNetwork:
        """See `EmbeddingSpec.load`."""
        import torch

        if self.sha256 is not None:
            self._verified_file()
        return self._network(torch.device(device))

    def _network(self, device: Any) -> "DenseNetwork":
        """Arrange the model, and try it on an image that is not square."""
        import torch

        from samseg.features.dense import DenseNetwork

        model, maps, layers = self._created()
        model.eval().to(device)
        strides = tuple(int(layer["reduction"]) for layer in layers)
        channels = tuple(int(layer["num_chs"]) for layer in layers)
        side = _TRIAL_PATCHES * max(strides)
        with torch.inference_mode():
            found = [tuple(m.shape) for m in maps(torch.zeros(1, 3, side, 2 * side, device=device))]
        wanted = [(1, c, side // s, 2 * side // s) for c, s in zip(channels, strides, strict=True)]
        if found != wanted:
            raise ConfigError(
                f"embedding {self.name}: {self.model} gives maps of shapes {found} of an image of "
                f"{side} x {2 * side} px, wanted {wanted}; choose a model with dense features"
            )
        config = model.pretrained_cfg
        return DenseNetwork(
            maps=maps,
            strides=strides,
            channels=channels,
            mean=255 * np.array(config["mean"], np.float32),
            std=255 * np.array(config["std"], np.float32),
            long_side=self.long_side,
            device=device,
        )

    def _created(self) -> "_Created":
        """Make the model with its weights."""
        timm = _import_timm()
        if not timm.is_model(self.model.split(".")[0]):
            near = timm.list_models(f"*{self.model.split('.')[0]}*")[:5]
            hint = f"; did you mean one of {', '.join(near)}?" if near else ""
            raise ConfigError(
                f"embedding {self.name}: timm {timm.__version__} has no model {self.model!r}{hint}"
            )
        overlay = {"file": str(self._file())} if self.weights is not None else {}
        try:
            model = self._sized(pretrained=True, pretrained_cfg_overlay=overlay)
        except UnpicklingError:  # its message advises to execute what the file contains
            raise CheckpointError(
                f"embedding {self.name}: {self.model} cannot be made with "
                f"{self.weights or 'the weights that timm fetches for it'}: the file is "
                "damaged, or holds more than tensors; save the state dict alone"
            ) from None
        except (RuntimeError, OSError, ValueError, LookupError) as e:
            source = self.weights or "the weights that timm fetches for it"
            raise CheckpointError(
                f"embedding {self.name}: {self.model} cannot be made with {source}: {one_line(e)}"
                + ("" if self.weights else "; for weights in a file set `weights` and `sha256`")
            ) from e
        layers = self._positions(len(model.feature_info))

        def maps(images: "Tensor") -> "Sequence[Tensor]":
            found: Sequence[Tensor] = model.forward_intermediates(
                images, indices=layers, norm=True, intermediates_only=True, output_fmt="NCHW"
            )
            return found

        return _Created(model, maps, [model.feature_info[i] for i in layers])

    def _sized(self, **arguments: Any) -> Any:
        """Make the model, a transformer so that it takes images of any size."""
        create = _import_timm().create_model
        try:
            return create(self.model, dynamic_img_size=True, **arguments)
        except TypeError:  # networks that take any size do not know the argument
            return create(self.model, **arguments)

    def _positions(self, count: int) -> list[int]:
        """Return the chosen ones of `count` layers, first to last."""
        if any(not -count <= i < count for i in self.layers):
            raise ConfigError(
                f"embedding {self.name}: {self.model} has {count} layers, and `layers` is "
                f"{list(self.layers)}"
            )
        return sorted({i % count for i in self.layers})

    def _verified_file(self) -> Path:
        from samseg.sam.weights.digest import sha256_of

        path = self._file()
        if (found := sha256_of(path)) != self.sha256:
            raise CheckpointError(
                f"{self.weights} has sha256 {found}, wanted {self.sha256}; give the right file, "
                f"or the right `sha256` of the embedding {self.name}"
            )
        return path

    def _file(self) -> Path:
        path = Path(str(self.weights)).expanduser()
        if not path.is_file():
            raise CheckpointError(
                f"embedding {self.name}: there is no file {path.absolute()}; set `weights` to "
                f"where the file with sha256 {self.sha256} is now"
            )
        return path


def _import_timm() -> Any:
    try:
        import timm
    except ImportError as e:
        raise ConfigError(
            "embeddings of kind timm need the package timm: pip install 'samseg[timm]'"
        ) from e
    return timm


def _content_digest(model: Any) -> str:
    """Return the sha256 of a model's tensors, by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
