import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco

from samseg import schema
from samseg.errors import ImageError
from samseg.features import MaskEmbeddings
from samseg.output import Output
from samseg.readers.decode import DecodePolicy
from samseg.stages.embed.named_rows import NamedRows
from samseg.stages.report import counts as counting
from samseg.stages.report import exemplars, photos
from samseg.stages.report.exemplars import ShownMask
from samseg.stages.report.stage import report
from samseg.types import NOISE, image_id_of
from samseg.views.report import percent

Build = Callable[..., Any]
decode = DecodePolicy().decode


def page_of(made: Any, photos: dict[str, bytes] | None = None, **options: Any) -> str:
    photos = made.photos if photos is None else photos

    def fetch(uris: Sequence[str]) -> Iterable[tuple[str, bytes | Exception]]:
        assert len(set(uris)) == len(uris)
        for uri in reversed(uris):
            yield uri, photos.get(uri, ImageError("unreadable", "no such photo"))

    key = report(made.output, "n1", fetch, decode, **options)
    assert key == "nights/n1/report.html"
    return made.output.storage.get(key).decode()


def test_shows_every_class_with_crops(small_output: Build) -> None:
    made = small_output(failures=(("x<y>.jpg", "undecodable", "cut short"),))
    steps: list[int] = []
    page = page_of(
        made, lake="s3://photos", seconds={"plan": 1.0, "embed": 59.0}, on_progress=steps.append
    )
    counts = Counter(made.class_of.values())
    for class_id, name in ((0, "apples"), (1, "crates"), (2, "class 2")):
        assert f'id="class-{class_id}"' in page and name in page
        assert f"<b>{counts[class_id]}</b> masks · <b>4</b> images · 100 % clear" in page
    shown = min(12, counts[0]) + counts[1] + counts[2] + counts[NOISE] + 2 * 4
    assert page.count("data:image/webp;base64,") == shown
    assert "not available" not in page
    assert "x&lt;y&gt;.jpg" in page and "cut short" in page
    assert "s3://photos" in page and "1 min 00 s" in page
    assert steps == [1, 2, 3, 4]


def clustered(new_shards: Sequence[str], before: int | None = 1) -> Any:
    return SimpleNamespace(before=before, new_shards=tuple(new_shards))


def test_the_page_of_a_night_tells_what_is_new_and_writes_the_drift(small_output: Build) -> None:
    made = small_output()
    page = page_of(made, clustered=clustered(made.shards[1:]))
    section = page[page.index('id="changes"') : page.index('id="photos"')]
    assert ">14</td><td>14</td>" in section
    photos = page[page.index('id="photos"') : page.index("<details")]
    assert photos.count('<span class="badge">new</span>') == 2
    drift = json.loads(made.output.storage.get("nights/n1/drift.json"))
    assert drift["metrics"]["new_masks"] == 14 and drift["stamp"] == "n1"


def test_a_page_on_its_own_shows_the_last_drift(small_output: Build) -> None:
    made = small_output()
    assert 'id="changes"' not in page_of(made)
    night = "20261127T000000Z-ab"
    report(made.output, night, lambda uris: [], decode, clustered=clustered(made.shards[1:]))
    key = report(made.output, "n2", lambda uris: [], decode)
    assert ">14</td><td>14</td>" in made.output.storage.get(key).decode()
    assert not made.output.storage.exists("nights/n2/drift.json")


def test_masks_that_drifted_are_shown(small_output: Build) -> None:
    made = small_output(keys=tuple(f"{i}.jpg" for i in range(12)))
    key = made.output.assignments_key(1, made.shards[1])
    rows = made.output.read(key).to_pylist()
    rows = [row | {"distance": 0.9 if row["class_id"] == 0 else 0.0} for row in rows]
    rewrite(made.output, key, schema.encode(schema.table_of(rows, schema.ASSIGNMENTS)))
    page = page_of(made, clustered=clustered(made.shards[1:]))
    section = page[page.index('id="changes"') : page.index('id="photos"')]
    assert "mean distance <b>0.900</b>" in section
    assert 3 < section.count("data:image/webp") <= 6


