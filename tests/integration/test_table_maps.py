"""Every stage after `embed` on a Ray cluster of three nodes, and that the tables are the same."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.slow]

CODE = """
import json, shutil, sys, time
from pathlib import Path

import ray
from ray.cluster_utils import Cluster

from samseg.clustering.settings import ClusterSettings
from samseg.doctor.contents import contents
from samseg.engine import Local, RayPool
from samseg.exporters import Coco
from samseg.lab.benchmark.reduce import synthetic
from samseg.output import Output
from samseg.recipe import fingerprint
from samseg.stages.cluster.stage import cluster
from samseg.stages.export import export, export_all
from samseg.stages.status import status_of
from samseg.stages.tally import tally

folder = Path(sys.argv[1])
notes = folder / "notes"
notes.mkdir()


class Noted:
    "Notes on which node each task of a map ran, and makes it last as long as a worker's start."

    def __init__(self, build):
        self.build, self.name = build, type(getattr(build, "__self__", build)).__name__

    def __call__(self, slot):
        import ray

        work, node = self.build(slot), ray.get_runtime_context().get_node_id()

        def noted(task, attempt):
            (notes / f"{self.name} {node}").touch()
            time.sleep(0.3 if self.name != "FitSpec" else 0)
            return (yield from work(task, attempt))

        return noted


class Noting(RayPool):
    def map(self, build, tasks, device, cpus=None):
        return super().map(Noted(build), tasks, device, cpus)


synthetic.IMAGES = 3
output = Output(str(folder / "output"))
for _ in synthetic.synthesize(output, 18 * synthetic.MASKS_OF_SHARD, Local()):
    pass
alone = Output(str(folder / "alone"))
shutil.copytree(folder / "output", folder / "alone")

nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
for _ in range(3):
    nodes.add_node(num_cpus=1)
ray.init(nodes.address, log_to_driver=False, logging_level="ERROR")
ray.cloudpickle.register_pickle_by_value(sys.modules["__main__"])
recipe = fingerprint(output.recipe())
settings = ClusterSettings(embedding=synthetic.EMBEDDING, reference=1500)
seconds = {}
for of, engine in ((alone, Local()), (output, Noting(attempts=2))):
    started = time.time()
    assert engine is engine.for_tables(10)
    with engine.session():
        tally(of, engine, write=True)
        cluster(of, settings, recipe_fingerprint=recipe, engine=engine)
        export(of, [Coco.model_validate({})], engine)
        export_all(of, [Coco.model_validate({})], engine)
        keys = [s.key for s in of.storage.list() if s.key.endswith(".parquet")]
        assert not any(problem for problem, _ in contents(of, keys, engine).values())
        assert status_of(of, engine).complete
    seconds[of.uri] = time.time() - started
found = {s.key: output.storage.get(s.key) for s in output.storage.list()}
wanted = {s.key: alone.storage.get(s.key) for s in alone.storage.list()}
assert found.keys() == wanted.keys(), found.keys() ^ wanted.keys()
assert [k for k in found if found[k] != wanted[k]] == []
ran = {}
for note in notes.iterdir():
    name, node = note.name.split()
    ran.setdefault(name, []).append(node[:8])
print(json.dumps({"nodes": ran, "seconds": seconds}))
ray.shutdown()
nodes.shutdown()
"""


def test_every_stage_runs_on_all_nodes_and_writes_what_one_process_writes(
    tmp_path: Path, record_property
) -> None:
    import json
    import os

    script = tmp_path / "stages.py"
    script.write_text(textwrap.dedent(CODE))
    environment = os.environ | {
        "HOME": str(tmp_path),
        "RAY_DEDUP_LOGS_SKIP_REGEX": ".",
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    }
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    record_property("nodes", found)

    ran = {name: len(nodes) for name, nodes in found["nodes"].items()}
    assert ran == {
        "TallySpec": 3,
        "SampleSpec": 3,
        "FitSpec": 1,
        "AssignSpec": 3,
        "PartsSpec": 3,
        "WholeSpec": 1,
        "ContentsSpec": 3,
    }
