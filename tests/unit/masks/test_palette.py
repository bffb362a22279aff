from samseg.masks.palette import color_of, table_of
from samseg.types import NOISE


def test_colours_of_the_first_classes_are_distinct():
    colors = [color_of(i) for i in range(24)]
    gaps = [
        sum(abs(x - y) for x, y in zip(a, b, strict=True))
        for i, a in enumerate(colors)
        for b in colors[:i]
    ]
    assert min(gaps) >= 30


def test_table_is_black_followed_by_the_classes():
    table = table_of(5)
    assert table.tolist() == [[0, 0, 0], *(list(color_of(i)) for i in range(4))]
    assert len(set(color_of(NOISE))) == 1
