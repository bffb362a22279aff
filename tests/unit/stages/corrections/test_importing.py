"""Corrected exports read back: what a person changed is in later exports, and nothing else."""

from collections import Counter
from pathlib import Path

import numpy as np
from pycocotools import mask as coco

import samseg
from samseg.edits.log import read_log
from samseg.exporters import Coco, CocoPanoptic, LabelStudio
from samseg.nightly import Night

from ...doctor.conftest import config_of
from .corrected_exports import (
    Json,
    accepted,
    by_class,
    categories,
    corrected,
    exported,
    imported,
    square,
)


def test_a_file_changed_with_pycocotools_is_in_later_exports_and_after_a_refit(output):
    before = exported(output)
    was = categories(before)
    changed = corrected(before)
    done = imported(output, before)
    assert done.complete and done.conflicts == []
    actions = Counter(edit.action.action for edit in read_log(output))
    assert actions == {"name": 1, "move": 2, "redraw": 1}
    assert {(e.author, e.reason) for e in read_log(output)} == {("ann", "import of corrected.json")}

    renamed = {"class 0": "hazel nut"}
    for _ in range(2):  # the second time after a refit
        after = exported(output)
        now = categories(after)
        assert now.keys() == was.keys() - changed["deleted"]
        assert {now[m] for m in changed["moved"]} == {"class 2"}
        assert {m: now[m] for m in changed["others"]} == {
            m: renamed.get(was[m], was[m]) for m in changed["others"]
        }
        (mask,) = (a for a in after["annotations"] if a["mask_id"] == changed["outlined"])
        assert mask["segmentation"] == square(5)
        assert (mask["bbox"], mask["area"]) == ([5, 10, 7, 10], 70)
        night = Night(config_of(Path(output.uri.removeprefix("file://")).parent))
        night.cluster(refit=True)
        night.close()
    assert output.codebook_versions()[-1] == 3
    stored = samseg.open(output).query("select rle from masks where mask_id = ?", [mask["mask_id"]])
    assert stored["rle"].to_pylist() != [square(5)], "the machine's outline stays"


def test_the_second_import_of_a_file_changes_nothing(output):
    data = exported(output)
    corrected(data)
    imported(output, data)
    objects = {s.key for s in output.storage.list()}
    again = imported(output, data)
    assert again.proposal.empty and again.edits == [] and again.complete
    assert {s.key for s in output.storage.list()} == objects


def test_an_export_that_nobody_changed_changes_nothing(output):
    kinds = [
        *(
            Coco(),
            Coco(segmentation="polygons"),
            Coco(noise=True),
            Coco(classes=(0,)),
            CocoPanoptic(),
        ),
        *(Coco(min_score=0.95), Coco(split="train", validation=0.5)),
    ]
    for exporter in kinds:
        done = imported(output, exported(output, exporter))
        assert done.complete and done.proposal.empty, exporter
    for exporter in (LabelStudio(), LabelStudio(segmentation="polygons")):
        done = imported(output, accepted(exported(output, exporter)))
        assert done.complete and done.proposal.empty, exporter
    assert read_log(output) == []


def test_what_was_corrected_in_label_studio_is_in_later_exports_and_after_a_refit(output):
    was = categories(exported(output))
    tasks = accepted(exported(output, LabelStudio()))
    regions = [r for task in tasks for r in task["annotations"][0]["result"]]
    masks: dict[str, list[Json]] = {}
    for region in regions:
        masks.setdefault(region["value"]["brushlabels"][0], []).append(region)
    for region in masks["class 0"]:
        region["value"]["brushlabels"] = ["hazel nut"]
    for region in masks["class 1"][:3]:
        region["value"]["brushlabels"] = ["class 2"]
    for region in masks["class 1"][3:6]:
        region["value"]["brushlabels"] = ["shell"]
    gone, outlined = masks["class 2"][0], masks["class 2"][1]
    own = tasks[0]["annotations"][0]["result"]
    own.remove(gone)
    outlined["value"]["rle"] = literal_brush(coco.decode(square(5)))
    done = imported(output, tasks)
    assert done.complete
    actions = Counter(edit.action.action for edit in read_log(output))
    assert actions == {"name": 1, "example": 1, "move": 2, "redraw": 1}
    night = Night(config_of(Path(output.uri.removeprefix("file://")).parent))
    night.cluster(refit=True)
    night.close()
    now = categories(exported(output))
    assert now.keys() == was.keys() - {gone["id"]}
    assert {now[r["id"]] for r in masks["class 0"]} == {"hazel nut"}
    assert {now[r["id"]] for r in masks["class 1"][:3]} == {"class 2"}
    assert {now[r["id"]] for r in masks["class 1"][3:6]} == {"shell"}
    (mask,) = (a for a in exported(output)["annotations"] if a["mask_id"] == outlined["id"])
    assert mask["segmentation"] == square(5)
    assert imported(output, tasks).proposal.empty


def literal_brush(pixels: np.ndarray) -> list[int]:
    """Encode as another encoder may: one literal sequence after the other."""
    values = np.repeat(pixels.ravel() * 255, 4)
    bits = f"{len(values):032b}{7:05b}{2:04b}{3:04b}{7:04b}{15:04b}"
    for start in range(0, len(values), 256):
        some = values[start : start + 256]
        bits += f"010{len(some) - 1:08b}" + "".join(f"{v:08b}" for v in some)
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


def test_merged_and_added_categories(output):
    data = exported(output)
    masks = by_class(data)
    data["categories"][1]["name"] = data["categories"][0]["name"] = "nut"
    data["categories"].append({"id": 900, "name": "shell"})
    for annotation in masks[2][:4]:
        annotation["category_id"] = 900
    done = imported(output, data)
    assert done.complete
    now = categories(exported(output))
    assert {now[a["mask_id"]] for c in (0, 1) for a in masks[c]} == {"nut"}
    assert {now[a["mask_id"]] for a in masks[2][:4]} == {"shell"}
    actions = [edit.action for edit in read_log(output)]
    assert [a.action for a in actions] == ["name", "merge", "example"]
    assert len(actions[2].accepted) == 4
    assert all(len(m.vector) == 256 for m in actions[2].accepted)
    assert output.member_shards(1, 3) == output.committed(), "members in all shards"
    assert imported(output, data).proposal.empty


def test_a_deleted_category_whose_masks_have_another_one_is_merged(output):
    data = exported(output)
    for annotation in by_class(data)[2]:
        annotation["category_id"] = 1
    del data["categories"][2]
    imported(output, data)
    assert [edit.action.action for edit in read_log(output)] == ["merge"]


def test_a_category_that_was_cut_out_with_its_masks_is_not_deleted(output):
    data = exported(output)
    masks = by_class(data)
    data["annotations"] = masks[0]
    data["categories"] = data["categories"][:1]
    done = imported(output, data)
    assert done.proposal.empty and done.changed.untouched == {1: 24, 2: 24}
