"""Who reads masks and classes sees what was corrected."""

import duckdb

import samseg
from samseg.doctor.examination import examine
from samseg.edits.edit import CREATED
from samseg.edits.log import read_log
from samseg.engine import Local
from samseg.stages.edits.editor import ClassEditor
from samseg.stages.forget import forget, traces
from samseg.views_sql import views_sql

from .corrected_exports import categories, corrected, exported, imported


def test_readers_show_corrections_and_ignored_masks(output):
    data = exported(output)
    changed = corrected(data)
    imported(output, data)
    tables = samseg.open(output)
    alone = duckdb.connect()
    alone.execute(views_sql(output.uri))
    for query in (
        "select mask_id, image_id, area, author, correction, edit from corrections",
        "select name, ignored, count(*) from labels group by all order by all",
    ):
        rows = [tuple(row.values()) for row in tables.query(query).to_pylist()]
        assert alone.execute(query).fetchall() == rows and rows
    ((mask, image, area, author, correction, edit),) = alone.execute(
        "select mask_id, image_id, area, author, correction, edit from corrections"
    ).fetchall()
    assert (mask, image) == (changed["outlined"], changed["outlined"][:20])
    assert (area, author, correction) == (70, "ann", 1) and edit == len(read_log(output))
    ignored = tables.query("select mask_id from labels where ignored").to_pylist()
    assert {row["mask_id"] for row in ignored} == changed["deleted"]
    assert sum(row["masks"] for row in ClassEditor(output).list()) == 70
    ClassEditor(output).undo(edit)
    assert samseg.open(output).query("from corrections").num_rows == 0


def test_the_doctor_knows_corrections_and_forget_erases_them(output):
    data = exported(output)
    changed = corrected(data)
    imported(output, data)
    found, _ = examine(output, Local(), False)
    assert found.findings == () and found.foreign == ()
    image = changed["outlined"][:20]
    key = next(i["file_name"] for i in data["images"] if i["image_id"] == image)
    forget(output, traces(output, key))
    assert output.read(output.correction_key(1)).num_rows == 0
    assert image not in str(exported(output))
    output.storage.replace(output.correction_key(1), b"x")
    found, _ = examine(output, Local(), False)
    assert [f.key for f in found.findings] == [output.correction_key(1)]
    assert "restore it from a copy" in found.findings[0].remedy


def test_masks_are_moved_back_from_ignored(output):
    data = exported(output)
    mask = data["annotations"].pop()["mask_id"]
    imported(output, data)
    ClassEditor(output).move([mask], into=0)
    assert categories(exported(output))[mask] == "class 0"
    assert CREATED not in ClassEditor(output).list()
