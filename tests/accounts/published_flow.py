"""Checks passwords as the published password providers do, modelled on their requests.

Like them it blocks Synapse while it waits, and needs an existing account, as it cannot create one with a name. It is loaded
under `password_providers`.
"""

import json
import urllib.request
from typing import Any

PATH = "/_matrix-internal/identity/v1/check_credentials"
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class PublishedFlow:
    """Sends one blocking request for each login."""

    def __init__(self, config: str, account_handler: Any) -> None:
        self.endpoint = config
        self.accounts = account_handler

    @staticmethod
    def parse_config(config: dict[str, Any]) -> str:
        """The only option."""
        return config["endpoint"]

    async def check_password(self, user_id: str, password: str) -> bool:
        """True if the answer is yes with a profile, and the account exists."""
        question = json.dumps({"user": {"id": user_id, "password": password}}).encode()
        request = urllib.request.Request(self.endpoint + PATH, question, {"Content-Type": "application/json"})
        with OPENER.open(request, timeout=30) as answer:
            auth = json.load(answer)["auth"]
        if not auth["success"] or auth["profile"] is None:
            return False
        return await self.accounts.check_user_exists(user_id) is not None
