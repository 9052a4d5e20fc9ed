"""Questions to the bot over HTTP.

Synapse has a single thread, which requests must not block. They use a separate Twisted agent rather than
`ModuleApi.http_client`, because the latter

* sends passwords through the proxy in `http_proxy`, even to a loopback address unless `no_proxy` contains that;
* follows redirects (303, as GET) to any host, with our secret header;
* waits 60 s for the head of an answer and forever for its body, and reads a body of any size.

This agent connects only to the endpoint, reads at most `MAX_ANSWER_BYTES`, and takes at most `timeout_seconds`,
including connecting and reading.
"""

import json
import logging
import time
from collections.abc import Callable
from io import BytesIO
from typing import Any, TypeVar

from synapse.module_api import make_deferred_yieldable
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import Agent, FileBodyProducer, ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse

from . import answer
from .answer import Malformed, Profile
from .client import client_address
from .config import Config

logger = logging.getLogger(__name__)
Verdict = TypeVar("Verdict")

MAX_ANSWER_BYTES = 65536


class Bot:
    """Client of the bot's internal programs. A question that fails is logged and answered with None."""

    def __init__(self, config: Config, reactor: Any) -> None:
        self._config = config
        self._reactor = reactor
        self._agent = Agent(reactor, connectTimeout=config.timeout_seconds)

    async def check_password(self, localpart: str, mxid: str, password: str) -> Profile | None:
        """The account's profile if the password is right."""
        question = {"user": {"id": mxid, "password": password}}
        return await self._ask(self._config.check_url, question, lambda body: answer.read_check(body, localpart, mxid))

    async def localpart_of(self, address: str) -> str | None:
        """The localpart of the account with a mail address, according to the bot."""
        if self._config.lookup_url is None:
            return None
        question = {"lookup": {"medium": "email", "address": address}}
        return await self._ask(self._config.lookup_url, question, lambda body: answer.read_lookup(body, address))

    async def _ask(self, url: str, question: dict[str, Any], read: Callable[[bytes], Verdict | None]) -> Verdict | None:
        """Asks one question. Any error is logged and gives None, so no error lets anybody in."""
        limit = self._config.timeout_seconds
        begun = time.monotonic()
        exchange = ensureDeferred(self._exchange(url, question)).addTimeout(limit, self._reactor)
        try:
            status, body = await make_deferred_yieldable(exchange)
        except Malformed as fault:
            logger.warning("register bot: the answer from %s is not understood: %s", url, fault)
            return None
        except Exception as error:
            # A cancelled request raises one of several exceptions, so a time-out is recognised by the clock.
            late = time.monotonic() - begun >= limit
            reason = f"no full answer within {limit:g} s" if late else f"{type(error).__name__}: {error}"
            logger.warning("register bot: cannot be reached at %s: %s", url, reason)
            return None
        return judge(url, status, body, read)

    async def _exchange(self, url: str, question: dict[str, Any]) -> tuple[int, bytes]:
        """Sends the question and returns status and body of the answer. Redirects are not followed."""
        headers = Headers({"Content-Type": ["application/json"], "Accept": ["application/json"]})
        headers.addRawHeader("User-Agent", "matrix-register-bot-synapse")
        if self._config.shared_secret is not None:
            headers.addRawHeader("X-Register-Bot-Secret", self._config.shared_secret)
        address = client_address()
        if address is not None:
            headers.addRawHeader("X-Register-Bot-Client", address)
        content = FileBodyProducer(BytesIO(json.dumps(question).encode("ascii")))
        response = await self._agent.request(b"POST", url.encode("ascii"), headers, content)
        return response.code, await read_body(response)


def judge(url: str, status: int, body: bytes, read: Callable[[bytes], Verdict | None]) -> Verdict | None:
    """The verdict in an answer."""
    if status != 200:
        hint = " (does the bot's allowed_addresses hold this machine?)" if status == 403 else ""
        logger.warning("register bot: %s answered with status %d and %d bytes, not with 200%s", url, status, len(body), hint)
        return None
    try:
        return read(body)
    except Malformed as fault:
        logger.warning("register bot: the answer from %s is not understood: %s (%d bytes)", url, fault, len(body))
        return None


def read_body(response: IResponse) -> "Deferred[bytes]":
    """The whole body; `Malformed` as soon as it is too large. Cancelling closes the connection."""
    reader = BodyReader()
    response.deliverBody(reader)
    return reader.body


class BodyReader(Protocol):
    """Collects a body up to `MAX_ANSWER_BYTES`."""

    def __init__(self) -> None:
        self.body: Deferred[bytes] = Deferred(lambda _: self.abort())
        self._received = bytearray()

    def dataReceived(self, data: bytes) -> None:
        self._received += data
        if len(self._received) > MAX_ANSWER_BYTES and not self.body.called:
            self.body.errback(Malformed(f"it is larger than {MAX_ANSWER_BYTES} bytes"))
            self.abort()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.body.called:
            return
        # An answer without a length ends with the connection; parsing will detect truncated JSON.
        if reason.check(ResponseDone, PotentialDataLoss):
            self.body.callback(bytes(self._received))
        else:
            self.body.errback(reason)

    def abort(self) -> None:
        """Closes the connection at once, because further data is useless."""
        abort = getattr(self.transport, "abortConnection", None)
        if abort is not None:
            abort()
