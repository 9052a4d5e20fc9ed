"""A bot for tests: an HTTP server that knows some accounts, and can be made to give any answer instead."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CHECK = "/_matrix-internal/identity/v1/check_credentials"
LOOKUP = "/_matrix-internal/identity/v1/identity_single"
SERVER_NAME = "example.test"


@dataclass
class Account:
    """An account of the bot."""

    password: str
    profile: dict[str, Any] = field(default_factory=dict)


@dataclass
class Request:
    """A request from the module."""

    method: str
    path: str
    headers: dict[str, str]
    json: Any


@dataclass
class Raw:
    """An arbitrary answer: status, body, headers; or `bytes` for everything on the wire."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    wire: bytes | None = None
    seconds_before: float = 0
    seconds_between_bytes: float = 0


class StubBot:
    """To replace the right answers, set `answer` to a function of the request that returns a `Raw` or JSON."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.requests: list[Request] = []
        self.answer: Callable[[Request], Any] | None = None
        self.port = 0
        self.start()

    def start(self) -> None:
        """Starts to listen, on the previous port if there was one."""
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                stub.handle(self)

            do_GET = do_POST

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Stops listening."""
        self._server.shutdown()
        self._server.server_close()

    def reset(self) -> None:
        """Resets answers and requests, but keeps the accounts."""
        self.answer = None
        self.requests.clear()

    def asked(self, path: str = CHECK) -> list[Any]:
        """The requests to a path."""
        return [request.json for request in self.requests if request.path == path]

    def handle(self, connection: BaseHTTPRequestHandler) -> None:
        """One request."""
        body = connection.rfile.read(int(connection.headers.get("Content-Length") or 0))
        request = Request(connection.command, connection.path, dict(connection.headers), json.loads(body or b"null"))
        self.requests.append(request)
        answer = self.answer(request) if self.answer else self.right_answer(request)
        raw = answer if isinstance(answer, Raw) else Raw(body=json.dumps(answer).encode())
        time.sleep(raw.seconds_before)
        connection.close_connection = True
        try:
            send(connection, raw)
        except OSError:
            pass  # the module hung up, as it should in some tests

    def right_answer(self, request: Request) -> Any:
        """The answer of the real bot."""
        if request.path == CHECK:
            return self.right_check(**request.json["user"])
        if request.path == LOOKUP:
            return self.right_lookup(**request.json["lookup"])
        return Raw(404)

    def right_check(self, id: str, password: str) -> Any:
        localpart = id[1:].partition(":")[0]
        account = self.accounts.get(localpart)
        if account is None or account.password != password or id != f"@{localpart}:{SERVER_NAME}":
            return no()
        return yes(localpart, **account.profile)

    def right_lookup(self, medium: str, address: str) -> Any:
        for localpart, account in self.accounts.items():
            for entry in account.profile.get("three_pids", []):
                if medium == entry["medium"] and address.lower() == entry["address"].lower():
                    return {"lookup": {"medium": medium, "address": address, "id": {"type": "localpart", "value": localpart}}}
        return {}


def send(connection: BaseHTTPRequestHandler, raw: Raw) -> None:
    """Writes an answer."""
    if raw.wire is not None:
        connection.wfile.write(raw.wire)
        return
    connection.send_response(raw.status)
    for name, value in {"Content-Type": "application/json", "Content-Length": str(len(raw.body)), **raw.headers}.items():
        connection.send_header(name, value)
    connection.end_headers()
    if not raw.seconds_between_bytes:
        connection.wfile.write(raw.body)
        return
    for byte in raw.body:
        connection.wfile.write(bytes([byte]))
        time.sleep(raw.seconds_between_bytes)


def no() -> dict[str, Any]:
    """The bot's answer for "no"."""
    return {"auth": {"success": False}}


def yes(localpart: str, **profile: Any) -> dict[str, Any]:
    """The bot's answer for "yes"."""
    return {
        "auth": {
            "success": True,
            "id": {"type": "localpart", "value": localpart},
            "mxid": f"@{localpart}:{SERVER_NAME}",
            "profile": profile,
        }
    }


def mail(address: str) -> dict[str, str]:
    """A 3PID in the bot's answer."""
    return {"medium": "email", "address": address}
