"""The commands of `jobs/benchmark.py` on small images, with the records they write."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from samseg.errors import ConfigError
from samseg.lab.benchmark.breakdown import Breakdown
from samseg.lab.benchmark.comparison import Comparison
from samseg.lab.benchmark.embed_stage import EmbedComparison
from samseg.lab.benchmark.embedding_cost import EmbeddingCost

JOB = Path(__file__).resolve().parents[4] / "jobs" / "benchmark.py"


@pytest.fixture(scope="module")
def job():
    spec = importlib.util.spec_from_file_location("benchmark_job", JOB)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder of small images, each with a bright and a dark rectangle."""
    folder = tmp_path_factory.mktemp("photos")
    for i in range(4):
        pixels = np.full((48, 64, 3), 120, np.uint8)
        pixels[8:24, 8 + 4 * i : 30] = (230, 200, 40)
        pixels[28:44, 36:60] = (20, 30, 90)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder


def run(job, tmp_path, *arguments):
    """Run a command; return its record as JSON and its standard output."""
    written = tmp_path / "record.json"
    ran = CliRunner().invoke(job.app, ["--json", str(written), *map(str, arguments)])
    assert ran.exit_code == 0, ran.output
    return written.read_text(), ran.stdout


def test_amg(job, photos, tmp_path):
    command = ("--repeats", 2, "amg", photos / "0.png", "--points-per-side", 2)
    text, shown = run(job, tmp_path, *command)
    record = Comparison.model_validate_json(text)
    assert record.photos == ("0.png",)
    assert record.command == "--repeats 2 amg PHOTOS --points-per-side 2"
    assert record.subject.settings.pred_iou_thresh < 0.88  # recommended by tiny
    assert [len(times) for times in record.speed.samseg] == [2]
    assert record.speed.wall.low <= record.speed.wall.ratio <= record.speed.wall.high
    ours, *noise = record.matches.values()
    assert ours.wanted > 0 and len(noise) == 2 and record.memory is record.gpu is None
    assert ours.recall_99 == ours.precision_99 == 1.0
    assert "times as fast" in shown and str(record.machine)[:20] in shown


def test_prompts_as_markdown(job, photos, tmp_path):
    text, shown = run(
        job,
        tmp_path,
        *("--repeats", 1, "--markdown", "prompts", photos / "0.png", "--boxes", 3, "--no-noise"),
        *("--random-weights", "tiny"),
    )
    record = Comparison.model_validate_json(text)
    assert record.task.boxes == record.matches["samseg"].wanted == 3
    assert list(record.matches) == ["samseg"] and record.subject.random == "tiny"
    assert shown.splitlines()[2].startswith(
        "| `python jobs/benchmark.py --repeats 1 prompts PHOTOS --random-weights tiny --boxes 3 "
        "--no-noise` | 3 / 3 |"
    )


def test_stages(job, photos, tmp_path):
    command = ("--repeats", 1, "stages", photos / "0.png", "--points-per-side", 2)
    text, shown = run(job, tmp_path, *command)
    record = Breakdown.model_validate_json(text)
    assert (record.prompts, record.encodings, record.machine.threads) == (4, 1, 1)
    assert all(stage.reference_ms > 0 and stage.samseg_ms > 0 for stage in record.stages)
    assert all(stage.stage in shown for stage in record.stages)


def test_embedding(job, photos, tmp_path):
    options = ("--points-per-side", 2, "--memory")
    text, shown = run(job, tmp_path, "--repeats", 1, "embedding", photos / "0.png", *options)
    record = EmbeddingCost.model_validate_json(text)
    (cost,) = record.photos
    assert cost.masks > 0 and record.share == pytest.approx(cost.share)
    assert min(cost.masks_s, cost.encode_s, cost.pool_s) > 0
    assert record.without.peak_bytes < record.with_embedding.peak_bytes
    assert "peak memory" in shown and f"{record.share:.1%}" in shown


@pytest.mark.ray
def test_embed(photos, tmp_path):
    written = tmp_path / "record.json"
    command = [sys.executable, JOB, "--repeats", "1", "--json", written, "embed", photos]
    options = "--points-per-side 2 --images 3 --images-per-shard 1 --actors 1"
    ran = subprocess.run(
        [*command, *options.split()],
        env={name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr
    record = EmbedComparison.model_validate_json(written.read_text())
    (compared,) = record.teams
    (stage,), (loop,) = compared.stage, compared.loop
    assert stage.images == loop.images == 2  # of three: the first is warm-up
    assert compared.wall.ratio == pytest.approx(loop.wall_s / stage.wall_s)
    assert "peak memory" in ran.stdout
    assert record.command == f"--repeats 1 embed FOLDER {options}"
    assert record.lake.images_per_shard == 1


def test_too_few_photos_are_refused_before_the_run(job, photos):
    ran = CliRunner().invoke(job.app, ["embed", str(photos), "--images", "12"])
    assert isinstance(ran.exception, ConfigError)
    assert "1 shards are too few for 2 workers" in str(ran.exception)
