"""API keys of telemetry senders, remembered in the process so that a ping costs no query."""

import asyncio
import hashlib
import time
from collections.abc import Callable
from typing import NamedTuple

from fleetcharge.accounts import services, throttling
from fleetcharge.accounts.models import Scope
from fleetcharge.lib.asgi import Scope as AsgiScope
from fleetcharge.lib.asgi import header
from fleetcharge.lib.threads import DatabaseThreads

REMEMBERED_SECONDS = 10.0  # a revoked key stops working within this time
MAX_ENTRIES = 10_000


class Sender(NamedTuple):
    """Who presented the key."""

    organisation_id: int
    may_send: bool


NOBODY: tuple[float, Sender | None] = (0.0, None)


class KeyCache:
    """Presented secrets (as digests) and who they belong to; concurrent first uses share one query."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._entries: dict[bytes, tuple[float, asyncio.Task[Sender | None]]] = {}
        self._known: dict[bytes, tuple[float, Sender | None]] = {}
        self._threads = DatabaseThreads("ingest-keys", threads=1)

    async def find(self, secret: str) -> Sender | None:
        """The sender behind a secret, None when the key is unknown, expired or revoked."""
        digest, now = hashlib.blake2b(secret.encode(), digest_size=16).digest(), self._clock()
        ends_at, sender = self._known.get(digest, NOBODY)
        if ends_at > now:
            return sender
        entry = self._entries.get(digest)
        if entry is None or entry[0] <= now or self._is_useless(entry[1]):
            if len(self._entries) >= MAX_ENTRIES:
                self._entries.clear()
                self._known.clear()
            entry = (now + REMEMBERED_SECONDS, asyncio.ensure_future(self._look_up(secret)))
            self._entries[digest] = entry
        sender = await asyncio.shield(entry[1])
        self._known[digest] = entry[0], sender
        return sender

    async def count_wrong(self, address: str) -> int:
        """Count a wrong key; seconds its address is told to wait, 0 while it is only wrong."""
        return await self._threads.run(throttling.wrong_credential, "wrong-ingest-key", address)

    def close(self) -> None:
        """Forget everything and let go of the thread's database connection."""
        self._entries.clear()
        self._known.clear()
        self._threads.close()

    def _is_useless(self, task: "asyncio.Task[Sender | None]") -> bool:
        """Failed for want of a database, or begun in a loop that is gone."""
        if task.get_loop() is not asyncio.get_running_loop():
            return True
        return task.done() and (task.cancelled() or task.exception() is not None)

    async def _look_up(self, secret: str) -> Sender | None:
        return await self._threads.run(find_sender, secret)


def find_sender(secret: str) -> Sender | None:
    """The organisation of a live key; one query, and one write a minute to remember its use."""
    key = services.find_api_key(secret)
    if key is None:
        return None
    services.touch_api_key(key)
    return Sender(key.organisation_id, Scope.TELEMETRY_WRITE in key.scopes)


def presented_secret(scope: AsgiScope) -> str:
    """The key in `Authorization: Bearer` or `X-API-Key`, or ''."""
    kind, _, value = header(scope, b"authorization").partition(b" ")
    secret = value if kind.lower() == b"bearer" else header(scope, b"x-api-key")
    return secret.strip().decode("ascii", "replace")
