"""The report page in a browser: images decode, no requests, no errors, no overflow."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from samseg.readers.decode import DecodePolicy
from samseg.stages.report.stage import report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed")

WIDTHS = (390, 1280, 1440)

PROBE = """
<script>
window.addEventListener("load", () => {
  const broken = [...document.images].filter(image => !image.naturalWidth).length;
  parent.postMessage({
    width: innerWidth, images: document.images.length, broken,
    overflow: document.documentElement.scrollWidth - innerWidth,
    links: document.querySelectorAll(".ribbon a").length,
  }, "*");
});
</script>
"""

FRAMES = """<!doctype html><body><script>
const seen = [];
addEventListener("message", event => {
  seen.push(event.data);
  document.title = JSON.stringify(seen);
});
</script>""" + "".join(
    f'<iframe src="probed.html" style="width:{w}px;height:900px;border:0"></iframe>' for w in WIDTHS
)


def browse(folder: Path, page: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            str(CHROMIUM),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--no-first-run",
            "--hide-scrollbars",
            f"--user-data-dir={folder / 'profile'}",
            "--enable-logging=stderr",
            "--v=0",
            *flags,
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )


@pytest.fixture
def page(small_output: Callable[..., Any], tmp_path: Path) -> Path:
    hostile = "<script>alert(1)</script>" + "x" * 300
    made = small_output(
        keys=(
            "a.jpg",
            "b/" + "long-name-" * 20 + ".jpg",
            "<img src=x onerror=alert(1)>.jpg",
            "d.jpg",
        ),
        failures=((hostile, "undecodable", "a long reason " * 16),),
        size=(240, 320),
    )
    key = report(
        made.output,
        "n1",
        lambda uris: [(uri, made.photos[uri]) for uri in uris],
        DecodePolicy().decode,
        lake="s3://photos/" + "deep/" * 30,
        seconds={"plan": 0.5, "embed": 100.0},
    )
    found = tmp_path / "page.html"
    found.write_bytes(made.output.storage.get(key))
    return found


def test_renders_without_console_messages(page: Path, tmp_path: Path) -> None:
    shot = tmp_path / "shot.png"
    ran = browse(tmp_path, page, "--window-size=1360,2400", f"--screenshot={shot}")
    assert not re.findall(r".*CONSOLE.*", ran.stderr)
    pixels = np.asarray(Image.open(shot).convert("RGB"))
    assert pixels.shape == (2400, 1360, 3)
    assert len(np.unique(pixels[::4, ::4].reshape(-1, 3), axis=0)) > 1000


def test_images_decode_and_no_width_overflows(page: Path, tmp_path: Path) -> None:
    text = page.read_text()
    probed = re.sub(r"<meta http-equiv[^>]*>", "", text).replace("</body>", f"{PROBE}</body>")
    (tmp_path / "probed.html").write_text(probed)
    frames = tmp_path / "frames.html"
    frames.write_text(FRAMES)
    ran = browse(tmp_path, frames, "--virtual-time-budget=20000", "--dump-dom")
    title = re.search(r"<title>(.*?)</title>", ran.stdout)
    assert title, ran.stdout[:500]
    seen = sorted(json.loads(title.group(1)), key=lambda frame: frame["width"])
    assert [frame["width"] for frame in seen] == list(WIDTHS)
    for frame in seen:
        assert frame["images"] == text.count("<img ") > 20
        assert (frame["broken"], frame["overflow"]) == (0, 0)
        assert frame["links"] == 4


def test_its_content_security_policy_blocks_scripts_and_requests(
    page: Path, tmp_path: Path
) -> None:
    attacked = tmp_path / "attacked.html"
    attack = "<script>document.title = 'ran'</script><img src='file:///etc/hostname'>"
    attacked.write_text(page.read_text().replace("</main>", f"{attack}</main>"))
    ran = browse(tmp_path, attacked, "--virtual-time-budget=5000", "--dump-dom")
    assert "<title>ran</title>" not in ran.stdout
    assert len(re.findall(r"CONSOLE.*Content Security Policy", ran.stderr)) == 2
