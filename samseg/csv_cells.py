"""Text in the cells of a CSV file that a spreadsheet may open."""

_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
"""What a formula begins with; spreadsheets in East Asian languages read the wide forms, too."""


def plain_cell(text: str) -> str:
    """Put `'` before text that a spreadsheet would compute; return other text as it is."""
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text
