"""A password change by a Python client with matrix-nio.

    nio_client.py BASE_URL USER OLD NEW

Logs in, changes the password with user-interactive authentication (first a request without `auth`, then the answer in the
session), and prints a JSON object with the result of each step. matrix-nio has no function for a password change, so the
request uses its client and token.
"""

import asyncio
import json
import sys

from nio import AsyncClient, LoginResponse

PATH = "/_matrix/client/v3/account/password"


async def logs_in(base: str, user: str, password: str) -> bool:
    client = AsyncClient(base, user)
    try:
        return isinstance(await client.login(password, "nio"), LoginResponse)
    finally:
        await client.close()


async def post(client: AsyncClient, body: dict) -> tuple[int, dict]:
    headers = {"Authorization": f"Bearer {client.access_token}", "Content-Type": "application/json"}
    response = await client.send("POST", PATH, json.dumps(body), headers)
    return response.status, await response.json()


async def main(base: str, user: str, old: str, new: str) -> dict:
    client = AsyncClient(base, user)
    try:
        login = await client.login(old, "nio")
        if not isinstance(login, LoginResponse):
            return {"login": str(login)}
        name = await client.get_displayname()
        asked = await post(client, {"new_password": new})
        auth = {"type": "m.login.password", "session": asked[1].get("session"), "password": old}
        auth["identifier"] = {"type": "m.id.user", "user": login.user_id}
        changed = await post(client, {"new_password": new, "auth": auth, "logout_devices": False})
    finally:
        await client.close()
    return {
        "login": login.user_id,
        "name": name.displayname,
        "asked": asked[0],
        "flows": asked[1].get("flows"),
        "changed": changed,
        "old": await logs_in(base, user, old),
        "new": await logs_in(base, user, new),
    }


print(json.dumps(asyncio.run(main(*sys.argv[1:]))))
