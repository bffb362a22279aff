"""The type of config keys that hold a path or a URI."""

from typing import Annotated

from pydantic import AfterValidator, Field

from samseg.redaction import holds_credentials

WITHOUT_CREDENTIALS = (
    "holds a user, a password or a signature, which would be stored with the labels; "
    "leave it out, and give credentials in the environment (AWS_*, GOOGLE_*, AZURE_*)"
)
"""What is said of a path or URI that is refused."""


def _without_credentials(uri: str) -> str:
    if holds_credentials(uri):
        raise ValueError(WITHOUT_CREDENTIALS)
    return uri


def _without_nul(uri: str) -> str:
    if "\0" in uri:
        raise ValueError("holds a NUL character, which no path has")
    return uri


Location = Annotated[
    str, Field(min_length=1), AfterValidator(_without_nul), AfterValidator(_without_credentials)
]
"""A path or URI without credentials: it is stored in tables, and in the record of every night."""
