"""Generated scenes of recurring objects, with ground truth.

For the demo and for tests of class quality: every pixel's instance and kind are known. Not for
measuring a model's quality on photos.
"""

from samseg.demo.scenes.table import Scene, draw_scene

__all__ = ["Scene", "draw_scene"]