def test_photos_of_the_night_come_first_and_are_bounded(
    small_output: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = small_output(keys=tuple(f"{i}.jpg" for i in range(8)))
    monkeypatch.setattr(photos, "SHOWN", 6)
    monkeypatch.setattr(photos, "LISTED", 5)
    monkeypatch.setattr(photos, "_COVERING", 1)
    counts = counting.count(made.output, 1, [])
    chosen = photos.choose(made.output, counts, made.shards[1:])
    assert [row.key for row in chosen.listed] == ["4.jpg", "5.jpg", "6.jpg", "7.jpg", "0.jpg"]
    assert [row.is_new for row in chosen.listed] == [True] * 4 + [False]
    best, *rest = chosen.shown
    assert len(chosen.shown) == 6 and chosen.shown[best] in made.shards
    new = [image_id_of(f"{i}.jpg") for i in range(4, 8)]
    wanted = [i for i in new if i != best]
    assert rest[: len(wanted)] == wanted


def test_a_photo_without_masks_is_listed_only(small_output: Build) -> None:
    made = small_output(masks=False, failures=(("x.jpg", "undecodable", "cut short"),))
    chosen = photos.choose(made.output, counting.count(made.output, 1, []), ())
    assert chosen.shown == {}
    assert {row.key: row.status for row in chosen.listed} == {
        **dict.fromkeys(made.keys, "no_masks"),
        "x.jpg": "undecodable",
    }


def test_near_identical_masks_of_one_image_are_shown_once() -> None:
    def mask(name: str, image: str, side: int) -> ShownMask:
        pixels = np.zeros((40, 40), np.uint8, order="F")
        pixels[:side, :side] = 1
        code = coco.encode(pixels)
        rle = {"size": code["size"], "counts": code["counts"].decode()}
        return ShownMask(name, image, "k", "u", 0, side**2, rle, None)

    masks = [mask("a", "i", 20), mask("b", "i", 21), mask("c", "j", 21), mask("d", "i", 9)]
    assert {m.mask_id for m in exemplars.distinct_masks(masks)} == {"a", "c", "d"}
    assert {m.mask_id for m in exemplars.distinct_masks(masks, "b")} == {"b", "c", "d"}


def test_missing_or_changed_images_are_marked(small_output: Build) -> None:
    made = small_output()
    uris = list(made.photos)
    other = small_photo((50, 40))
    photos = {uris[0]: made.photos[uris[0]], uris[1]: other, uris[2]: b"not an image"}
    page = page_of(made, photos)
    assert "not available" in page and "data:image/webp" in page
    assert "no such photo" in page and "px and was" in page


def small_photo(size: tuple[int, int]) -> bytes:
    import io

    from PIL import Image

    sink = io.BytesIO()
    Image.new("RGB", size).save(sink, "PNG")
    return sink.getvalue()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"codebook": False}, "Nothing is clustered yet"),
        ({"masks": False}, "No class was found"),
        ({"masks": False, "codebook": False}, "Nothing is clustered yet"),
    ],
)
def test_a_page_without_classes_or_masks(small_output: Build, options: dict, message: str) -> None:
    page = page_of(small_output(**options))
    assert message in page
    assert ("data:image/webp" in page) == options.get("masks", True)


def test_the_page_of_an_empty_folder(tmp_path: Any) -> None:
    output = Output(str(tmp_path / "empty"))
    key = report(output, "n1", lambda uris: [], decode)
    assert b"Nothing is clustered yet" in output.storage.get(key)


def test_shards_given_up_are_listed_as_failures(small_output: Build) -> None:
    made = small_output()
    record = {"shard_id": "f", "sources": ["far.tar", "b.tar"], "failures": ["boom", "the end"]}
    made.output.storage.put_new("quarantine/f.json", json.dumps(record).encode())
    page = page_of(made)
    assert "far.tar and 1 more" in page and "the end" in page


def test_an_existing_page_is_kept(small_output: Build) -> None:
    made = small_output()
    assert page_of(made) == page_of(made, {})


