"""Turns a typed name into a localpart of this homeserver."""

import re

# The characters that the Matrix specification allows in new accounts, and capital letters, which are folded. The bot's
# accounts contain no others, so it is not asked about names with others.
LOCALPART = re.compile(r"[A-Za-z0-9._=/+-]+")
MXID_MAX_BYTES = 255


def own_localpart(typed: str, server_name: str) -> str | None:
    """The lower-case localpart of `name`, `Name` or `@name:server`; None for other servers and odd names.

    Synapse passes on anything typed, such as `@max:other.test` and `a:b`: a yes to those would create an account here.
    Capital letters are folded, as Synapse does for its own passwords (phones capitalise the first letter).
    """
    localpart = typed
    if typed.startswith("@"):
        localpart, _, server = typed[1:].partition(":")
        if server != server_name:
            return None
    if not LOCALPART.fullmatch(localpart):
        return None
    folded = localpart.lower()
    return folded if len(mxid(folded, server_name)) <= MXID_MAX_BYTES else None


def mxid(localpart: str, server_name: str) -> str:
    """The full id of an account of this homeserver."""
    return f"@{localpart}:{server_name}"
