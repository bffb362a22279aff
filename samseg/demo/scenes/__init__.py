"""Generated scenes with recurring things, and the truth about them.

For demonstrations and for tests of class quality: real enough to segment, and every pixel's
instance and kind are known. Not for measuring a model's quality on photos.
"""

from samseg.demo.scenes.table import Scene, draw_scene

__all__ = ["Scene", "draw_scene"]
