from samseg.trial.page import PAGE, write_page
from samseg.trial.tried import Tried, TriedImage, last_try

PICTURE = "data:image/webp;base64,AAAA"


def tried(lake="photos", settings=(), keys=("a.jpg",), masks=3):
    images = tuple(TriedImage(key=k, masks=masks, seconds=1.0, picture=PICTURE) for k in keys)
    return Tried(lake=lake, settings=settings, classes=1, noise=0, images=images)


def test_a_try_is_kept_for_the_next_one_on_the_same_lake(tmp_path):
    assert last_try(tmp_path / "new", "photos") is None
    now = tried()
    write_page(tmp_path / "new", None, now)
    assert last_try(tmp_path / "new", "photos") == now
    assert last_try(tmp_path / "new", "others") is None
    (tmp_path / "new" / "try.json").write_text('{"version": 9}')
    assert last_try(tmp_path / "new", "photos") is None


def test_the_page_shows_both_tries_and_escapes_names(tmp_path):
    odd = "<script>.jpg"
    failed = TriedImage(key="b.jpg", error="cut <off>")
    now = tried(settings=("masks.points_per_side=24",), keys=(odd,), masks=5)
    now = now.model_copy(update={"images": (*now.images, failed)})
    text = write_page(tmp_path, tried(keys=(odd,)), now).read_text()
    assert text.index("Last try") < text.index("This try") < text.index("masks.points_per_side=24")
    assert text.count(PICTURE) == 2
    assert "&lt;script&gt;.jpg: 3 masks" in text and "&lt;script&gt;.jpg: 5 masks" in text
    assert "cut &lt;off&gt;" in text and "<script>" not in text
    only = write_page(tmp_path, None, now).read_text()
    assert (tmp_path / PAGE).exists() and "Last try" not in only and only.count(PICTURE) == 1
