import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from samseg.errors import ConfigError
from samseg.picture.mask_prompt import logits_of, read_mask_prompt


def disc(h=60, w=80):
    y, x = np.mgrid[:h, :w]
    return (y - 25) ** 2 + (x - 50) ** 2 < 15**2


@pytest.mark.parametrize("mode", ["L", "1", "RGB", "P", "RGBA"])
def test_a_drawn_mask_becomes_logits_of_the_padded_square(tmp_path, mode):
    mask, path = disc(), tmp_path / "mask.png"
    if mode == "RGBA":  # white everywhere, transparent outside
        pixels = np.full((*mask.shape, 4), 255, np.uint8)
        pixels[..., 3] = mask * 255
        Image.fromarray(pixels).save(path)
    elif mode == "P":
        indexed = Image.fromarray(mask.astype(np.uint8)).convert("P")
        indexed.putpalette([0, 0, 0, 200, 30, 30])
        indexed.save(path)
    else:
        Image.fromarray(mask.astype(np.uint8) * 255).convert(mode).save(path)
    logits = read_mask_prompt(path, (60, 80))
    assert (logits.shape, logits.dtype) == ((1, 256, 256), np.float32)
    assert (logits[0, 192:] < -6).all()  # 60 rows of 80 columns fill 192 of 256
    shown = np.array(Image.fromarray(logits[0, :192] > 0).resize((80, 60)))
    assert (shown & mask).sum() / (shown | mask).sum() > 0.95


@given(h=st.integers(1, 700), w=st.integers(1, 700), value=st.booleans())
def test_a_uniform_mask_fills_exactly_the_photo(h, w, value):
    inside = logits_of(np.full((h, w), value))[0] > 0
    rows, columns = (max(1, round(n * 256 / max(h, w))) for n in (h, w))
    assert inside.sum() == inside[:rows, :columns].sum() == value * rows * columns


@pytest.mark.parametrize("shape", [(256, 256), (1, 256, 256)])
def test_stored_logits_are_taken_unchanged(tmp_path, shape):
    logits = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    np.save(tmp_path / "m.npy", logits)
    read = read_mask_prompt(tmp_path / "m.npy", (60, 80))
    assert np.array_equal(read, logits.reshape(1, 256, 256))


def test_of_three_masks_the_one_with_the_best_score_is_taken(tmp_path):
    logits = np.arange(3, dtype=np.float32)[:, None, None] * np.ones((3, 256, 256), np.float32)
    scores = np.array([0.2, 0.9, 0.5])
    np.savez(tmp_path / "m.npz", logits=logits, predicted_iou=scores)
    assert (read_mask_prompt(tmp_path / "m.npz", (60, 80)) == 1).all()


def write(path, content):
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif path.suffix == ".npy":
        np.save(path, content)
    elif path.suffix == ".npz":
        np.savez(path, **content)
    elif content is not None:
        Image.fromarray(content).save(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.png", None, r"--mask: cannot read the image .*none\.png: No such file"),
        ("m.png", b"text", r"--mask: cannot read the image .*m\.png: not an image"),
        ("m.png", np.ones((8, 9), np.uint8), r"m\.png is 9 x 8 px, wanted the photo's 80 x 60 px"),
        ("m.png", np.zeros((60, 80), np.uint8), r"m\.png is black"),
        ("m.npz", b"text", r"cannot read logits from --mask .*m\.npz"),
        ("m.npz", b"PK\x03\x04 damaged", r"cannot read logits from --mask .*m\.npz"),
        ("m.npz", {"masks": np.ones(3)}, r"cannot read logits .*wanted the \.npz of a prompt"),
        ("m.npy", b"text", r"cannot read logits from --mask .*m\.npy"),
        ("m.npy", np.ones((3, 256, 256)), r"logits of shape \(3, 256, 256\), wanted \(1, 256"),
        ("m.npy", np.full((256, 256), np.nan), r"wanted \(1, 256, 256\), finite"),
    ],
)
def test_an_unusable_file_is_explained(tmp_path, name, content, message):
    write(tmp_path / name, content)
    with pytest.raises(ConfigError, match=message):
        read_mask_prompt(tmp_path / name, (60, 80))


def test_missing_logits_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read logits .*none\.npz: .*No such file"):
        read_mask_prompt(tmp_path / "none.npz", (60, 80))
