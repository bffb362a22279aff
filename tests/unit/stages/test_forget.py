"""`samseg forget`: nothing of an image's pixels is left, and everything else is as it was."""

import json
import shutil
from pathlib import Path

import pytest

import samseg
from samseg import schema
from samseg.cli import main
from samseg.config import Config, parse
from samseg.doctor.examination import examine
from samseg.engine import Local
from samseg.errors import ConfigError
from samseg.nightly import Night
from samseg.object_names import kind_of
from samseg.output import Output
from samseg.stages.cluster.codebook_store import load_codebook
from samseg.stages.embed.stage import pending
from samseg.stages.forget import forget, traces
from samseg.stages.plan import plan
from samseg.stages.status import status_of
from samseg.storage import ObjectStorage
from samseg.types import image_id_of

from ..doctor.conftest import config_of
from ..doctor.conftest import labelled as labelled_with_tree
from .test_retries import Lake, png, tar_of

KEY, IMAGE = "03.jpg", image_id_of("03.jpg")
"""The image that all prototypes of the second codebook are of."""


def with_dbscan(folder: Path) -> Config:
    """Return the config of a folder whose codebooks hold embeddings of masks."""
    settings = config_of(folder).model_dump(mode="json", exclude_unset=True)
    fit = {"kind": "dbscan", "eps": 0.4, "min_samples": 3}
    return parse(settings | {"cluster": {"embedding": "lite", "fit": fit}})


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder of two nights and codebooks, whose doctor has set copies aside."""
    folder = tmp_path_factory.mktemp("made")
    output = labelled_with_tree(folder)
    night = Night(with_dbscan(folder))
    night.cluster(refit=True)
    night.export()
    night.report()
    night.close()
    for key in [s.key for s in output.storage.list() if IMAGE in str(rows_of(output, s.key))]:
        output.storage.put_new(f"damaged/20260101T000000Z-0000/{key}", output.storage.get(key))
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "copy")


def output_in(folder: Path) -> Output:
    output = Output(str(folder / "output"))
    (folder / "output" / "lake.json").write_text(json.dumps({"uri": f"file://{folder}/lake"}))
    return output


def rows_of(output: Output, key: str) -> str:
    """Return the contents of an object as text, with its metadata."""
    payload = output.storage.get(key)
    if not key.endswith(".parquet"):
        return payload.decode("utf-8", "replace")
    table = schema.decode(payload)
    return f"{table.to_pylist()} {table.schema.metadata}"


def holding(output: Output, *texts: str) -> set[str]:
    """Return the kinds of objects that hold one of these texts."""
    found = {
        str(kind_of(s.key))
        for s in output.storage.list()
        if any(text in s.key or text in rows_of(output, s.key) for text in texts)
    }
    return found


def vectors_of(output: Output) -> list[str]:
    """Return the image's vectors: SAM's, the named one's, and those in codebooks."""
    shard = next(s.id for s in output.planned() if any(x.key == KEY for x in s.sources))
    core = output.codebook_key(2, "core.parquet")
    keys = (output.masks_key(shard), output.embeddings_key("lite", shard), core)
    rows = [row for key in keys for row in output.read(key).to_pylist()]
    return [str(r["embedding"]) for r in rows if str(r["mask_id"]).startswith(IMAGE)]


def test_nothing_of_the_image_is_left(folder: Path, capsys) -> None:
    output = output_in(folder)
    vectors = vectors_of(output)
    assert len(vectors) > 12, "masks, named embeddings, and prototypes"
    everywhere = {"masks", "embeddings", "images", "assignments", "codebook", "damaged"}
    assert holding(output, IMAGE) >= everywhere
    before = samseg.open(output).query("from labels order by mask_id").to_pylist()
    for options, left in (([], everywhere | {"nights"}), (["--yes"], {"forgotten"})):
        with pytest.raises(SystemExit) as ended:
            main(["forget", output.uri, KEY, *options])
        record = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert (ended.value.code, record["images"][0]["key"]) == (0, KEY)
        assert holding(output, IMAGE, *vectors) - {"exports"} == left | ({"forgotten"} & left)
    assert holding(output, KEY) == {"plan"}
    after = samseg.open(output).query("from labels order by mask_id").to_pylist()
    assert after == [row for row in before if not row["mask_id"].startswith(IMAGE)]


