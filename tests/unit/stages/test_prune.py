"""`samseg prune`: what is deleted of earlier codebooks, and what has to stay."""

import json

import pytest

import samseg
from samseg.cli import main
from samseg.clustering import DBSCAN
from samseg.clustering.settings import ClusterSettings
from samseg.errors import CodebookError, ConfigError
from samseg.exporters import Coco
from samseg.output import Output
from samseg.stages.export import export
from samseg.stages.prune import prunable, prune
from samseg.storage import ObjectStorage


@pytest.fixture
def four(small_output):
    """Return a folder with codebooks 1 to 4, exports of the first two, and a fit that was killed.

    All objects of the codebooks are those of the first, under other keys.
    """
    output = small_output().output
    export(output, [Coco()])
    first = {s.key: output.storage.get(s.key) for s in output.storage.list("classes/v000001/")}
    for version in (2, 3, 4, 5):
        for key, payload in first.items():
            if version != 3 or not key.endswith("codebook.json"):
                named = key.replace("v000001", f"v{version:06d}")
                output.storage.put_new(named, payload)
        if version == 2:
            export(output, [Coco()])
    output.storage.put_new(output.codebook_key(0, "next.json"), b'{"version": 1}')
    output.storage.put_new("classes/v000001/notes.txt", b"of a person")
    return output


def keys(output: Output) -> set[str]:
    return {s.key for s in output.storage.list()}


def test_what_stays(four):
    before = keys(four)
    found = prunable(four, 2)
    assert [(of.version, of.committed) for of in found] == [(1, True), (2, True), (3, False)]
    assert sum(of.bytes for of in found) > 0 and keys(four) == before
    prune(four, found)
    gone = before - keys(four)
    assert gone == {key for of in found for key in of.keys}
    left = {k for k in keys(four) if k.startswith(("classes/v000001", "classes/v000002"))}
    assert {k.rpartition("/")[2] for k in left} == {
        *("codebook.json", "classes.parquet", "pruned.json", "notes.txt")
    }
    assert not any(k.startswith(("classes/v000003", "exports/")) for k in keys(four))
    assert "classes/v000000/next.json" in keys(four)
    assert {k for k in before if k.startswith(("classes/v000004", "classes/v000005"))} <= keys(four)
    assert prunable(four, 2) == []
    assert four.codebook_versions() == [4, 5]
    with pytest.raises(CodebookError, match="4, 5"):
        samseg.open(four.uri, codebook=1)


@pytest.mark.parametrize("deletions", range(12))
def test_the_same_command_completes_a_killed_one(four, monkeypatch, deletions):
    left = deletions

    def one_by_one(self, *keys):
        nonlocal left
        for key in keys:
            if not left:
                raise KeyboardInterrupt
            left -= 1
            delete(self, key)

    delete = ObjectStorage.delete
    expected = keys(four) - {k for of in prunable(four, 1) for k in of.keys}
    with monkeypatch.context() as patched:
        patched.setattr(ObjectStorage, "delete", one_by_one)
        with pytest.raises(KeyboardInterrupt):
            prune(four, prunable(four, 1))
    prune(four, prunable(four, 1))
    assert keys(four) - expected == {f"classes/v{v:06d}/pruned.json" for v in (1, 2, 4)}
    assert expected <= keys(four)


def test_lineage_and_ids_go_on_after_pruning(lake, tmp_path):
    """A refit after pruning gives the ids and parents that it gives without."""
    pruned = lake.copied_to(tmp_path / "pruned")
    for output in (lake, pruned):
        for eps in (0.2, 0.21, 0.22):
            output.night(ClusterSettings(fit=DBSCAN(eps=eps, min_samples=4)))
    prune(pruned, prunable(pruned, 1))
    assert pruned.codebook_versions() == [3]
    reports = [
        output.night(ClusterSettings(fit=DBSCAN(eps=0.25, min_samples=4)), refit=True)
        for output in (lake, pruned)
    ]
    assert [r.version for r in reports] == [4, 4]
    name = lake.codebook_key(4, "classes.parquet")
    assert lake.read(name).equals(pruned.read(name))
    assert lake.classes(4) == pruned.classes(4)


def test_the_command_deletes_only_with_yes(four, capsys):
    before = keys(four)
    for options, deleted in (([], False), (["--yes"], True)):
        with pytest.raises(SystemExit) as ended:
            main(["prune", four.uri, "--keep-codebooks", "1", *options])
        record = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert (ended.value.code, record["deleted"]) == (0, deleted)
        assert [c["version"] for c in record["codebooks"]] == [1, 2, 3, 4]
        assert (keys(four) == before) is not deleted
    with pytest.raises(ConfigError, match="wanted 1 or more"):
        prunable(four, 0)


def test_the_doctor_misses_nothing_of_a_pruned_codebook(four, capsys):
    prune(four, prunable(four, 1))
    with pytest.raises(SystemExit):
        main(["doctor", four.uri])
    record = json.loads(capsys.readouterr().out.splitlines()[-1])
    found = [f["key"] for f in record["findings"] if f["key"].startswith("classes/")]
    assert all(key.startswith("classes/v000005/") for key in found), "those it never had"
