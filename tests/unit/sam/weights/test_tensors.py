"""Contents of weight files, in the formats of torch and of safetensors."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from samseg.sam.weights.tensors import safetensors_metadata, tensor_digest

TENSORS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(1), "n": torch.tensor(3)}


def test_the_digest_depends_on_contents_alone(tmp_path):
    renamed = {"z": TENSORS["b"], "y": TENSORS["n"], "x": TENSORS["a"]}
    save_file(TENSORS, tmp_path / "a.safetensors", metadata={"arch": "tiny"})
    save_file(renamed, tmp_path / "b.safetensors")
    torch.save(TENSORS, tmp_path / "c.pth")
    halves = {k: t.half() if t.is_floating_point() else t for k, t in TENSORS.items()}
    save_file(halves, tmp_path / "d.safetensors")
    files = sorted(tmp_path.iterdir())
    assert len({tensor_digest(file, "F32") for file in files}) == 1
    assert tensor_digest(files[3]) != tensor_digest(files[0])
    assert [bool(safetensors_metadata(file)) for file in files] == [True, False, False, False]
    torch.save(TENSORS | {"b": torch.zeros(1)}, tmp_path / "other.pth")
    assert tensor_digest(tmp_path / "other.pth") != tensor_digest(files[0])


@pytest.mark.parametrize("content", [b"", b"not a weight file", np.arange(9).tobytes()])
def test_other_files_have_none(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    assert tensor_digest(path) is None and safetensors_metadata(path) == {}
