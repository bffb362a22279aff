"""Readers: how images come out of a lake.

A new one is a new file with a `Spec` that has a `kind`, the class variable `images_per_source`
(1 where a source is an image, None where only reading can tell) and the verbs
`plan(known) -> Planned` and `read(shard, max_bytes) -> Iterator[RawImage]`, and one line in the
union here. The contract test then covers it.
"""

from typing import Annotated

from pydantic import Field

from samseg.readers.folder import Folder
from samseg.readers.lookup import fetch, fetch_many
from samseg.readers.planned import Planned
from samseg.readers.webdataset import WebDataset

Reader = Annotated[Folder | WebDataset, Field(discriminator="kind")]
"""Every reader, told apart by `kind`."""

__all__ = ["Folder", "Planned", "Reader", "WebDataset", "fetch", "fetch_many"]
