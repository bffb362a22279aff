"""Whether a store creates an object only once, on which every commit depends."""

import secrets

from samseg.errors import StorageError, redact
from samseg.output import Output

KEY = "doctor/probe"


def probe(output: Output) -> None:
    """Create one object twice, and expect the refusal. The object stays.

    Raises:
        StorageError: the store overwrites it, or cannot be written.
    """
    first, second = secrets.token_bytes(8), secrets.token_bytes(8)
    output.storage.put_new(KEY, first)
    before = output.storage.get(KEY)
    if not output.storage.put_new(KEY, second) and output.storage.get(KEY) == before:
        return
    raise StorageError(
        f"the store of {redact(output.uri)} overwrites existing objects: it ignores If-None-Match "
        "on PUT, so two runs could mix their rows, and class ids be given twice. Use a store that "
        "honours it (a local folder, AWS S3, Google Cloud Storage, Azure, MinIO, SeaweedFS). To go "
        "on at your own risk, never let two runs work on this folder at one time, and check it "
        "with `samseg doctor OUTPUT --no-probe`"
    )
