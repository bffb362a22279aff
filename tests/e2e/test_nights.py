"""Whole nights on Ray with two actors and real photos.

The photos are the labelled fruits and nuts if available, otherwise scenes of the demo. Few prompts
per image keep the tests short; the comparisons do not depend on their number.
"""

import json
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
import yaml

from samseg import schema
from samseg.output import Output
from samseg.stages.status import status_of

pytestmark = [pytest.mark.ray, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
FRUITS = ROOT.parent / "shared" / "data" / "fruits_nuts" / "images"
RAY = str(Path(sys.executable).with_name("ray"))
PHOTOS = 10
PLANNED_LATER = 2


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    if FRUITS.exists():
        return sorted(FRUITS.iterdir())[:PHOTOS]
    from samseg.demo.lake import write_demo_lake

    return sorted(write_demo_lake(tmp_path_factory.mktemp("lake")))[:PHOTOS]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory, photos):
    """Return a folder with a lake of all photos but the last two."""
    folder = tmp_path_factory.mktemp("nights")
    lake = folder / "lake"
    lake.mkdir()
    for photo in photos[:-PLANNED_LATER]:
        (lake / photo.name).write_bytes(photo.read_bytes())
    return folder


def config_file(folder, output, reader, **more):
    tree = {
        "output": str(folder / output),
        "reader": reader,
        "masks": {"points_per_side": 4},
        "engine": {"kind": "ray", "workers": 2, "cpus_per_worker": 1},
        "cluster": {"fit": {"kind": "dbscan", "min_samples": 4}},
        **more,
    }
    path = folder / f"{output}.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


def command(*arguments):
    return [sys.executable, "-m", "samseg.cli", *map(str, arguments)]


