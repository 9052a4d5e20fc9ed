"""Which account a user means: what was typed, made a localpart of this homeserver or nothing."""

import re

# The characters of the Matrix specification for new accounts, and capitals, which are folded. The bot's own accounts
# have no others, so whatever has others is not the bot's to answer for.
LOCALPART = re.compile(r"[A-Za-z0-9._=/+-]+")
MXID_MAX_BYTES = 255


def own_localpart(typed: str, server_name: str) -> str | None:
    """The lower-case localpart of `name`, `Name` or `@name:server`; None for other servers and odd names.

    Synapse hands on what was typed, `@max:other.test` and `a:b` included: a yes to those would make an account here.
    Capitals are folded, as Synapse does for the passwords it keeps itself (a telephone capitalises the first letter).
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