def test_the_nights_after_it_are_as_ever(folder: Path) -> None:
    output = output_in(folder)
    forget(output, traces(output, KEY))
    night = Night(with_dbscan(folder))
    assert night.plan().sources == 0 and pending(output).shards == 0
    assert night.cluster().masks == 0
    ids = [str(i) for i in output.read(output.codebook_key(2, "core.parquet"))["mask_id"]]
    assert ids == ["None"] * 3, "means in place of its masks"
    other = output.read(output.assignments_key(2, min(output.committed())))
    rows = output.read(output.embeddings_key("lite", min(output.committed())))
    again = load_codebook(output, 2).assign(schema.matrix_of(rows["embedding"])).class_ids
    assert dict(zip(rows["mask_id"].to_pylist(), again.tolist(), strict=True)) == dict(
        zip(other["mask_id"].to_pylist(), other["class_id"].to_pylist(), strict=True)
    )
    night.export()
    night.report()
    night.close()
    assert holding(output, IMAGE) == {"forgotten"}
    status = status_of(output)
    assert (status.images, status.masks, status.forgotten) == (11, 66, 1)
    assert (status.complete, status.assigned + status.noise) == (True, 66)
    assert night.cluster(refit=True).masks == 66
    examined, _ = examine(output, Local(), probed=False)
    assert examined.findings == ()
    assert traces(output, KEY).tables == ()


@pytest.mark.parametrize("requests", range(8))
def test_the_same_command_completes_a_killed_one(folder: Path, monkeypatch, requests) -> None:
    output, left = output_in(folder), requests

    def dying(method):
        def request(self, *arguments):
            nonlocal left
            if not left:
                raise KeyboardInterrupt
            left -= 1
            return method(self, *arguments)

        return request

    with monkeypatch.context() as patched:
        for name in ("put_new", "replace", "delete"):
            patched.setattr(ObjectStorage, name, dying(getattr(ObjectStorage, name)))
        with pytest.raises(KeyboardInterrupt):
            forget(output, traces(output, KEY))
    assert output.committed() == {s.id for s in output.planned()}
    forget(output, traces(output, KEY))
    assert holding(output, IMAGE) == {"forgotten"}
    assert status_of(output).complete
    examined, _ = examine(output, Local(), probed=False)
    assert examined.findings == ()


def test_images_that_were_not_labelled_yet_or_failed(tmp_path: Path) -> None:
    lake = Lake(tmp_path, tars=False)
    for i in range(6):
        lake.write(f"{i}.png", png(i))
    lake.night({"1.png": "crashed", "2.png": "undecodable"})
    lake.write("6.png", png(6))
    lake.write("7.png", png(7))
    plan(lake.output, lake.reader)  # the new ones, and the crashed one again
    for key in ("1.png", "2.png", "6.png"):
        forget(lake.output, traces(lake.output, key))
    assert lake.label() == 1
    assert lake.night(retried=("undecodable", "crashed")) == 0
    assert lake.statuses() == {f"{i}.png": "ok" for i in (0, 3, 4, 5, 7)}
    status = status_of(lake.output)
    assert (status.complete, status.failed, status.forgotten) == (True, 0, 3)


def test_a_shard_that_was_interrupted_before_its_commit(tmp_path: Path) -> None:
    lake = Lake(tmp_path, tars=False)
    for i in range(2):
        lake.write(f"{i}.png", png(i))
    lake.night()
    (shard,) = lake.output.committed()
    lake.output.storage.delete(lake.output.images_key(shard))
    forget(lake.output, traces(lake.output, "1.png"))
    assert lake.label() == 1
    assert lake.statuses() == {"0.png": "ok"} and status_of(lake.output).complete


def test_members_of_a_tar(tmp_path: Path) -> None:
    lake = Lake(tmp_path, tars=True)
    lake.write("a.tar", tar_of({f"in/{i}.png": png(i) for i in range(3)}))
    plan(lake.output, lake.reader)
    forget(lake.output, traces(lake.output, "a.tar/in/0.png"))
    lake.label({"a.tar/in/2.png": "crashed"})
    forget(lake.output, traces(lake.output, "a.tar/in/1.png"))
    lake.night()
    assert lake.statuses() == {"a.tar/in/2.png": "ok"} and status_of(lake.output).complete
    for unknown in ("a.tar", "a.tar/in/9.png", "b.png", "a.tar/in"):
        with pytest.raises(ConfigError, match="has no image"):
            traces(lake.output, unknown)
