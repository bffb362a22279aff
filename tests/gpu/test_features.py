"""Named embeddings: the GPU gives what the CPU gives."""

import numpy as np
import pytest

from samseg.features import EfficientNetLite0Embedding, Embedder


@pytest.mark.parametrize("long_side", [640, 1024])
def test_embeddings_are_the_cpu_s(scenes, long_side, relative_error):
    spec = EfficientNetLite0Embedding(long_side=long_side)
    on_cpu, on_gpu = (Embedder.load(spec, device) for device in ("cpu", "cuda"))
    for pixels in scenes:
        h, w = pixels.shape[:2]
        masks = np.zeros((3, h, w), dtype=bool)
        masks[0, : h // 2] = masks[1, :, w // 3 :] = masks[2, 40:48, 50:60] = True
        found = on_gpu.embed(pixels, masks)
        assert found.statuses == ("ok",) * 3
        assert relative_error(found.vectors, on_cpu.embed(pixels, masks).vectors) < 1e-4
