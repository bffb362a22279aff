"""Whether a device has bfloat16, from what PyTorch says of it."""

import pytest
import torch

from samseg.sam.precision import has_bfloat16


def test_of_this_cpu():
    """oneDNN says what it has code for."""
    capable = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    assert has_bfloat16(torch.device("cpu")) is capable


def test_a_build_without_onednn_has_none(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert not has_bfloat16(torch.device("cpu"))


@pytest.mark.parametrize("native", [True, False])
def test_emulation_on_a_gpu_does_not_count(monkeypatch, native):
    def supported(including_emulation=True):
        return including_emulation or native

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert has_bfloat16(torch.device("cuda")) is native


def test_other_devices_are_taken_to_have_none():
    assert not has_bfloat16(torch.device("meta"))
