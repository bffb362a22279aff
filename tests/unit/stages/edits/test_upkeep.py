"""What edits leave in a folder, and the commands that look after folders: doctor, forget, prune."""

import json
import shutil
from pathlib import Path

import duckdb
import numpy as np
import pytest

import samseg
from samseg import schema
from samseg.doctor.examination import examine
from samseg.doctor.repair import repair
from samseg.edits.edit import ExampleMask
from samseg.edits.log import read_log
from samseg.engine import Local
from samseg.nightly import Night
from samseg.object_names import kind_of
from samseg.output import Output
from samseg.stages.edits.editor import ClassEditor
from samseg.stages.edits.upkeep import keep_up
from samseg.stages.embeddings import read_embeddings
from samseg.stages.forget import forget, traces
from samseg.stages.prune import prunable, prune
from samseg.stages.status import status_of
from samseg.types import image_id_of

from ...doctor.conftest import config_of, labelled

KEY = "03.jpg"
IMAGE = image_id_of(KEY)
KINDS = {"edits", "resolved", "members", "split_cells"}


def vectors(output: Output) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for shard in sorted(output.committed()):
        part = read_embeddings(output, shard, "lite", ["mask_id", "embedding"])
        rows = schema.matrix_of(part["embedding"])
        found |= dict(zip(part["mask_id"].to_pylist(), rows, strict=True))
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every kind of edit; an example has masks of the image `KEY`."""
    folder = tmp_path_factory.mktemp("made")
    output = labelled(folder)
    editor, found = ClassEditor(output), vectors(output)
    first, *_ = (row["class_id"] for row in editor.list())
    editor.split(first)
    editor.name(first, "nuts")
    own = sorted(mask for mask in found if mask.startswith(IMAGE))
    other = next(mask for mask in sorted(found) if not mask.startswith(IMAGE))
    chosen = [ExampleMask(mask_id=m, vector=tuple(found[m].tolist())) for m in (own[0], other)]
    nameless = ExampleMask(vector=tuple(found[own[1]].tolist()))
    editor.example("crack", "lite", chosen, [nameless])
    editor.refine("crack", rejected=[own[2]])
    editor.move(own[2], into="none")
    editor.ignore("nuts")
    keep_up(output, 1, Local())
    return folder


@pytest.fixture
def output(made: Path, tmp_path: Path) -> Output:
    shutil.copytree(made / "output", tmp_path / "output")
    return Output(str(tmp_path / "output"))


def objects(output: Output) -> dict[str, bytes]:
    found = {s.key: output.storage.get(s.key) for s in output.storage.list()}
    return {key: payload for key, payload in found.items() if kind_of(key) in KINDS}


def test_the_doctor_knows_every_object(output: Output) -> None:
    assert {kind_of(key) for key in objects(output)} == KINDS
    found, _ = examine(output, Local(), False)
    assert found.findings == () and found.foreign == ()
    assert status_of(output).edits == 6


@pytest.mark.parametrize("kind", sorted(KINDS - {"edits"}))
def test_what_can_be_written_again_is_repaired(output: Output, kind: str) -> None:
    before = objects(output)
    newest = [k for k in before if kind_of(k) == kind and (kind != "resolved" or "/e000006/" in k)]
    for key in newest:
        output.storage.replace(key, before[key][:40])
    found, present = examine(output, Local(), False)
    assert {f.key for f in found.findings if f.repairable} <= {*newest}
    deep, present = examine(output, Local(), True)
    assert {f.key for f in deep.findings} == {*newest}
    repair(output, deep.findings, present.bytes)
    keep_up(output, 1, Local())
    assert objects(output) == before


@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_a_damaged_edit_is_named_and_not_repaired(output: Output, damage: str) -> None:
    key = output.edit_key(2)
    if damage == "missing":
        output.storage.delete(key)
    else:
        output.storage.replace(key, output.storage.get(key).replace(b"nuts", b"nets"))
    found, _ = examine(output, None, False)
    assert [(f.key, f.repairable) for f in found.findings] == [(key, False)]
    assert "restore it from a copy" in found.findings[0].remedy


def test_forgetting_an_image_erases_its_vectors_and_rows(output: Output) -> None:
    own = {m: v for m, v in vectors(output).items() if m.startswith(IMAGE)}
    members = [k for k in objects(output) if kind_of(k) == "members"]
    assert any(m in str(output.read(k).to_pylist()) for k in members for m in own)
    forget(output, traces(output, KEY))
    example = next(e.action for e in read_log(output) if e.action.action == "example")
    assert [bool(m.vector) for m in example.accepted] == [False, True]
    assert [bool(m.vector) for m in example.rejected] == [False]
    refinement = next(e.action for e in read_log(output) if e.action.action == "refine")
    assert [bool(m.vector) for m in refinement.rejected] == [False]
    assert not any(m in str(output.read(k).to_pylist()) for k in members for m in own)
    found, _ = examine(output, Local(), False)
    assert found.findings == ()
    assert not traces(output, KEY).tables
    assert samseg.open(output).query("select mask_id from labels").num_rows > 0


def test_pruning_takes_what_edits_made_of_earlier_codebooks(output: Output) -> None:
    log = {k for k in objects(output) if kind_of(k) == "edits"}
    manifest = output.storage.get(output.codebook_key(1, "codebook.json"))
    output.storage.put_new(output.codebook_key(2, "codebook.json"), manifest)
    prune(output, prunable(output, 1))
    assert objects(output).keys() == log


def test_names_stand_after_a_night_that_fits_again(tmp_path: Path) -> None:
    output = labelled(tmp_path)
    editor = ClassEditor(output)
    before = {row["class_id"]: row["masks"] for row in editor.list()}
    first, second, third = list(before)[:3]
    editor.name(first, "nuts")
    editor.merge(second, into=first)
    editor.ignore(third)
    night = Night(config_of(tmp_path))
    assert night.cluster(refit=True).version == 2
    night.export()
    night.close()
    script = output.storage.get(output.views_key).decode()
    alone = duckdb.connect()
    alone.execute(script)
    sql = "select class_id, name, ignored, count(*) from labels group by all order by all"
    found = alone.execute(sql).fetchall()
    assert (first, "nuts", False, before[first] + before[second]) in found
    assert (third, f"class {third}", True, before[third]) in found
    data = json.loads(
        next((tmp_path / "output/exports/coco/v2-e3").glob("instances-*.json")).read_text()
    )
    assert [(c["id"], c["name"]) for c in data["categories"]] == [(first + 1, "nuts")]