def environment(folder, head=None):
    """Return the environment of a driver that starts a Ray of its own, or works on a head."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    there = {"RAY_ADDRESS": head.address} if head else {"RAY_worker_niceness": "0"}
    return env | {"HOME": str(home), "XDG_CACHE_HOME": str(home)} | there


def samseg(folder, *arguments, head=None, wanted=0):
    ran = subprocess.run(
        command(*arguments),
        env=environment(folder, head),
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert ran.returncode == wanted, ran.stdout + ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


def table(output, folder):
    """Return all parts of one table, in the order of their keys."""
    parts = sorted(s.key for s in output.storage.list(f"{folder}/"))
    return pa.concat_tables([schema.decode(output.storage.get(key)) for key in parts])


def by_name(output):
    """Return RLEs and embeddings in mask order, by file name."""
    masks = table(output, "masks").select(["image_uri", "mask_index", "rle", "embedding"])
    found = {}
    for row in masks.sort_by([("mask_index", "ascending")]).to_pylist():
        name = row["image_uri"].removeprefix("tar://").split("::")[0].rsplit("/", 1)[-1]
        found.setdefault(name, []).append((row["rle"]["counts"], row["embedding"]))
    return found


def classes_of(output, version):
    parts = table(output, f"classes/v{version:06d}/assignments")
    return dict(zip(parts["mask_id"].to_pylist(), parts["class_id"].to_pylist(), strict=True))


@pytest.fixture(scope="module")
def first_night(workplace, photos):
    """Run an uninterrupted first night, on a Ray of its own; return last line, output, config."""
    reader = {"kind": "folder", "uri": str(workplace / "lake"), "images_per_shard": 1}
    config = config_file(
        workplace, "uninterrupted", reader, exports=[{"kind": "coco"}, {"kind": "png"}]
    )
    line = samseg(workplace, "nightly", "-c", config)
    return line, Output(str(workplace / "uninterrupted")), config


def test_every_planned_image_has_one_row(first_night, photos):
    line, output, _ = first_night
    wanted = sorted(p.name for p in photos[:-PLANNED_LATER])
    images = table(output, "images")
    assert sorted(images["key"].to_pylist()) == wanted
    assert set(images["status"].to_pylist()) <= {"ok", "no_masks"}
    masks = table(output, "masks")
    assert pc.sum(images["masks"]).as_py() == masks.num_rows > len(wanted)
    assert len(set(masks["mask_id"].to_pylist())) == masks.num_rows
    assert line["counts"]["embed"]["images"] == len(wanted)
    assert Path(line["page"].removeprefix("file://")).exists()


def test_tars_give_the_same_masks_and_embeddings_in_one_process(first_night, workplace, photos):
    _, uninterrupted, _ = first_night
    tars = workplace / "tars"
    tars.mkdir()
    names = [p.name for p in photos[:-PLANNED_LATER]]
    for i in range(3):
        with tarfile.open(tars / f"{i:03d}.tar", "w") as tar:
            for name in names[i::3]:
                tar.add(workplace / "lake" / name, name)
    reader = {"kind": "webdataset", "uri": str(tars)}
    config = config_file(workplace, "from-tars", reader, engine={"kind": "local", "threads": 1})
    samseg(workplace, "plan", "-c", config)
    samseg(workplace, "embed", "-c", config)
    assert by_name(Output(str(workplace / "from-tars"))) == by_name(uninterrupted)


def test_a_second_night_adds_new_images_only(first_night, workplace, photos, head):
    _, output, config = first_night
    before = {s.key: s.etag for s in output.storage.list()}
    classes = classes_of(output, 1)
    for photo in photos[-PLANNED_LATER:]:
        (workplace / "lake" / photo.name).write_bytes(photo.read_bytes())
    (workplace / "lake" / "broken.jpg").write_bytes(photos[0].read_bytes()[:5000])

    line = samseg(workplace, "nightly", "-c", config, head=head, wanted=1)  # broken.jpg
    assert line["counts"]["plan"]["sources"] == PLANNED_LATER + 1
    assert line["counts"]["embed"]["images"] == PLANNED_LATER + 1
    after = {s.key: s.etag for s in output.storage.list()}
    assert {key: after[key] for key in before} == before, "an object was rewritten"
    assert output.codebook_versions() == [1]
    assert {k: v for k, v in classes_of(output, 1).items() if k in classes} == classes
    images = table(output, "images").to_pylist()
    assert sorted(i["key"] for i in images) == sorted([*(p.name for p in photos), "broken.jpg"])
    (broken,) = [i for i in images if i["key"] == "broken.jpg"]
    assert broken["status"] == "undecodable" and "truncated" in broken["error"]

    again = samseg(workplace, "status", output.uri, wanted=1)  # while a failure stands
    assert again["complete"] and again["images_planned"] == len(photos) + 1


def test_another_recipe_is_refused(first_night, workplace):
    _, _, config = first_night
    ran = subprocess.run(
        command("nightly", "-c", config, "pooling.kind=mask_mean", "masks.points_per_side=5"),
        env=environment(workplace),
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 2
    assert "masks.points_per_side: the folder has 4, the config wants 5" in ran.stderr
    assert 'pooling.kind: the folder has "coverage", the config wants "mask_mean"' in ran.stderr
    assert json.loads(ran.stdout.splitlines()[-1])["exit"] == 2


def submit(head, job, limit_s=60):
    """Submit a job and wait for its end; what takes jobs comes up some time after the server."""
    until = time.monotonic() + limit_s
    while True:
        submitted = subprocess.run(
            [RAY, "job", "submit", "--address", head.jobs, "--working-dir", str(ROOT), "--", *job],
            env=head.env,
            capture_output=True,
            text=True,
            timeout=300,
        )
        said = submitted.stdout + submitted.stderr
        if "submitted successfully" in said or time.monotonic() > until:
            return submitted
        time.sleep(1)


def test_the_nightly_job_runs_on_a_cluster_and_forgives_an_image(head, tmp_path):
    from samseg.demo.lake import write_demo_lake

    write_demo_lake(tmp_path / "lake", photos=False, scenes=3)
    (tmp_path / "lake" / "broken.jpg").write_bytes(b"no image")
    config = tmp_path / "nightly.yaml"
    config.write_text(
        yaml.safe_dump(
            {
                "output": str(tmp_path / "labels"),
                "reader": {"kind": "folder", "uri": str(tmp_path / "lake"), "images_per_shard": 1},
                "masks": {"points_per_side": 4},
            }
        )
    )
    job = [sys.executable, "jobs/nightly.py", str(config)]
    submitted = submit(head, job)
    assert submitted.returncode == 0, submitted.stdout + submitted.stderr
    lines = [line for line in submitted.stdout.splitlines() if line.startswith('{"samseg"')]
    last = json.loads(lines[-1])
    assert (last["samseg"], last["exit"], last["counts"]["embed"]["images"]) == ("nightly", 1, 4)
    found = status_of(Output(str(tmp_path / "labels")))
    assert found.complete and found.images == 4 and found.codebook == 1
