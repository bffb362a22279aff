"""A lake is labelled by hand through the page's own forms, and the clicks are counted.

The hand is a script that knows which photo is of what. In CI it labels the demo's eight photos;
`SAMSEG_REVIEW_LAKE` names a folder of photos to label in their place, and how many of them.
"""

import os
import re
from itertools import islice
from pathlib import Path

import pytest
from starlette.testclient import TestClient

import samseg
from samseg.config import Config
from samseg.demo.lake import write_demo_lake
from samseg.nightly import Night
from samseg.output import Output
from samseg.progress import Silent
from samseg.review.application import application
from samseg.review.guard import Secrets
from samseg.review.session import open_review

BASE = "http://127.0.0.1:8417"
LAKE, PHOTOS = os.environ.get("SAMSEG_REVIEW_LAKE"), int(os.environ.get("SAMSEG_PHOTOS", "8"))


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Output:
    """Label some photos with few prompts, in this process."""
    folder = tmp_path_factory.mktemp("review")
    photos = sorted(Path(LAKE).iterdir()) if LAKE else write_demo_lake(folder / "demo", scenes=0)
    (folder / "lake").mkdir()
    for photo in islice(photos, PHOTOS):
        (folder / "lake" / photo.name).write_bytes(photo.read_bytes())
    tree = {
        "output": str(folder / "labels"),
        "reader": {"kind": "folder", "uri": str(folder / "lake")},
        "masks": {"points_per_side": 12 if LAKE else 5},
        "engine": {"kind": "local", "threads": 1},
        "cluster": {"fit": {"kind": "linkage", "min_size": 3}},
    }
    night = Night(Config.model_validate(tree), Silent())
    night.run()
    return Output(tree["output"])


def test_a_lake_is_named_by_clicks(labelled: Output, tmp_path: Path) -> None:
    review, known = open_review(labelled, "ann", tmp_path / "pictures", Silent()), Secrets()
    client = TestClient(application(review, known, "127.0.0.1", 8417), base_url=BASE)
    client.get(f"/?token={known.token}")
    clicks = 0

    def post(verb: str, **fields: object) -> None:
        nonlocal clicks
        own = {"form": known.form, "seen": review.refresh().newest, "back": "/"}
        page = client.post(f"/{verb}", data=own | fields, headers={"origin": BASE})
        assert 'role="status"' in page.text, page.text
        clicks += 1

    classes = len(review.now.found.current)
    assert classes >= 2
    for class_id in review.now.found.current:  # what most of its masks are of is its name
        now = review.now
        images = [mask[:20] for mask in now.catalogue.mask_ids(now.rows_of(class_id))]
        most = max(images, key=images.count)
        name = Path(review.pictures.image(most)["key"]).stem
        if name in review.now.state.names.values():
            post("merge", **{"class": class_id, "into": name})
        else:
            post("name", **{"class": class_id, "name": f"{name}"})
    for _ in range(3):
        page = client.get("/queue").text
        if not (masks := re.findall(r'name="mask" value="([^"]+)"', page)):
            break
        which = re.search(r'name="class" value="(-?\d+)"', page)
        assert which
        post("decide", mask=masks, wrong=masks[:1], **{"class": which[1]})
    named = samseg.open(labelled).query("select distinct name from labels where class_id >= 0")
    names = set(named["name"].to_pylist())
    assert names == set(review.now.state.names.values())
    masks = sum(n for c, n in review.now.masks.items() if c >= 0)
    told = f"{classes} classes, {len(names)} names, {clicks} forms for {masks} masks"
    print(told)  # noqa: T201  shown with -s
    assert clicks <= classes + 3
    crops = [
        client.get(path).headers["content-type"]
        for path in re.findall(r'src="(/crops/[^"]+)"', client.get("/").text)[:12]
    ]
    assert set(crops) == {"image/webp"}
