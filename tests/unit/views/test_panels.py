import numpy as np
import pytest

from samseg.views.panels import side_by_side


@pytest.mark.parametrize(("h", "w"), [(30, 40), (400, 300), (500, 1500)])
@pytest.mark.parametrize("count", [1, 3])
def test_pictures_stand_side_by_side_under_their_titles(h, w, count):
    pictures = {
        f"A title that is wide {i}": np.full((h, w, 3), 50 * i, np.uint8) for i in range(count)
    }
    page = side_by_side(pictures)
    gap = (page.shape[1] - count * w) // (count + 1)
    top = page.shape[0] - h - gap
    for i, picture in enumerate(pictures.values()):
        x = gap + i * (w + gap)
        assert np.array_equal(page[top : top + h, x : x + w], picture)
        assert (page[:top, x : x + w] < 200).any()  # the title
        assert (page[:, x - gap : x] == 255).all()  # which stays above its picture
