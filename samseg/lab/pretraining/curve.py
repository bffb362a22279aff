"""Plot of the training curve."""

import json
from pathlib import Path

import cv2
import numpy as np

_SIZE = (420, 900)
_MARGIN = 60
_PAPER, _INK, _GRID = (255, 255, 255), (40, 40, 44), (225, 225, 228)
_LINES = {
    "best": (190, 90, 30),
    "chosen": (40, 120, 220),
    "corrected": (70, 150, 60),
}
"""Metrics that are plotted, all of them mean IoU, with their BGR colours."""


def draw_curve(metrics: Path, path: Path) -> None:
    """Plot IoU by step: of the best of three masks, of the preferred one, after corrections.

    Args:
        metrics: JSON lines written by the trainer; nothing is plotted where there is none.
        path: PNG file to write.
    """
    if not metrics.exists():
        return
    notes = [json.loads(line) for line in metrics.read_text().splitlines()]
    last = max(note["step"] for note in notes)
    h, w = _SIZE
    canvas = np.full((h, w, 3), _PAPER, dtype=np.uint8)

    def at(step: float, iou: float) -> tuple[int, int]:
        x = _MARGIN + step / last * (w - 2 * _MARGIN)
        return round(x), round(h - _MARGIN - iou * (h - 2 * _MARGIN))

    def write(text: str, xy: tuple[int, int], colour: tuple[int, int, int]) -> None:
        font = cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(canvas, text, xy, font, 0.45, colour, 1, cv2.LINE_AA)

    for tenth in range(0, 11, 2):
        cv2.line(canvas, at(0, tenth / 10), at(last, tenth / 10), _GRID, 1)
        x, y = at(0, tenth / 10)
        write(f"{tenth / 10:.1f}", (x - 34, y + 5), _INK)
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x, y = at(share * last, 0)
        write(f"{share * last:.0f}", (x - 14, y + 22), _INK)
    windows = [note["window"] for note in notes]
    for note, before in zip(notes[1:], windows, strict=False):
        if note["window"] != before:  # the next stage of the curriculum
            cv2.line(canvas, at(note["step"], 0), at(note["step"], 1), _INK, 1)
    write("mean IoU on new images by step; vertical lines: next stage", (_MARGIN, 30), _INK)
    for i, (name, colour) in enumerate(_LINES.items()):
        points = [at(note["step"], note[name]) for note in notes if name in note]
        cv2.polylines(canvas, [np.array(points, dtype=np.int32)], False, colour, 2, cv2.LINE_AA)
        write(name, (w - _MARGIN - 90, h - _MARGIN - 20 * (i + 1)), colour)
    cv2.imwrite(str(path), canvas)
