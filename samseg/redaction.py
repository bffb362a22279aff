"""Credentials in text: in URLs, in connection strings, and those of the environment.

Messages of libraries and stores repeat what they were given, so every text that is stored or shown
passes through `redact`. Where the end of a secret cannot be told, more than the secret is removed.
"""

import json
import os
import re
from urllib.parse import quote, quote_plus

_REMOVED = "***"
_SHORTEST = 12
"""Shortest value of an environment variable that is treated as a secret, in characters."""

_URL = r"(?<![\w+.-])(?!(?:file|tar|zip|memory)://)\w[\w+.-]*://"
"""The start of a URL that can have credentials."""

_PORT = r"\d{1,5}(?![^\s/?#'\"),;\]}])"
_END = r"(?=['\"\])}>,;:.]*(?:\s|$))"

_PASSWORD = re.compile(rf"({_URL})(?=[^\s/@]*(?<!:):(?!:|//|{_PORT}))[^\n]*@")
"""User and password; the password may hold any character, so this ends at the last `@`."""

_USER = re.compile(
    rf"({_URL})(?<!abfs://)(?<!abfss://)(?<!wasb://)(?<!wasbs://)[^\s/@'\"]+@", re.IGNORECASE
)
"""A user, or a token in its place; on Azure `container@account` is no credential."""

_QUOTED_QUERY = re.compile(rf"(['\"])({_URL}[^\s?'\"]*)\?[^\n]*?\1(?=[\s\])}}>,;:.]|$)")
_QUERY = re.compile(
    rf"({_URL}(?:(?<=https://)|(?<=http://)|(?=[^\s?]*\?[\w.%-]+=))[^\s?'\"]*)"
    rf"\?(?:[^\n]*&[\w.-]+=)?\S*?{_END}",
    re.IGNORECASE,
)
"""The query of a URL. A value with spaces is seen if another one follows it, or in quotes. Except
over HTTP, a `?` that no name and `=` follow is part of a key."""

_SIGNATURE = (
    r"x-(?:amz|goog)-[\w-]+|sig|signature|token|auth|policy|key-pair-id"
    r"|awsaccesskeyid|googleaccessid"
)
_SECRET = (
    r"(?:account|shared_?access|secret|access|api)_?(?:access_?)?key|shared_?access_?signature"
    r"|\w+_token|sas_?token|client_?secret|secret|password|passwd|pwd"
)
_SIGNED = re.compile(rf"{_URL}[^?]*\?(?:[^\n]*&)?(?:{_SIGNATURE}|{_SECRET}|key)=", re.IGNORECASE)
_NAMED = re.compile(
    rf"((?<![\w-])(?:(?:\w*_)?(?:{_SECRET})['\"]?(?:=|: ?| = )|(?:{_SIGNATURE})=))"
    r"(?:(['\"])[^\n]*?\2(?=[\s,;)}\]]|$)|[^;\n]+)",
    re.IGNORECASE,
)
"""A value with the name of a secret, in quotes or up to a semicolon or the end of the line."""

_BEARER = re.compile(r"(authorization['\"]?\s*[=:]\s*|bearer )[^\n]+", re.IGNORECASE)

_VARIABLES = re.compile(
    r"SECRET|TOKEN|PASSW|ACCESS_KEY$|ACCOUNT_KEY|STORAGE_KEY|API_KEY|SAS_KEY|CONNECTION_STRING"
)
"""Names of environment variables that hold secrets."""

_PLACES = ("_FILE", "_PATH", "_URI", "_URL", "_DIR")
"""Ends of the names of variables that hold a place."""


def redact(text: str) -> str:
    """Remove credentials from `text`.

    These are users, passwords and queries of URLs, the values of `AccountKey` and its like, and the
    values of environment variables that hold secrets (`AWS_SECRET_ACCESS_KEY`).
    """
    for secret in _of_environment():
        text = text.replace(secret, _REMOVED)
    text = _USER.sub(r"\1", _PASSWORD.sub(r"\1", text))
    text = _QUERY.sub(r"\1", _QUOTED_QUERY.sub(r"\1\2\1", text))
    return _BEARER.sub(rf"\1{_REMOVED}", _NAMED.sub(rf"\1{_REMOVED}", text))


def holds_credentials(uri: str) -> bool:
    """Return whether a URI has a user, a password, or a query that is signed or holds a secret."""
    return any(pattern.search(uri) for pattern in (_PASSWORD, _USER, _SIGNED))


def _of_environment() -> list[str]:
    """Return the secrets of the environment, as they are and as Python and URLs write them."""
    found: set[str] = set()
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST and _VARIABLES.search(name) and not name.endswith(_PLACES):
            found |= {value, repr(value)[1:-1], json.dumps(value)[1:-1]}
            found |= {quote(value), quote(value, safe=""), quote_plus(value)}
    return sorted(found, key=len, reverse=True)
