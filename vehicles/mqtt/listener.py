"""Listens at one fleet's MQTT broker: topic `fc/FLEET/DEVICE/ping`, our JSON in it, quality of service 1.

A message is acknowledged when its pings are on disk, never before; while the database is away the broker keeps what it
has sent us and the rest. The broker decides who may publish what, so it can speak for its own fleet alone.
"""

import asyncio
import contextlib
import logging
import ssl
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg
from gmqtt import Client

from vehicles.decoders.pings import BadBody, decode
from vehicles.fixes import Fix, Problem, is_device_id, shown_device
from vehicles.intake import Verdict, accept

MAX_BODY_BYTES = 512 * 1024
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 30.0
SESSION_SECONDS, UNACKNOWLEDGED = 7 * 86_400, 100
WAITING = 1_000  # of messages that want no acknowledgement, beyond those that are being stored
FAREWELL_SECONDS, TELL_AGAIN_SECONDS = 20.0, 60.0
TAKEN, REFUSED = 0, 0x80  # reason codes of MQTT

logger = logging.getLogger(__name__)


class Listener:
    """One broker, one fleet. `counts` tells what became of the messages, refusals by their reason."""

    def __init__(self, *, organisation_id: int, slug: str) -> None:
        self._organisation_id, self._topic = organisation_id, f"fc/{slug}/+/ping"
        self.counts: Counter[str] = Counter()
        self.failure = ""  # why the broker will never have us
        self.has_failed = asyncio.Event()
        self._closing, self._gone = asyncio.Event(), asyncio.Event()
        self._room, self._in_hand = asyncio.Semaphore(UNACKNOWLEDGED), 0
        self._idle = asyncio.Event()
        self._told_at: dict[str, float] = {}
        # A lasting session: what comes while we are away waits at the broker, and never more than a hundred with us.
        self._client = Client(
            f"fleetcharge-{slug}", clean_session=False, optimistic_acknowledgement=False,
            session_expiry_interval=SESSION_SECONDS, receive_maximum=UNACKNOWLEDGED,
        )  # fmt: skip
        self._client.on_connect = self._connected
        self._client.on_subscribe = self._subscribed
        self._client.on_disconnect = self._disconnected
        self._client.on_message = self._message

    async def start(self, url: str) -> None:
        """Connect to mqtt://user:password@host:1883 or mqtts://…:8883; connects again by itself later.

        Raises MQTTConnectError when the broker refuses us.
        """
        parts = urlsplit(url)
        is_safe = parts.scheme == "mqtts"
        if parts.username:
            self._client.set_auth_credentials(unquote(parts.username), unquote(parts.password or ""))
        await self._client.connect(
            parts.hostname or "127.0.0.1",
            parts.port or (8883 if is_safe else 1883),
            ssl=ssl.create_default_context() if is_safe else False,
        )

    async def close(self) -> None:
        """Take nothing new, store and acknowledge what we have, then leave; the rest stays at the broker."""
        self._closing.set()
        if self._in_hand:
            self._idle.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), FAREWELL_SECONDS)
        with contextlib.suppress(Exception):
            await self._client.disconnect()
        self._gone.set()

    def _connected(self, client: Client, *_: Any) -> None:
        self.counts["connected"] += 1
        client.subscribe(self._topic, qos=1)

    def _subscribed(self, _client: Client, _mid: int, answers: Sequence[int], *_: Any) -> None:
        for answer in answers:
            if answer >= REFUSED:
                self.counts["subscription_refused"] += 1
                self._fail(f"The broker refuses the subscription to {self._topic} (code {answer}).")

    def _disconnected(self, client: Client, *_: Any) -> None:
        self.counts["disconnected"] += 1
        if not self._closing.is_set():
            logger.warning("the broker closed the connection")
        if getattr(client._package_handler, "_permanent_failure", False):  # gmqtt tells nobody, and stays away
            self._fail("The broker refuses us for good.")

    def _fail(self, reason: str) -> None:
        logger.error(reason)
        self.failure = reason
        self.has_failed.set()

    async def _message(self, _client: Client, topic: str, payload: bytes, qos: int, *_: Any) -> int:
        """TAKEN once it is stored, or once it is known that it never will be."""
        self.counts["messages"] += 1
        if self._closing.is_set() and qos > 0:
            await self._gone.wait()  # not acknowledged: it comes again
            return TAKEN
        if qos == 0 and (
            self._closing.is_set() or self._in_hand >= UNACKNOWLEDGED + WAITING
        ):  # nobody promised to keep these
            self._refuse(
                "", Problem("overloaded", "Too many messages without acknowledgement; send quality of service 1.")
            )
            return TAKEN
        self._in_hand += 1
        try:
            async with self._room:
                await self._take(topic, payload)
        finally:
            self._in_hand -= 1
            if not self._in_hand:
                self._idle.set()
        return TAKEN

    async def _take(self, topic: str, payload: bytes) -> None:
        device = topic.split("/")[2] if topic.count("/") == 3 else ""
        for verdict in await self._stored(device, _pings(device, payload), payload):
            if isinstance(verdict, Problem):
                self._refuse(device, verdict)
            else:
                self.counts["stored"] += 1

    async def _stored(self, device: str, pings: Sequence[Fix | Problem], payload: bytes) -> Sequence[Verdict]:
        pause = FIRST_PAUSE_SECONDS
        while not self._gone.is_set():
            try:
                return await accept(pings, self._organisation_id, payload, device)
            except psycopg.DataError as error:
                return [Problem("not_stored", f"The database refuses this message: {type(error).__name__}.")]
            except (psycopg.Error, OSError) as error:
                logger.warning("pings wait at the broker: %s", type(error).__name__)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._gone.wait(), pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        self.counts["not_stored_at_exit"] += 1
        return []

    def _refuse(self, device: str, problem: Problem) -> None:
        """Counted by its reason, and said once a minute for each."""
        self.counts[problem.code] += 1
        now = time.monotonic()
        if now >= self._told_at.get(problem.code, now):
            self._told_at[problem.code] = now + TELL_AGAIN_SECONDS
            count = self.counts[problem.code]
            logger.warning(
                "refused (%s, %d so far), last of %s: %s", problem.code, count, shown_device(device), problem.detail
            )


def _pings(device: str, payload: bytes) -> list[Fix | Problem]:
    """The topic's device is the only one a message may speak of: the broker guards topics, not bodies."""
    if not is_device_id(device):
        return [Problem("invalid", "The topic names no device.")]
    if len(payload) > MAX_BODY_BYTES:
        return [Problem("too_large", f"The message is larger than {MAX_BODY_BYTES} bytes.")]
    try:
        decoded = decode(payload, device)
    except BadBody as error:
        return [Problem(error.code, str(error))]
    return [
        Problem("invalid", "The message speaks of another device than its topic.")
        if isinstance(item, Fix) and item.device != device
        else item
        for item in decoded
    ]
