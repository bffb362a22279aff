import io
import tarfile
from pathlib import Path

import fsspec
import pytest

from samseg.exporters.names import file_of, number_of
from samseg.exporters.types import LabelledImage
from samseg.readers import WebDataset


@pytest.mark.parametrize(
    ("key", "uri", "name"),
    [
        ("a/b.jpg", "s3://lake/a/b.jpg", "a/b.jpg"),
        ("t/0.tar/x/b.jpg", "tar://x/b.jpg::s3://lake/t/0.tar", "t/0/x/b.jpg"),
        ("0.TAR.GZ/b.jpg", "tar://b.jpg::file:///lake/0.TAR.GZ", "0/b.jpg"),
        ("0.tgz/b.tar/c.jpg", "tar://b.tar/c.jpg::file:///lake/0.tgz", "0/b.tar/c.jpg"),
        ("a.tar/b.jpg", "s3://lake/a.tar/b.jpg", "a.tar/b.jpg"),
    ],
)
def test_file_names(key: str, uri: str, name: str) -> None:
    assert file_of(LabelledImage("i", key, 1, 1, uri, ())) == name


def test_an_image_in_a_tar_is_found_by_file_name_and_address(tmp_path: Path) -> None:
    (tmp_path / "may").mkdir()
    with tarfile.open(tmp_path / "may" / "1.tar", "w") as tar:
        member = tarfile.TarInfo("x y/ü.jpg")
        member.size = 3
        tar.addfile(member, io.BytesIO(b"abc"))
    reader = WebDataset(uri=str(tmp_path))
    (shard,) = reader.plan({}).shards
    (raw,) = reader.read(shard)
    with tarfile.open(tmp_path / "may" / "1.tar") as tar:
        tar.extractall(tmp_path / "may" / "1", filter="data")
    image = LabelledImage("i", raw.key, 1, 1, raw.uri, ())
    assert (tmp_path / file_of(image)).read_bytes() == b"abc"
    with fsspec.open(image.uri) as file:
        assert file.read() == b"abc"


def test_numbers_are_exact_in_float64() -> None:
    numbers = [number_of(f"id-{i:04d}") for i in range(5_000)]
    assert len(set(numbers)) == 5_000 and max(numbers) > 1 << 52
    assert all(int(float(n)) == n for n in numbers)
