"""The world of the tests: one real Synapse with the module and one stub bot, for all test files of a run."""

import atexit
import contextlib
import functools
import itertools
import json
import os
import shutil
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stub_bot import SERVER_NAME, Account, Raw, StubBot

SECRET = "a-shared-secret"
TIMEOUT_SECONDS = 4
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
COUNTER = itertools.count(1)


def start_synapse(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Runs the project's script for a test Synapse."""
    command = [os.environ["START_SYNAPSE"], *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)


def with_module(folder: str, config: dict[str, Any]) -> list[str]:
    """The arguments to start a Synapse with the module that `run` installed."""
    modules = [{"module": "matrix_register_bot_synapse.RegisterBotPasswords", "config": config}]
    return ["start", "--venv", os.environ["SYNAPSE_VENV"], "--dir", folder, "--pythonpath", os.environ["MODULE_PATH"],
            "--ttl", "900", "--set", f"modules={json.dumps(modules)}"]


class World:
    """A running Synapse and its bot."""

    def __init__(self) -> None:
        self.bot = StubBot()
        self.folder = tempfile.mkdtemp(prefix="module-")
        secret_file = Path(self.folder) / "secret"
        secret_file.write_text(SECRET + "\n", encoding="utf-8")
        config = {"endpoint": f"http://127.0.0.1:{self.bot.port}/", "timeout_seconds": TIMEOUT_SECONDS,
                  "shared_secret_file": str(secret_file)}
        # Nothing listens at the proxy, so a module that used it could not reach the bot.
        started = start_synapse(*with_module(self.folder, config), "--set", 'http_proxy="http://127.0.0.1:9"')
        if started.returncode != 0:
            raise RuntimeError(started.stderr)
        atexit.register(self.end)
        info = json.loads(started.stdout)
        self.base = info["base_url"]
        self.admin_token = info["users"]["admin"]["access_token"]

    def end(self) -> None:
        """Stops Synapse, and removes its folder."""
        start_synapse("stop", "--dir", self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)

    def call(self, method: str, path: str, body: Any = None, token: str | None = None) -> tuple[int, Any]:
        """Sends a request to Synapse; returns status and parsed answer."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data=data, method=method)
        if token:
            request.add_header("Authorization", "Bearer " + token)
        try:
            with OPENER.open(request, timeout=30) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def log_size(self) -> int:
        """The present length of Synapse's log."""
        return (Path(self.folder) / "synapse.log").stat().st_size

    def log_from(self, position: int) -> str:
        """Synapse's log since then."""
        with open(Path(self.folder) / "synapse.log", encoding="utf-8", errors="replace") as log:
            log.seek(position)
            return log.read()


@functools.cache
def world() -> World:
    """Started by the first test that needs it."""
    return World()


class SynapseTest(unittest.TestCase):
    """A test with the real Synapse; each has its own username, and the bot's right answers."""

    def setUp(self) -> None:
        self.world = world()
        self.bot = self.world.bot
        self.bot.reset()
        self.name = f"user{next(COUNTER)}"
        self.mxid = f"@{self.name}:{SERVER_NAME}"
        self.address = f"{self.name}@example.org"
        self.password = f"secret-of-{self.name}-äß€😀"
        self.log_start = self.world.log_size()

    def bot_knows(self, name: str | None = None, **profile: Any) -> None:
        """Gives the bot an account with the test's password."""
        self.bot.accounts[name or self.name] = Account(self.password, profile)

    def bot_says(self, answer: Any) -> None:
        """Makes the bot give this answer to every request."""
        self.bot.answer = lambda _: answer

    def log_in(self, user: str | None = None, password: str | None = None, **identifier: str) -> tuple[int, Any]:
        """A login by name, or by another kind of identifier."""
        wanted = identifier or {"type": "m.id.user", "user": user or self.name}
        body = {"type": "m.login.password", "identifier": wanted, "password": password or self.password}
        return self.world.call("POST", "/_matrix/client/v3/login", body)

    def log_in_by_mail(self, address: str | None = None, password: str | None = None) -> tuple[int, Any]:
        """A login by mail address."""
        return self.log_in(password=password, type="m.id.thirdparty", medium="email", address=address or self.address)

    def assert_let_in(self, result: tuple[int, Any], mxid: str | None = None) -> str:
        """Checks that the login succeeded, as the test's user or the one named; returns its access token."""
        status, body = result
        self.assertEqual(status, 200, body)
        self.assertEqual(body["user_id"], mxid or self.mxid)
        return body["access_token"]

    def assert_refused(self, result: tuple[int, Any]) -> None:
        """Checks that the login failed as with a wrong password."""
        status, body = result
        self.assertEqual((status, body["errcode"], body["error"]), (403, "M_FORBIDDEN", "Invalid username or password"))

    def account(self, mxid: str | None = None) -> dict[str, Any] | None:
        """The account as an administrator sees it; None if there is none."""
        path = "/_synapse/admin/v2/users/" + urllib.parse.quote(mxid or self.mxid)
        status, body = self.world.call("GET", path, token=self.world.admin_token)
        return body if status == 200 else None

    def assert_account(self, displayname: str | None, *addresses: str, mxid: str | None = None) -> None:
        """Name and mail addresses of an account."""
        account = self.account(mxid)
        assert account is not None, "there is no account"
        threepids = sorted((entry["medium"], entry["address"]) for entry in account["threepids"])
        self.assertEqual((account["displayname"], threepids), (displayname, [("email", address) for address in sorted(addresses)]))

    def make_account(self, **properties: Any) -> None:
        """Creates or changes the account in Synapse, without the module."""
        path = "/_synapse/admin/v2/users/" + urllib.parse.quote(self.mxid)
        status, body = self.world.call("PUT", path, properties, self.world.admin_token)
        self.assertIn(status, (200, 201), body)

    def warnings(self) -> list[str]:
        """The module's warnings since the start of the test, without time stamps."""
        lines = self.world.log_from(self.log_start).splitlines()
        return [line.partition("register bot: ")[2] for line in lines if "register bot: " in line and " WARNING " in line]

    @contextlib.contextmanager
    def took(self, at_least: float, less_than: float) -> Iterator[None]:
        """Checks that the enclosed code takes this many seconds."""
        begun = time.monotonic()
        yield
        seconds = time.monotonic() - begun
        self.assertGreaterEqual(seconds, at_least)
        self.assertLess(seconds, less_than)


__all__ = ["Raw", "SynapseTest", "TIMEOUT_SECONDS", "SECRET", "start_synapse", "with_module", "world"]
