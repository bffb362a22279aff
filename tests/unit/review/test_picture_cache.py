"""The cache of pictures stays within its limit, and keeps what was shown last."""

import os

from samseg.review.picture_cache import PictureCache


def test_the_least_recently_shown_go_first(tmp_path):
    cache = PictureCache(tmp_path, limit=1000)
    for n in range(9):
        cache.put(f"{n}", bytes(100))
        os.utime(tmp_path / f"{n}", (n, n))
    assert cache.get("0") == bytes(100), "which is the one shown last now"
    cache.put("new", bytes(200))
    kept = {path.name for path in tmp_path.iterdir()}
    assert {"0", "new"} <= kept and "1" not in kept
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 800
    assert cache.get("1") is None


def test_an_earlier_session_counts(tmp_path):
    PictureCache(tmp_path, limit=1000).put("a", bytes(900))
    cache = PictureCache(tmp_path, limit=1000)
    cache.put("b", bytes(200))
    assert cache.get("a") is None and cache.get("b") == bytes(200)


def test_without_a_folder_to_write_to_nothing_is_kept_and_nothing_fails(tmp_path):
    cache = PictureCache(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    cache.put("a", b"x")
    assert cache.get("a") is None
