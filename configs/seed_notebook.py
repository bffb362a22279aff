"""Replay the notebook that samseg is based on, on one photo, step by step and with its pictures.

    uv run python configs/seed_notebook.py photo.jpg --output seed-notebook

"Meta-AI SAM: AutoMatic Semantic Segmentation", Y. Yatnalkar, 2023:
https://www.kaggle.com/code/yogendrayatnalkar/finetuning-segment-anything

Like the notebook, and unlike `samseg segment --classes`, it stretches the photo to a square. Three
things differ: the thresholds are those of the notebook only for SAM's own checkpoints, because
others have predicted IoUs on another scale; masks have fixed instead of random colours; and the map
of a class holds that class alone, where the notebook also adds its smallest mask.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

import samseg
from samseg.readers.photo import read_photo
from samseg.sam.settings import ModelSpec
from samseg.sam.weights.registry import identify
from samseg.types import Pixels
from samseg.views import figures

SIDE = 1024  # px, the side of SAM's input
GRID = {"points_per_side": 51, "crop_n_layers": 1, "crop_n_points_downscale_factor": 2}
THRESHOLDS = {"pred_iou_thresh": 0.86, "stability_score_thresh": 0.92}
SMALLEST = {"min_mask_region_area": 100}  # px


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all steps and write their pictures."""
    parser = argparse.ArgumentParser(description="Replay the seed notebook on one photo.")
    parser.add_argument("photo", help="path or URL of an image file")
    parser.add_argument("--output", type=Path, default=Path("seed-notebook"), help="folder")
    parser.add_argument("--checkpoint", default="tiny", help="vit_h, as in the notebook; or tiny")
    parser.add_argument("--points-per-side", type=int, default=GRID["points_per_side"])
    given = parser.parse_args(arguments)
    given.output.mkdir(parents=True, exist_ok=True)

    def show(name: str, picture: Pixels) -> None:
        Image.fromarray(picture).save(given.output / f"{name}.png")

    # 1. The photo, stretched to 1024 x 1024 px
    image = cv2.resize(read_photo(given.photo).pixels, (SIDE, SIDE))
    print("Image:", image.shape)
    show("1-input", image)

    # 2. Automatic masks, and SAM's features of the image
    recommended = identify(ModelSpec(checkpoint=given.checkpoint)).recommended
    settings = GRID | (recommended or THRESHOLDS) | SMALLEST
    settings["points_per_side"] = given.points_per_side
    segmenter = samseg.load_segmenter(given.checkpoint, **settings)
    masks, features = segmenter.segment(image)
    print("Features:", features.transpose(1, 2, 0).shape)
    print("Number of masks:", len(masks))
    if not len(masks):
        raise SystemExit("no masks; try a photo with more objects, or more --points-per-side")
    areas = masks.areas.tolist()
    show("2-masks", figures.every_mask(image, masks.rles, areas, alpha=0.9))

    # 3. The embedding of a mask: the mean of the features of its 16 x 16 px patches
    embeddings = samseg.pool(features, masks, kind="mask_mean")
    print("Embeddings:", embeddings.shape)

    # 4. Classes: DBSCAN with eps 0.06, min_samples 8 and cosine distance
    labels = samseg.cluster(embeddings)
    print("Labels:", np.unique(labels))
    if not (labels == 0).any():
        raise SystemExit("no class: no 8 masks are similar enough; try a photo of many objects")

    # 5. The semantic map of class 0, which is the largest
    print("Masks of class 0:", np.count_nonzero(labels == 0))
    mask = figures.class_mask(masks.size, masks.rles, labels.tolist(), 0)
    show("3-semantic-map", figures.class_map(mask, 0))

    # 6. The photo, the semantic map, and the pixels of class 0
    show("4-result", figures.triptych(image, masks.rles, labels.tolist(), 0))


if __name__ == "__main__":
    main()