def test_counts_equal_a_direct_count(small_output: Build) -> None:
    made = small_output(keys=tuple(f"{i}.jpg" for i in range(9)))
    counts = counting.count(made.output, 1, [])
    assert counts.classes.masks_of == Counter(made.class_of.values())
    images_of: dict[int, set[str]] = {}
    for mask_id, class_id in made.class_of.items():
        images_of.setdefault(class_id, set()).add(mask_id[:20])
    assert counts.classes.images_of == {c: len(images) for c, images in images_of.items()}
    assert counts.images.images == 9 and counts.images.masks == len(made.class_of)
    for class_id, found in counts.candidates.items():
        masks = [m for _, m, _ in found]
        assert masks and all(made.class_of[m] == class_id for m in masks)


def test_candidates_are_bounded_and_include_the_medoid(
    small_output: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "_CANDIDATES", 5)
    made = small_output(keys=tuple(f"{i}.jpg" for i in range(12)))
    candidates = counting.count(made.output, 1, []).candidates[0]
    found = [m for _, m, _ in candidates]
    assert {shard for _, _, shard in candidates} == set(made.shards), "only the first shard"
    assert len(found) == len({m[:20] for m in found}) == 5, "several candidates of one image"
    apples = sorted(m for m, c in made.class_of.items() if c == 0)
    far = next(m for m in apples if m[:20] == image_id_of("11.jpg"))
    candidates = counting.count(made.output, 1, [far]).candidates[0]
    assert candidates[0][1] == far and len(candidates) == 5


def test_classes_with_few_candidates_take_more_from_later_shards(
    small_output: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "SHARDS", 1)
    made = small_output(keys=tuple(f"{i}.jpg" for i in range(12)))
    first = {m for m in made.class_of if m[:20] in {image_id_of(f"{i}.jpg") for i in range(6)}}
    found = counting.count(made.output, 1, []).candidates
    assert {m for _, m, _ in found[0]} <= first, "three per image: the first shard suffices"
    assert not {m for _, m, _ in found[2]} <= first, "one per image: too few in the first shard"


def test_examples_maximise_the_classes_covered() -> None:
    counts = counting.LakeCounts()
    counts.examples = [
        ((2, 50), "a", "s", frozenset({0, 1})),
        ((2, 40), "b", "s", frozenset({0, 1})),
        ((1, 1), "c", "t", frozenset({2})),
    ]
    assert exemplars.examples(counts, 2) == {"a": "s", "c": "t"}


def rewrite(output: Output, key: str, payload: bytes) -> None:
    Path(output.uri.removeprefix("file://"), key).write_bytes(payload)


@pytest.mark.parametrize(
    ("distance", "margin", "clear"),
    [
        ([0.2] * 12, [0.1] * 12, 12),  # 1.5 times as far
        ([0.2] * 12, [0.09] * 12, 0),
        ([0.2] * 12, [0.3] * 5 + [0.0] * 7, 5),
        ([0.0] * 12, [0.0] * 6 + [0.1] * 6, 12),
        ([0.2] * 12, [None] * 12, None),  # there is no other class
    ],
)
def test_clear_masks_are_counted(
    small_output: Build, distance: list, margin: list, clear: int | None
) -> None:
    made = small_output()
    (apples,) = [sorted(m for m, c in made.class_of.items() if c == 0)]
    for shard in made.shards:
        key = made.output.assignments_key(1, shard)
        rows = [r for r in made.output.read(key).to_pylist() if r["class_id"] == 0]
        for row in rows:
            at = apples.index(row["mask_id"])
            row |= {"distance": distance[at], "margin": margin[at]}
        rewrite(made.output, key, schema.encode(schema.table_of(rows, schema.ASSIGNMENTS)))
    counts = counting.count(made.output, 1, [])
    assert counts.classes.masks_of[0] == 12
    assert counts.classes.clear_of.get(0) == clear
    page = page_of(made)
    if clear is None:
        assert "12</b> masks · <b>4</b> images</span>" in page
    else:
        assert f"12</b> masks · <b>4</b> images · {percent(clear / 12)} clear" in page


