"""What Synapse calls: the module's class, with the two callbacks for a login by password."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from synapse.module_api import JsonDict, LoginResponse, ModuleApi

from . import accounts, config, names, threepids
from .bot import Bot

logger = logging.getLogger(__name__)

# The id that is logged in, and something to call after the login, which is not needed here; None for "not by me".
Result = tuple[str, Callable[[LoginResponse], Awaitable[None]] | None] | None


class RegisterBotPasswords:
    """`modules: [{module: matrix_register_bot_synapse.RegisterBotPasswords, config: {endpoint: ...}}]`"""

    @staticmethod
    def parse_config(options: Any) -> config.Config:
        """Called first. Synapse does not start on an error, and prints its sentence."""
        return config.parse(options)

    def __init__(self, options: config.Config, api: ModuleApi) -> None:
        self._api = api
        self._bot = Bot(options, api.http_client.reactor)
        api.register_password_auth_provider_callbacks(
            check_3pid_auth=self.check_3pid_auth,
            auth_checkers={("m.login.password", ("password",)): self.check_auth},
        )

    async def check_auth(self, username: str, login_type: str, login_dict: JsonDict) -> Result:
        """A login, or a dialogue that asks for the password again, by name, full id, or an address Synapse knows."""
        password = login_dict.get("password")
        localpart = names.own_localpart(username, self._api.server_name)
        if localpart is None or not isinstance(password, str):
            return None
        return await self._log_in(localpart, password)

    async def check_3pid_auth(self, medium: str, address: str, password: str) -> Result:
        """A login by an address, before Synapse looks whose it is.

        An address that Synapse knows is left to it: it calls `check_auth` with the account's id next, so the bot is
        asked once. For any other the bot is asked whose it is, so the first login may be one by mail address too.
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
