"""Counts of masks by class, and of classes that people merged."""

from collections import Counter

from samseg.class_counts import ClassCounts


def test_images_of_classes_that_are_one_are_not_added_up():
    masks, images = Counter({0: 3, 1: 2, 2: 4, 3: 0}), Counter({0: 3, 1: 2, 2: 1})
    counts = ClassCounts(masks_of=masks, images_of=images).merged({0: 0, 1: 0, 3: 2})
    assert counts.masks_of == {0: 5, 2: 4}
    assert counts.images_of == {2: 1}, "class 0 has from 3 to 5, and class 3 none"
