import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samseg.csv_cells import plain_cell
from samseg.printable import printable, printable_line


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x9b31mred", r"\x9b31mred"),
        ("photo\u202egpj.exe", r"photo\u202egpj.exe"),
        ("\u2066a\u2069\u200f", r"\u2066a\u2069\u200f"),
        ("a\rb\x08", r"a\rb\x08"),
        ("a\udcff\u2028", r"a\udcff\u2028"),
        ("\U000e0041", r"\U000e0041"),
        ("日本　語 é\u00a0\u200d [/red]\n\tx", "日本　語 é\u00a0\u200d [/red]\n\tx"),
    ],
)
def test_what_a_terminal_obeys_or_hides_is_escaped(text, wanted):
    assert printable(text) == wanted


@given(st.text(st.characters()))
def test_nothing_that_a_terminal_obeys_remains(text):
    found = printable(text)
    left = {c for c in found if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")}
    assert left <= set("\n\t\u200c\u200d")
    assert printable(found) == found
    assert "\n" not in printable_line(text)


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " \r\n=1", "＝1", "=cmd|' /C x'!A0"]
)
def test_a_formula_becomes_text(text):
    assert plain_cell(text) == "'" + text


@pytest.mark.parametrize("text", ["", "a=1", "images/=1.jpg", "'=1", "7-a", "file:///x"])
def test_other_cells_stay(text):
    assert plain_cell(text) == text
