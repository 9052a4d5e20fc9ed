"""The account in Synapse after a right password: created at the first login, and completed if something is missing."""

import logging

from synapse.module_api import ModuleApi, UserID
from synapse.module_api.errors import SynapseError

from . import threepids
from .answer import Profile

logger = logging.getLogger(__name__)


async def prepare(api: ModuleApi, localpart: str, mxid: str, profile: Profile) -> bool:
    """Ensures that the account exists, with name and addresses; False if Synapse refuses to create it.

    A deactivated account is not changed: Synapse has emptied it and refuses the login itself.
    """
    account = await api.get_userinfo_by_id(mxid)
    if account is None:
        if await register(api, localpart, mxid, profile):
            return True
        account = await api.get_userinfo_by_id(mxid)
    if account is None:
        return False
    if not account.is_deactivated:
        await complete(api, localpart, mxid, profile)
    return True


async def register(api: ModuleApi, localpart: str, mxid: str, profile: Profile) -> bool:
    """Creates the account. False if that fails, possibly because a simultaneous login created it."""
    emails = await threepids.unowned(api, profile.addresses)
    try:
        await api.register_user(localpart, profile.display_name, emails)
    except SynapseError as error:
        logger.warning("register bot: Synapse did not make %s: %s", mxid, error.msg)
        return False
    logger.info("register bot: made %s at its first login", mxid)
    return True


async def complete(api: ModuleApi, localpart: str, mxid: str, profile: Profile) -> None:
    """Adds what the account lacks. Errors do not fail the login, because the password was right."""
    for address in await threepids.unowned(api, profile.addresses):
        await threepids.add(api, mxid, address)
    if profile.display_name is None:
        return
    try:
        if await is_unnamed(api, localpart) and await is_first_login(api, mxid):
            await api.set_displayname(UserID.from_string(mxid), profile.display_name)
    except Exception as error:
        logger.warning("register bot: the display name of %s was not set: %r", mxid, error)


async def is_unnamed(api: ModuleApi, localpart: str) -> bool:
    """Whether there is no display name, or only Synapse's default."""
    return (await api.get_profile_for_user(localpart)).display_name in (None, "", localpart)


async def is_first_login(api: ModuleApi, mxid: str) -> bool:
    """Whether nobody has used the account yet: a user who removes the name later should keep it that way."""
    return not await api.get_user_ip_and_agents(mxid)
