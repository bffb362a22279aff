"""`samseg demo`: labels a small lake end to end, with nothing but the installed package.

The lake consists of photos from installed packages and generated scenes with recurring objects. The
config is an ordinary one, so every step of the demo can be repeated with the other commands.
"""

import os
from pathlib import Path

from samseg import config as configs
from samseg.nightly import Night, Summary
from samseg.progress import Progress

_CONFIG = """\
# The config of `samseg demo`. Run it again: `samseg nightly -c {path}`

output: {folder}/labels         # all results

reader:
  kind: folder                  # loose image files
  uri: {folder}/lake            # photos added here are labelled by the next run
  images_per_shard: 3           # small, so that both workers have work

model:
  checkpoint: tiny              # ships with samseg; use vit_h in production

masks:
  points_per_side: 12           # few prompts: two minutes on two CPU cores

cluster:
  granularity: 0.7              # finer than the default, as most photos show the same few things

exports:
  - kind: coco                  # for annotation tools and training
  - kind: png                   # semantic label maps
"""


def run(folder: Path, progress: Progress) -> Summary:
    """Write the lake and its config into `folder`, and run a night."""
    from samseg.demo.lake import write_demo_lake

    folder = folder.expanduser()
    progress.start("lake", None, "images")
    images = write_demo_lake(folder / "lake")
    progress.finish(f"{len(images)} photos and scenes in {folder / 'lake'}")
    path = folder / "demo.yaml"
    path.write_text(_CONFIG.format(folder=folder, path=path), encoding="utf-8")
    summary = Night(configs.load(path), progress).run()
    return summary


def next_commands(folder: Path) -> list[str]:
    """Return what to try after the demo, a line each."""
    samseg = "uv run samseg" if "UV" in os.environ else "samseg"
    labels = folder / "labels"
    return [
        "",
        "Then, for example:",
        f'  {samseg} query -o {labels} "select name, count(*) as masks from labels group by all"',
        f"  {samseg} status {labels}",
        f"  {samseg} nightly -c {folder / 'demo.yaml'}"
        f"   # after adding your own photos to {folder / 'lake'}",
    ]
