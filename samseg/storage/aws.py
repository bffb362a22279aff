"""What the environment says of S3: the endpoint in all its spellings, and a named profile."""

import configparser
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from samseg.errors import ConfigError

_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
"""Variables that hold the endpoint; the first that is set counts."""

_KEYS = {
    "aws_access_key_id": "access_key_id",
    "aws_secret_access_key": "secret_access_key",
    "aws_session_token": "session_token",
}


def endpoint() -> str | None:
    """Return the URL of the S3 server; None for Amazon's.

    Raises:
        ConfigError: it has no scheme.
    """
    for name in _ENDPOINTS:
        if url := os.environ.get(name, ""):
            if not url.startswith(("http://", "https://")):
                raise ConfigError(
                    f"{name}={url} has no scheme; write http://{url} or https://{url}"
                )
            return url.rstrip("/")
    return _profile().get("endpoint_url")


def allows_http() -> bool:
    """Return whether requests may go through plain http."""
    return is_on("AWS_ALLOW_HTTP") or (endpoint() or "").startswith("http://")


def is_anonymous() -> bool:
    """Return whether requests are not to be signed."""
    return is_on("AWS_SKIP_SIGNATURE")


def settings() -> dict[str, Any]:
    """Return the options of obstore's S3 store that it does not read from the environment itself.

    Raises:
        ConfigError: the endpoint or the profile cannot be used.
    """
    found: dict[str, Any] = {}
    if url := endpoint():
        found["endpoint"] = url
    profile = _profile()
    if not profile:
        return found
    if "aws_access_key_id" not in profile:
        name = os.environ["AWS_PROFILE"]
        raise ConfigError(
            f"AWS_PROFILE={name}: the profile has no aws_access_key_id; put its credentials into "
            f"the environment: eval \"$(aws configure export-credentials --profile '{name}' "
            '--format env)"'
        )
    found |= {option: profile[key] for key, option in _KEYS.items() if key in profile}
    if "region" in profile and not os.environ.get("AWS_REGION"):
        found["region"] = profile["region"]
    return found


def is_on(name: str) -> bool:
    """Return whether a variable of the environment is set to yes."""
    return os.environ.get(name, "").lower() in ("1", "true", "yes", "on")


def _profile() -> Mapping[str, str]:
    """Return the profile that the environment names, if it holds no credentials itself.

    Raises:
        ConfigError: there is no such profile.
    """
    name = os.environ.get("AWS_PROFILE", "")
    if not name or os.environ.get("AWS_ACCESS_KEY_ID") or is_anonymous():
        return {}
    home = Path.home() / ".aws"
    config = os.environ.get("AWS_CONFIG_FILE") or home / "config"
    credentials = os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or home / "credentials"
    stored = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        stored.read([config, credentials], encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError) as e:
        raise ConfigError(f"AWS_PROFILE={name}: {config} or {credentials} is damaged") from e
    sections = [s for s in (f"profile {name}", name) if stored.has_section(s)]
    if not sections:
        raise ConfigError(f"AWS_PROFILE={name}: no such profile in {credentials} or {config}")
    return {key: value for section in sections for key, value in stored.items(section)}
