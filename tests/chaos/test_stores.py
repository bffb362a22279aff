"""Stores and lakes that fail, and objects that are damaged, on the engine in this process."""

import functools
import http.server
import shutil
import threading

import pytest

from samseg.config import parse
from samseg.doctor.examination import examine
from samseg.doctor.repair import repair
from samseg.engine import Local
from samseg.output import Output
from tests.chaos.conftest import ROUNDS, tree_of
from tests.chaos.flaky import Bucket, serving
from tests.chaos.night import run
from tests.chaos.rows import rows_of

NIGHTS = 6
SHARE = 0.2
DAMAGES = {
    "empty": lambda whole: b"",
    "half": lambda whole: whole[: len(whole) // 2],
    "one bit": lambda whole: whole[:200] + bytes([whole[200] ^ 1]) + whole[201:],
}


def night(tree):
    return run(parse(tree), stub={})


@pytest.fixture
def bucket(monkeypatch, lake):
    """A bucket that holds the lake and does not fail yet."""
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "REGION"):
        monkeypatch.setenv(f"AWS_{name}", "us-east-1")
    with serving(Bucket()) as bucket:
        monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.endpoint)
        photos = lake.glob("[0-9]*.png")
        bucket.objects.update({f"b/lake/{path.name}": path.read_bytes() for path in photos})
        yield bucket


@pytest.mark.timeout(300 * ROUNDS)
def test_nights_on_a_flaky_store(bucket, verdict):
    assert night(tree_of("s3://b/calm", "s3://b/lake")) == 0
    bucket.share = SHARE
    ends = [night(tree_of(f"s3://b/{i}", "s3://b/lake")) for i in range(NIGHTS * ROUNDS)]
    faults = {key for key in bucket.seen if isinstance(key, tuple)}
    bucket.share = 0.0
    assert set(ends) == {0}
    assert {("LIST", "cut body"), ("LIST", "cut xml"), ("PUT", "lost")} <= faults
    for i in range(NIGHTS * ROUNDS):
        verdict("flaky S3, 20 % of requests fail", Output("s3://b/calm"), Output(f"s3://b/{i}"))


def plan_only(tree):
    from samseg.nightly import Night

    Night(parse(tree)).plan()


@pytest.mark.parametrize("left", ["nothing", "an empty folder"])
def test_a_lake_that_is_unmounted_after_the_plan(lake, tmp_path, verdict, left):
    mounted = tmp_path / "lake"
    shutil.copytree(lake, mounted)
    assert night(tree_of(tmp_path / "calm", mounted)) == 0
    tree = tree_of(tmp_path / "output", mounted)
    plan_only(tree)
    mounted.rename(tmp_path / "elsewhere")
    if left == "an empty folder":
        mounted.mkdir()
    assert night(tree) == 3
    assert rows_of(Output(str(tmp_path / "output")), "images") == []
    if mounted.exists():
        mounted.rmdir()
    (tmp_path / "elsewhere").rename(mounted)
    assert night(tree) == 0
    calm, found = Output(str(tmp_path / "calm")), Output(str(tmp_path / "output"))
    verdict("lake unmounted after the plan", calm, found)


@pytest.fixture
def web(lake):
    """A web server over the lake; `broken` makes it answer 503."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        broken = False

        def send_head(self):
            return self.send_error(503) if type(self).broken else super().send_head()

        def log_message(self, *arguments):
            pass

    serve = functools.partial(Handler, directory=str(lake))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        Handler.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield Handler
        server.shutdown()


def test_a_web_lake_that_answers_503_after_the_plan(web, tmp_path, verdict):
    assert night(tree_of(tmp_path / "calm", web.url)) == 0
    tree = tree_of(tmp_path / "output", web.url)
    plan_only(tree)
    web.broken = True
    assert night(tree) == 3
    assert rows_of(Output(str(tmp_path / "output")), "images") == []
    web.broken = False
    assert night(tree) == 0
    calm, found = Output(str(tmp_path / "calm")), Output(str(tmp_path / "output"))
    verdict("web lake answers 503 after the plan", calm, found)


def test_another_root_with_the_same_keys_is_refused(lake, calm, tmp_path, verdict):
    other = tmp_path / "other"
    shutil.copytree(lake, other)
    (other / "000.png").write_bytes((lake / "001.png").read_bytes())
    output = tmp_path / "output"
    assert night(tree_of(output, lake)) == 0
    assert night(tree_of(output, other)) == 2
    verdict("another root with the same keys", calm, Output(str(output)))


def test_damaged_parts_are_written_again_after_a_repair(lake, calm, tmp_path, verdict):
    root = tmp_path / "output"
    assert night(tree_of(root, lake)) == 0
    output = Output(str(root))
    victims = []
    for number, folder in enumerate(("images", "masks", "classes/v000001/assignments")):
        parts = sorted((root / folder).glob("part-*"))[4 * number :]
        for victim, damage in zip(parts, DAMAGES.values(), strict=False):
            victim.write_bytes(damage(victim.read_bytes()))
            victims.append(victim.relative_to(root).as_posix())
    before, present = examine(output, Local(), probed=False)
    assert sorted(finding.key for finding in before.findings) == sorted(victims)
    assert night(tree_of(root, lake)) == 3, "nothing is computed from damaged parts"
    repair(output, before.findings, present.bytes)
    assert night(tree_of(root, lake)) == 0
    after, _ = examine(output, Local(), probed=False)
    assert after.findings == ()
    verdict("parts damaged, then `doctor --repair`", calm, output)
