"""The module's class with the two callbacks that Synapse calls for a login by password."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from synapse.module_api import JsonDict, LoginResponse, ModuleApi

from . import accounts, config, names, threepids
from .bot import Bot

logger = logging.getLogger(__name__)

# The id of the user, and a callback after the login, which is not used here; None if the login is not accepted here.
Result = tuple[str, Callable[[LoginResponse], Awaitable[None]] | None] | None


class RegisterBotPasswords:
    """`modules: [{module: matrix_register_bot_synapse.RegisterBotPasswords, config: {endpoint: ...}}]`"""

    @staticmethod
    def parse_config(options: Any) -> config.Config:
        """Called first. After an error Synapse prints its message and does not start."""
        return config.parse(options)

    def __init__(self, options: config.Config, api: ModuleApi) -> None:
        self._api = api
        self._bot = Bot(options, api.http_client.reactor)
        api.register_password_auth_provider_callbacks(
            check_3pid_auth=self.check_3pid_auth,
            auth_checkers={("m.login.password", ("password",)): self.check_auth},
        )

    async def check_auth(self, username: str, login_type: str, login_dict: JsonDict) -> Result:
        """A login, or a request to repeat the password, with a name, a full id, or an address that Synapse knows."""
        password = login_dict.get("password")
        localpart = names.own_localpart(username, self._api.server_name)
        if localpart is None or not isinstance(password, str):
            return None
        return await self._log_in(localpart, password)

    async def check_3pid_auth(self, medium: str, address: str, password: str) -> Result:
        """A login by address, before Synapse looks up its owner.

        If Synapse knows the address, it calls `check_auth` with the account's id next, so the bot is asked only once.
        Otherwise the bot looks up the owner, so even the first login may use a mail address.
        """
        if medium != "email" or not await threepids.unowned(self._api, [address]):
            return None
        localpart = await self._bot.localpart_of(address)
        if localpart is None:
            return None
        return await self._log_in(localpart, password)

    async def _log_in(self, localpart: str, password: str) -> Result:
        """Asks the bot, and prepares the account if it says yes."""
        mxid = names.mxid(localpart, self._api.server_name)
        profile = await self._bot.check_password(localpart, mxid, password)
        if profile is None or not await accounts.prepare(self._api, localpart, mxid, profile):
            return None
        return mxid, None
