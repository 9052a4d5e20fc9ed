"""The module's options in homeserver.yaml; wrong ones are refused with a message.

    endpoint            base URL of the bot's internal programs, needed: "http://127.0.0.1:8080"
    identity_endpoint   where mail addresses are looked up: a path below the endpoint, or a separate URL, or ""
                        to disable this; default "/_matrix-internal/identity/v1/identity_single"
    timeout_seconds     how long one question to the bot may take, default 10, at most 60
    shared_secret       sent in the header X-Register-Bot-Secret, default none
    shared_secret_file  a file with the secret, instead
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

CHECK_PATH = "/_matrix-internal/identity/v1/check_credentials"
LOOKUP_PATH = "/_matrix-internal/identity/v1/identity_single"
KEYS = ("endpoint", "identity_endpoint", "timeout_seconds", "shared_secret", "shared_secret_file")


@dataclass(frozen=True)
class Config:
    """The checked options."""

    check_url: str
    lookup_url: str | None
    timeout_seconds: float = 10.0
    shared_secret: str | None = field(default=None, repr=False)


def parse(options: Any) -> Config:
    """Checks the options that Synapse read from YAML; a ValueError says what to correct."""
    if not isinstance(options, dict):
        raise ValueError('config must hold "key: value" lines, for example endpoint: "http://127.0.0.1:8080"')
    for key in options:
        if key not in KEYS:
            raise ValueError(f"{key!r} is not an option; there are {', '.join(KEYS)}")
    endpoint = url("endpoint", options.get("endpoint"))
    return Config(
        check_url=endpoint + CHECK_PATH,
        lookup_url=lookup_url(endpoint, options.get("identity_endpoint", LOOKUP_PATH)),
        timeout_seconds=timeout(options.get("timeout_seconds", 10)),
        shared_secret=secret(options),
    )


def url(key: str, value: Any) -> str:
    """An http(s) URL, returned without a trailing slash because paths begin with one."""
    wanted = f'{key} must be a URL such as "http://127.0.0.1:8080", without user name, query or fragment'
    if not isinstance(value, str) or not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError(wanted)
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError as error:
        raise ValueError(wanted) from error
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or any(mark in value for mark in "@?#"):
        raise ValueError(wanted)
    return value.rstrip("/")


def lookup_url(endpoint: str, value: Any) -> str | None:
    """Where mail addresses are looked up; None if they are not."""
    if value == "":
        return None
    if isinstance(value, str) and value.startswith("/"):
        return url("identity_endpoint", endpoint + value)
    return url("identity_endpoint", value)


def timeout(value: Any) -> float:
    """Seconds. A bool is an int in Python, but not accepted here."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 60:
        raise ValueError("timeout_seconds must be a number above 0 and at most 60")
    return float(value)


def secret(options: dict[str, Any]) -> str | None:
    """The secret from either option; the file is read once, when Synapse starts."""
    given = [key for key in ("shared_secret", "shared_secret_file") if key in options]
    if not given:
        return None
    if len(given) == 2:
        raise ValueError("shared_secret and shared_secret_file are both given; keep one")
    key, value = given[0], options[given[0]]
    if not isinstance(value, str):
        raise ValueError(f"{key} must be a string")
    if key == "shared_secret_file":
        value = read_secret(value)
    # The message never shows the value. Blanks and control characters would not survive in a header.
    if not value or not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError(f"{key} must give one word of printable ASCII characters")
    return value


def read_secret(path: str) -> str:
    """The content of the file without a trailing line end."""
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"shared_secret_file cannot be read: {error}") from error
