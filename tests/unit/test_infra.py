"""The manifests conform to KubeRay's CRD, made strict, and agree with image, config and README."""

import copy
import re
from functools import cache
from pathlib import Path, PurePosixPath

import jsonschema
import pytest
import yaml

from samseg.config import load
from samseg.engine.actor import Worker
from samseg.sam.settings import ModelSpec

ROOT = Path(__file__).resolve().parents[2]
CRDS = ROOT.parent / "shared" / "data" / "kuberay-crds"
KUBERAY = ROOT / "infra" / "kuberay"
GIB = 1 << 30
TABLE_WORKER_BYTES = 2 * GIB  # the most that a worker of a map over tables may take


def documents(name):
    return list(yaml.safe_load_all((KUBERAY / name).read_text()))


(NIGHT,) = documents("nightly.yaml")
CRON = {one["kind"]: one for one in documents("cron.yaml")}
(CACHE,) = documents("cache.yaml")
ENGINE = load(ROOT / "configs" / "nightly.yaml").engine
README = (ROOT / "README.md").read_text()


def strict(node):
    """Forbid keys that the schema does not define, at every depth."""
    if isinstance(node, list):
        return [strict(n) for n in node]
    if not isinstance(node, dict):
        return node
    node = {k: strict(v) for k, v in node.items()}
    if "properties" in node and not node.get("x-kubernetes-preserve-unknown-fields"):
        node.setdefault("additionalProperties", False)
    if node.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    return node