def test_exemplars_are_spread_by_the_embedding_of_the_codebook(small_output: Build) -> None:
    made = small_output()
    apples = sorted(m for m, c in made.class_of.items() if c == 0)
    angle = {m: 0.1 * (i * 5 % 12) for i, m in enumerate(apples)}  # in another order than the ids
    for shard in made.shards:
        masks = made.output.read(made.output.masks_key(shard), ["mask_id"])["mask_id"].to_pylist()
        rows = NamedRows("turned", 2)
        angles = np.array([angle.get(m, 0.0) for m in masks])
        vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
        rows.add(masks, MaskEmbeddings(vectors, ("ok",) * len(masks)))
        rows.put(made.output, shard)
    manifest = {"version": 1, "eps": 0.1, "embedding": "turned"}
    rewrite(made.output, "classes/v000001/codebook.json", json.dumps(manifest).encode())
    page = page_of(made)
    card = page[page.index('id="class-0"') : page.index('id="class-1"')]
    order = re.findall(r'alt="mask ([0-9a-f]+-[0-9]+)"', card)
    classes = made.output.read("classes/v000001/classes.parquet").to_pylist()
    assert sorted(order) == apples and order[0] == classes[0]["medoid_mask_id"]
    assert all(0.3 <= round(angle[m], 1) <= 0.8 for m in order[1:6])  # around the mean


@pytest.mark.parametrize(
    ("recipe", "labels"),
    [({"kind": "efficientnet_lite0"}, True), ({"kind": "timm"}, False), (None, False)],
)
def test_the_page_tells_the_labels_behind_an_embedding(
    small_output: Build, recipe: dict | None, labels: bool
) -> None:
    made = small_output()
    manifest = {"version": 1, "eps": 0.1, "embedding": "mine" if recipe else "sam"}
    rewrite(made.output, "classes/v000001/codebook.json", json.dumps(manifest).encode())
    if recipe is not None:
        made.output.guard(recipe, made.output.embedding_recipe_key("mine"))
    page = page_of(made)
    assert f'<dd class="break">{manifest["embedding"]}' in page
    assert ("learned from ImageNet&#39;s labels" in page) == labels


def test_masks_without_the_embedding_of_the_codebook_have_no_vector(small_output: Build) -> None:
    made = small_output()
    first = made.shards[0]
    masks = made.output.read(made.output.masks_key(first), ["mask_id"])["mask_id"].to_pylist()
    rows = NamedRows("first", 2)
    rows.add(masks, MaskEmbeddings(np.ones((len(masks), 2), np.float32), ("ok",) * len(masks)))
    rows.put(made.output, first)
    counts = counting.count(made.output, 1, [])
    by_class, _ = exemplars.read(made.output, 1, counts, {}, "first")
    read = {m.mask_id: m.embedding is not None for shown in by_class.values() for m in shown}
    assert read == {m: m in masks for m in made.class_of}


def shown(name: str, angle: float | None) -> ShownMask:
    vector = None
    if angle is not None:
        vector = np.zeros(256, np.float32)
        vector[:2] = np.cos(angle), np.sin(angle)
        vector *= 1 + len(name)
    return ShownMask(name, "i", "k", "u", 0, 1, {}, vector)


def test_spread_starts_at_the_medoid_and_takes_the_farthest() -> None:
    masks = [shown(f"m{i}", 0.1 * i) for i in range(11)]
    assert [m.mask_id for m in exemplars.spread(masks, "m5", 3)] == ["m5", "m0", "m10"]
    half = [m.mask_id for m in exemplars.spread(masks, "m5", 6)]
    assert half[0] == "m5" and set(half[1:3]) <= {"m2", "m3", "m4", "m6", "m7", "m8"}
    assert set(half[3:5]) == {"m0", "m10"}
    assert exemplars.spread(masks, "missing", 1)[0].mask_id == "m5"
    assert len({m.mask_id for m in exemplars.spread(masks, "m5", 99)}) == 11


def test_spread_without_embeddings() -> None:
    masks = [shown(f"m{i}", None) for i in range(3)]
    assert exemplars.spread(masks, None, 2) == masks[:2]
    assert exemplars.spread([], None, 2) == []
