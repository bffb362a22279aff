import pytest
from hypothesis import given
from hypothesis import strategies as st

from samseg.views.chart import FRAME, chart

VALUES = st.floats(-1e6, 1e6, allow_subnormal=False).filter(lambda v: v == 0 or abs(v) > 1e-3)
ROWS = st.fixed_dictionaries({"eps": st.floats(1e-3, 2), "classes": VALUES, "information": VALUES})


@given(st.lists(ROWS, max_size=12), st.floats(0, 3))
def test_lines_and_ticks_lie_in_the_plot(curve: list[dict], eps: float) -> None:
    for axes in chart(curve, eps):
        points = [tuple(map(float, point.split(","))) for point in axes.points.split()]
        assert len(points) == len(curve)
        xs = [x for x, _ in points] + [x for x, _ in axes.x_ticks]
        ys = [y for _, y in points] + [y for y, _ in axes.y_ticks]
        assert all(FRAME.left <= x <= FRAME.right for x in xs)
        assert all(FRAME.top <= y <= FRAME.bottom for y in ys)
        labels = [label for _, label in axes.y_ticks]
        assert "0" in labels and len(set(labels)) == len(labels) >= 2


def test_ticks_are_round_values() -> None:
    rows = [{"eps": e, "classes": c, "information": 0} for e, c in ((0.005, 3), (0.4, 87))]
    (axes,) = chart(rows, 0.1)
    assert [label for _, label in axes.x_ticks] == ["0.1", "0.2", "0.3", "0.4"]
    assert [label for _, label in axes.y_ticks] == ["0", "50", "100"]
    assert axes.chosen == axes.x_ticks[0][0] and "number of classes" in axes.title


@pytest.mark.parametrize(
    "curve", [[], [{"eps": 0.1, "classes": 1}], [{"eps": 0.1, "classes": 1}] * 2, [{"eps": 1}] * 3]
)
def test_there_is_no_chart_of_fewer_than_two_radii(curve: list[dict]) -> None:
    assert chart(curve, 0.1) == []