@cache
def schema_of(kind, version):
    if not CRDS.exists():
        pytest.skip("the CRD schemas are not available")
    text = (CRDS / f"ray.io_{kind.lower()}s.yaml").read_text()
    crd = yaml.load(text, Loader=yaml.CSafeLoader)
    (found,) = [v for v in crd["spec"]["versions"] if v["name"] == version]
    schema = strict(found["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}
    return schema


def test_the_job_conforms_to_its_crd():
    version = NIGHT["apiVersion"].split("/")[1]
    jsonschema.validate(NIGHT, schema_of(NIGHT["kind"], version))


def test_a_misspelt_key_is_rejected():
    manifest = copy.deepcopy(NIGHT)
    manifest["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["containrs"] = []
    with pytest.raises(jsonschema.ValidationError, match="containrs"):
        jsonschema.validate(manifest, schema_of("RayJob", "v1"))


# ---------------------------------------------------------------------- what the job consists of


def cluster():
    return NIGHT["spec"]["rayClusterSpec"]


def groups():
    return {group["groupName"]: group for group in cluster()["workerGroupSpecs"]}


def pods():
    """Every kind of pod: its group, its pod spec and its container."""
    named = {"head": cluster()["headGroupSpec"], **groups()}
    return {
        name: (group, group["template"]["spec"], group["template"]["spec"]["containers"][0])
        for name, group in named.items()
    }


def bytes_of(quantity):
    number, unit = re.fullmatch(r"(\d+)(Gi|Mi)", quantity).groups()
    return int(number) * (GIB if unit == "Gi" else 1 << 20)


def mounts(spec, container):
    """The volume of each mount path."""
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    return {mount["mountPath"]: volumes[mount["name"]] for mount in container["volumeMounts"]}


def claims(spec, container):
    found = mounts(spec, container).items()
    return {
        path: volume["persistentVolumeClaim"]["claimName"]
        for path, volume in found
        if "persistentVolumeClaim" in volume
    }


# ---------------------------------------------------------------------- agreement


def test_the_image_has_the_ray_of_the_job_and_what_it_runs():
    dockerfile = (ROOT / "infra" / "Dockerfile").read_text()
    assert re.findall(r"rayproject/ray:([\d.]+)-", dockerfile) == [cluster()["rayVersion"]]
    (workdir,) = re.findall(r"^WORKDIR (\S+)", dockerfile, re.M)
    copied = dict(re.findall(r"^COPY \S+ (\S+) (\S+)$", dockerfile, re.M))
    _, script, _ = NIGHT["spec"]["entrypoint"].split()
    assert (ROOT / script).exists()
    assert copied["jobs"] == f"{workdir}/jobs"
    built = re.findall(r"docker build .* -t (\S+) \.", dockerfile)
    assert {container["image"] for *_, container in pods().values()} == set(built)


def test_the_night_asks_for_no_more_than_the_groups_can_start():
    gpu, _, container = pods()["gpu"]
    gpus = int(container["resources"]["limits"]["nvidia.com/gpu"])
    assert ENGINE.workers == "auto"
    assert ENGINE.max_workers == gpu["maxReplicas"] * gpus
    cpu, _, container = pods()["cpu"]
    cpus = cpu["maxReplicas"] * int(container["resources"]["requests"]["cpu"])
    assert cpus >= ENGINE.max_workers, "else Ray starts nodes with GPUs for tables"
    counts = f"up to {gpu['maxReplicas']} nodes with a GPU and {cpu['maxReplicas']} without"
    assert counts in README


def test_no_node_runs_that_the_night_has_not_asked_for():
    assert cluster()["enableInTreeAutoscaling"]
    assert {(g["replicas"], g["minReplicas"]) for g in groups().values()} == {(0, 0)}


@pytest.mark.parametrize("name", ["head", "gpu", "cpu"])
def test_memory_holds_the_object_store_and_the_workers(name):
    group, spec, container = pods()[name]
    resources, start = container["resources"], group["rayStartParams"]
    limit = bytes_of(resources["limits"]["memory"])
    assert limit == bytes_of(resources["requests"]["memory"])
    store = int(start["object-store-memory"])
    shm = mounts(spec, container)["/dev/shm"]["emptyDir"]
    assert shm["medium"] == "Memory" and store < bytes_of(shm["sizeLimit"])
    cpus = int(start.get("num-cpus", resources["requests"]["cpu"]))
    assert cpus <= int(resources["requests"]["cpu"])
    assert store + cpus * TABLE_WORKER_BYTES + 2 * GIB <= limit, "2 GiB are Ray's and the driver's"


def test_a_spot_node_finishes_its_shard():
    _, spec, container = pods()["gpu"]
    config = (ROOT / "configs" / "nightly.yaml").read_text()
    longest = int(re.search(r"images_per_shard: .* (\d+) s of work", config)[1])
    assert spec["terminationGracePeriodSeconds"] > longest
    title = f"ray::{Worker.__name__}[.]{Worker.run.__name__}"
    assert title in container["lifecycle"]["preStop"]["exec"]["command"][-1]


def test_the_config_is_where_the_job_reads_it():
    path = PurePosixPath(NIGHT["spec"]["entrypoint"].split()[-1])
    _, spec, container = pods()["head"]
    name = mounts(spec, container)[str(path.parent)]["configMap"]["name"]
    command = f"kubectl create configmap {name} --from-file=configs/{path.name}"
    assert command in README and command in (KUBERAY / "nightly.yaml").read_text()


def test_weights_are_in_one_cache_for_all_who_read_them(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/home/ray")
    cache = ModelSpec().cache
    for name in ("head", "gpu"):
        _, spec, container = pods()[name]
        ((path, claim),) = claims(spec, container).items()
        assert cache.is_relative_to(path) and claim == CACHE["metadata"]["name"]
        assert spec["securityContext"]["fsGroup"] == 100
    assert CACHE["spec"]["accessModes"] == ["ReadWriteMany"]


def test_the_schedule_creates_the_job_and_waits_for_it():
    spec = CRON["CronJob"]["spec"]
    assert spec["concurrencyPolicy"] == "Forbid"
    job = spec["jobTemplate"]["spec"]
    day_s = 24 * 3600
    assert NIGHT["spec"]["activeDeadlineSeconds"] < job["activeDeadlineSeconds"] < day_s
    pod = job["template"]["spec"]
    (container,) = pod["containers"]
    ((path, volume),) = mounts(pod, container).items()
    name = volume["configMap"]["name"]
    assert f"kubectl create -f {path}/nightly.yaml" in container["args"][0]
    command = f"kubectl create configmap {name} --from-file=infra/kuberay/nightly.yaml"
    assert command in README and command in (KUBERAY / "cron.yaml").read_text()


def test_the_schedule_may_do_what_it_does_and_no_more():
    account = CRON["ServiceAccount"]["metadata"]["name"]
    pod = CRON["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == account
    assert CRON["RoleBinding"]["subjects"] == [{"kind": "ServiceAccount", "name": account}]
    assert CRON["RoleBinding"]["roleRef"]["name"] == CRON["Role"]["metadata"]["name"]
    assert CRON["Role"]["rules"] == [
        {"apiGroups": ["ray.io"], "resources": ["rayjobs"], "verbs": ["create", "get"]}
    ]
    commands = pod["containers"][0]["args"][0]
    assert set(re.findall(r"kubectl (\w+)", commands)) == {"create", "get"}
