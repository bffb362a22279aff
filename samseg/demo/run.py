"""`samseg demo`: a small lake labelled end to end, with nothing but the installed package.

The lake is made of photos that installed packages ship and of generated scenes with recurring
things; the config it writes is an ordinary one, so everything the demo did can be done again with
the other commands.
"""

import os
from pathlib import Path

from samseg import config as configs
from samseg.nightly import Night, Summary
from samseg.progress import Progress

_CONFIG = """\
# The config of `samseg demo`. Run it again: `samseg nightly -c {path}`

output: {folder}/labels         # everything a night leaves

reader:
  kind: folder                  # loose image files
  uri: {folder}/lake            # add photos here and run again: only those are labelled
  images_per_shard: 3           # small, so that both workers have something to do

model:
  checkpoint: tiny              # ships with samseg; use vit_h for real nights

masks:
  points_per_side: 12           # few prompts, so that two CPU cores are done in two minutes

cluster:
  fit:
    kind: dbscan                # no number of classes to guess
    eps: 0.045                  # cosine radius of a class; `auto` wants more images than these
    min_samples: 4              # a class needs only this many masks: the lake is small

exports:
  - kind: coco                  # for annotation tools and training
  - kind: png                   # semantic maps to look at
"""


def run(folder: Path, progress: Progress) -> Summary:
    """Write the lake and its config into `folder`, run a night, and say what to do next."""
    from samseg.demo.lake import write_demo_lake

    folder = folder.expanduser()
    progress.start("lake", None, "images")
    images = write_demo_lake(folder / "lake")
    progress.finish(f"{len(images)} photos and scenes in {folder / 'lake'}")
    path = folder / "demo.yaml"
    path.write_text(_CONFIG.format(folder=folder, path=path), encoding="utf-8")
    summary = Night(configs.load(path), progress).run()
    page = (summary.page or "").removeprefix("file://")
    samseg = "uv run samseg" if "UV" in os.environ else "samseg"
    labels = folder / "labels"
    progress.note(
        f"\nOpen {page}\n\nThen, for example:\n"
        f'  {samseg} query -o {labels} "select name, count(*) as masks from labels group by all"\n'
        f"  {samseg} status {labels}\n"
        f"  {samseg} nightly -c {path}   # with photos of your own added to {folder / 'lake'}"
    )
    return summary
