"""Readers of an image lake: they list its images as shards and read them.

To add a reader, add a file with a `Spec` that has a `kind`, the class variable `images_per_source`
(1 where each source is one image, None where the number is known only after reading) and the
methods `plan(known) -> Planned` and `read(shard, max_bytes) -> Iterator[RawImage]`, and add the
class to the union here. The contract test then covers it.
"""

from typing import Annotated

from pydantic import Field

from samseg.readers.folder import Folder
from samseg.readers.lookup import fetch, fetch_many
from samseg.readers.planned import Planned, by_extension
from samseg.readers.webdataset import WebDataset

Reader = Annotated[Folder | WebDataset, Field(discriminator="kind")]
"""Every reader, discriminated by `kind`."""

__all__ = ["Folder", "Planned", "Reader", "WebDataset", "by_extension", "fetch", "fetch_many"]
