"""Mail addresses of accounts in Synapse. Only this file uses more than the module API.

`ModuleApi.register_user` takes the addresses of a new account, and `get_threepids_for_user` lists those of an account.
As of Synapse 1.163 the API cannot find the owner of an address, or add one to an existing account. Both use two private
attributes of the API. If these change, logins continue to work: the functions here log one line and do nothing, so new
addresses are not recorded, and logins with a mail address that Synapse does not know fail.
"""

import logging
import time
from collections.abc import Iterable

from synapse.module_api import ModuleApi

logger = logging.getLogger(__name__)


async def unowned(api: ModuleApi, addresses: Iterable[str]) -> list[str]:
    """The addresses without an owner. Only these may be added, because Synapse would silently take others from their owner."""
    try:
        return [address for address in addresses if not await api._store.get_user_id_by_threepid("email", address)]
    except Exception as error:
        logger.warning("register bot: this Synapse does not say who has a mail address: %r", error)
        return []


async def add(api: ModuleApi, mxid: str, address: str) -> None:
    """Adds an address to an account and notifies other modules, as Synapse does when a user adds one."""
    try:
        await api._auth_handler.add_threepid(mxid, "email", address, int(time.time() * 1000))
    except Exception as error:
        logger.warning("register bot: the mail address of %s was not added: %r", mxid, error)
