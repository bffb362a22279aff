import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from samseg.exporters.brush import brush_rle_of, mask_of_brush_rle


def decoded(code: list[int]) -> np.ndarray:
    """Decode as thi.ng's rle-pack does, with literal runs too."""
    bits = "".join(f"{byte:08b}" for byte in code)
    at = 0

    def read(width: int) -> int:
        nonlocal at
        at += width
        return int(bits[at - width : at], 2)

    count, word = read(32), read(5) + 1
    sizes = [read(4) + 1 for _ in range(4)]
    values: list[int] = []
    while len(values) < count:
        repeated, length = read(1), read(sizes[read(2)]) + 1
        values += [read(word)] * length if repeated else [read(word) for _ in range(length)]
    assert len(values) == count and len(bits) - at < 8
    return np.array(values)


def check(mask: np.ndarray) -> None:
    code = brush_rle_of(mask)
    assert all(0 <= byte < 256 for byte in code)
    rgba = decoded(code).reshape(*mask.shape, 4)
    assert np.array_equal(rgba, np.repeat(mask[..., None] * 255, 4, axis=2))


@given(arrays(np.bool_, st.tuples(st.integers(1, 20), st.integers(1, 20))))
@settings(deadline=None)
def test_any_mask_is_decoded_again(mask: np.ndarray) -> None:
    check(mask)


LONGEST = 1 << 14  # pixels in one run


@pytest.mark.parametrize(
    "length", [1, 2, 3, 4, 5, 63, 64, 65, LONGEST - 1, LONGEST, LONGEST + 1, 3 * LONGEST]
)
def test_runs_of_every_size(length: int) -> None:
    check(np.repeat([[False, True, False]], [length, length, 1], axis=1))


def test_codes_are_decoded_again() -> None:
    for pixels in (np.eye(7, 9, dtype=bool), np.ones((3, 40_000), dtype=bool)):
        assert np.array_equal(mask_of_brush_rle(brush_rle_of(pixels), pixels.shape), pixels)


@pytest.mark.parametrize(
    "code",
    [[], [0] * 7, brush_rle_of(np.ones((4, 4), bool)), brush_rle_of(np.eye(5, dtype=bool))[:-3]],
    ids=["nothing", "zeros", "another size", "cut"],
)
def test_damaged_codes_are_refused(code: list[int]) -> None:
    with pytest.raises(ValueError):
        mask_of_brush_rle(code, (5, 5))
