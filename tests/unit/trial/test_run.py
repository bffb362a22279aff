import io
import tarfile

import pytest

from samseg.commands.start import config_for
from samseg.demo.lake import write_demo_lake
from samseg.progress import Silent
from samseg.trial.run import run_try


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lake")
    write_demo_lake(folder, photos=False, scenes=3)
    (folder / "scenes" / "broken.jpg").write_bytes(b"not an image")
    return folder


def test_images_are_spread_over_the_lake_and_failures_are_named(lake):
    settings = ("masks.points_per_side=3",)
    tried, remark = run_try(config_for(str(lake), None, settings), settings, 2, Silent())
    assert [image.key for image in tried.images] == ["scenes/table-000.jpg", "scenes/table-002.jpg"]
    assert remark is None and tried.masks > 0
    assert all(image.picture.startswith("data:image/webp") for image in tried.images)
    assert sum(i.masks for i in tried.images) == tried.masks >= tried.noise
    every, _ = run_try(config_for(str(lake), None, settings), settings, 9, Silent())
    (broken,) = [image for image in every.images if image.error]
    assert broken.key == "scenes/broken.jpg" and broken.masks == 0 and not broken.picture


def test_thresholds_that_leave_no_mask_are_named(lake):
    settings = ("masks.points_per_side=2", "masks.pred_iou_thresh=1")
    tried, remark = run_try(config_for(str(lake), None, settings), settings, 1, Silent())
    assert (
        tried.masks == 0
        and "no mask passes masks.pred_iou_thresh=1 (recommended for tiny" in remark
    )


def test_tars_give_their_first_images(lake, tmp_path):
    photo = (lake / "scenes" / "table-000.jpg").read_bytes()
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name in ("0.jpg", "1.jpg", "2.jpg"):
            info = tarfile.TarInfo(name)
            info.size = len(photo)
            tar.addfile(info, io.BytesIO(photo))
    config = config_for(str(tmp_path / "a.tar"), None, ["masks.points_per_side=2"])
    tried, _ = run_try(config, (), 2, Silent())
    assert [image.key for image in tried.images] == ["a.tar/0.jpg", "a.tar/1.jpg"]
