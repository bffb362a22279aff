"""The Kubernetes manifests conform to KubeRay's CRD schemas, made strict."""

import re
from functools import cache
from pathlib import Path

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CRDS = ROOT.parent / "shared" / "data" / "kuberay-crds"
MANIFESTS = sorted((ROOT / "infra" / "kuberay").glob("*.yaml"))


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


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda p: p.name)
def test_manifests_conform_to_their_crd(path):
    manifest = yaml.safe_load(path.read_text())
    version = manifest["apiVersion"].split("/")[1]
    jsonschema.validate(manifest, schema_of(manifest["kind"], version))


def test_a_misspelt_key_is_rejected():
    manifest = yaml.safe_load(MANIFESTS[0].read_text())
    manifest["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["containrs"] = []
    with pytest.raises(jsonschema.ValidationError, match="containrs"):
        jsonschema.validate(manifest, schema_of("RayJob", "v1"))


def test_image_and_manifest_use_the_same_ray_version():
    dockerfile = (ROOT / "infra" / "Dockerfile").read_text()
    (image,) = re.findall(r"rayproject/ray:([\d.]+)-", dockerfile)
    for path in MANIFESTS:
        manifest = yaml.safe_load(path.read_text())
        assert manifest["spec"]["rayClusterSpec"]["rayVersion"] == image
