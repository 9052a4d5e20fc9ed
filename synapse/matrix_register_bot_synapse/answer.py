"""Reads the bot's answers. Pure: bytes in, a verdict out, no network and no Synapse.

Only an exactly correct answer is a yes. Anything that is neither a yes nor a clear no raises `Malformed`. Its text
names the place and the kind of a value but never shows the value, because a confused server may echo the question with
its password.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

from .names import LOCALPART

DISPLAY_NAME_MAX_CHARACTERS = 256
ADDRESS_MAX_CHARACTERS = 254
ADDRESS = re.compile(r"[^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f]+")


class Malformed(Exception):
    """The bot never gives such an answer."""


@dataclass(frozen=True)
class Profile:
    """The bot's data about an account whose password was right."""

    display_name: str | None = None
    addresses: tuple[str, ...] = ()


def read_check(body: bytes, localpart: str, mxid: str) -> Profile | None:
    """The answer to "is this the password of `mxid`?": the profile for yes, None for no."""
    auth = parse(body).get("auth")
    if not isinstance(auth, dict):
        raise Malformed(f"auth is {kind(auth)}, not an object")
    success = auth.get("success")
    if success is False:
        return None
    if success is not True:
        raise Malformed(f"auth.success is {kind(success)}, not true or false")
    if "mxid" in auth and auth["mxid"] != mxid:
        raise Malformed("auth.mxid is not the id that was asked")
    own = ({"type": "localpart", "value": localpart}, {"type": "mxid", "value": mxid})
    if "id" in auth and auth["id"] not in own:
        raise Malformed("auth.id is not the id that was asked")
    return read_profile(auth.get("profile"))


def read_lookup(body: bytes, address: str) -> str | None:
    """The answer to "whose address is this?": a localpart, or None for nobody's."""
    answer = parse(body)
    if "lookup" not in answer:
        return None
    lookup = answer["lookup"]
    if not isinstance(lookup, dict):
        raise Malformed(f"lookup is {kind(lookup)}, not an object")
    if lookup.get("medium", "email") != "email" or lookup.get("address", address) != address:
        raise Malformed("lookup.medium or lookup.address is not what was asked")
    found = lookup.get("id")
    if not isinstance(found, dict) or found.get("type") != "localpart":
        raise Malformed("lookup.id is not an object of type localpart")
    value = found.get("value")
    if not isinstance(value, str) or not LOCALPART.fullmatch(value) or value != value.lower():
        raise Malformed("lookup.id.value is not a lower-case localpart")
    return value


def parse(body: bytes) -> dict[str, Any]:
    """A JSON object in UTF-8 without repeated members: of two "success", neither can be trusted."""
    try:
        answer = json.loads(body.decode("utf-8"), object_pairs_hook=named_once)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"it is not JSON ({type(error).__name__})") from None
    if not isinstance(answer, dict):
        raise Malformed(f"it is {kind(answer)}, not an object")
    return answer


def named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object in the answer; refuses repeated members."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Malformed("a member is there twice")
    return members


def read_profile(profile: Any) -> Profile:
    """Valid names and addresses. Others are left out, because the password is right without them."""
    if not isinstance(profile, dict):
        return Profile()
    name = profile.get("display_name")
    entries = profile.get("three_pids")
    addresses = [mail_address(entry) for entry in entries] if isinstance(entries, list) else []
    return Profile(
        display_name=name if is_display_name(name) else None,
        addresses=tuple(dict.fromkeys(address for address in addresses if address is not None)),
    )


def is_display_name(name: Any) -> bool:
    """Whether Synapse accepts the name and its database can store it."""
    return isinstance(name, str) and 1 <= len(name) <= DISPLAY_NAME_MAX_CHARACTERS and is_storable(name)


def mail_address(entry: Any) -> str | None:
    """The mail address of a 3PID in Synapse's spelling; None for other kinds."""
    if not isinstance(entry, dict) or entry.get("medium") != "email":
        return None
    address = entry.get("address")
    if not isinstance(address, str) or len(address) > ADDRESS_MAX_CHARACTERS:
        return None
    if not ADDRESS.fullmatch(address) or not is_storable(address):
        return None
    local, _, domain = address.partition("@")
    return f"{local.casefold()}@{domain.lower()}"


def is_storable(text: str) -> bool:
    """Whether the text contains no NUL, which PostgreSQL refuses, and no lone surrogate, which is not Unicode text."""
    return not any(character == "\0" or "\ud800" <= character <= "\udfff" for character in text)


def kind(value: Any) -> str:
    """The kind of a JSON value, for a message that must not show the value."""
    if value is None:
        return "missing or null"
    return {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list"}.get(type(value), "an object")
