"""Mail addresses of accounts in Synapse. The only file that reaches behind the module API.

`ModuleApi.register_user` takes the addresses of a new account, and `get_threepids_for_user` lists those of one. What
the API lacks (looked for in Synapse 1.163): to ask which account has an address, and to give one to an account that
exists. Both are done through two of its private attributes. Should they change, logins go on: the functions here log
one line and do nothing, so new addresses are not recorded, and a mail address that Synapse does not know does not log in.
"""

import logging
import time
from collections.abc import Iterable

from synapse.module_api import ModuleApi

logger = logging.getLogger(__name__)


async def unowned(api: ModuleApi, addresses: Iterable[str]) -> list[str]:
    """Those that no account has. Needed before any is added: Synapse would take it from its owner without a word."""
    try:
        return [address for address in addresses if not await api._store.get_user_id_by_threepid("email", address)]
    except Exception as error:
        logger.warning("register bot: this Synapse does not say who has a mail address: %r", error)
        return []


async def add(api: ModuleApi, mxid: str, address: str) -> None:
    """Gives an address to an account, and tells other modules, as Synapse does when a user adds one."""
    try:
        await api._auth_handler.add_threepid(mxid, "email", address, int(time.time() * 1000))
    except Exception as error:
        logger.warning("register bot: the mail address of %s was not added: %r", mxid, error)
