"""Listens at one fleet's MQTT broker: topic `fc/FLEET/DEVICE/ping`, our JSON in it, quality of service 1.

A message is acknowledged when its pings are on disk, never before; while the database is away the broker keeps what it
has sent us and the rest. The broker decides who may publish what, so it can speak for its own fleet alone.
"""

import asyncio
import contextlib
import logging
import ssl
from collections import Counter
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg
from gmqtt import Client

from vehicles.decoders.pings import BadBody, decode
from vehicles.fixes import Fix, Problem, is_device_id, shown_device
from vehicles.intake import accept

MAX_BODY_BYTES = 512 * 1024
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 30.0
SESSION_SECONDS, UNACKNOWLEDGED = 7 * 86_400, 100
TAKEN = 0  # the reason code of an acknowledgement

logger = logging.getLogger(__name__)


class Listener:
    """One broker, one fleet. `counts` tells what became of the messages."""

    def __init__(self, *, organisation_id: int, slug: str) -> None:
        self._organisation_id, self._topic = organisation_id, f"fc/{slug}/+/ping"
        self.counts: Counter[str] = Counter()
        # A lasting session: what comes while we are away waits at the broker, and never more than a hundred with us.
        self._client = Client(
            f"fleetcharge-{slug}", clean_session=False, optimistic_acknowledgement=False,
            session_expiry_interval=SESSION_SECONDS, receive_maximum=UNACKNOWLEDGED,
        )  # fmt: skip
        self._client.on_connect = self._connected
        self._client.on_message = self._message

    async def start(self, url: str) -> None:
        """Connect to mqtt://user:password@host:1883 or mqtts://…:8883; connects again by itself later."""
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
        with contextlib.suppress(Exception):
            await self._client.disconnect()

    def _connected(self, client: Client, *_: Any) -> None:
        client.subscribe(self._topic, qos=1)

    async def _message(self, client: Client, topic: str, payload: bytes, *_: Any) -> int:
        """TAKEN once it is stored, or once it is known that it never will be."""
        self.counts["messages"] += 1
        device = topic.split("/")[2] if topic.count("/") == 3 else ""
        pings = _pings(device, payload)
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                verdicts = await accept(pings, self._organisation_id, payload)
            except (psycopg.OperationalError, psycopg.InterfaceError, OSError) as error:
                logger.warning("pings wait at the broker: %s", type(error).__name__)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
                continue
            break
        for verdict in verdicts:
            code = verdict.code if isinstance(verdict, Problem) else "stored"
            self.counts[code] += 1
            if isinstance(verdict, Problem):
                logger.info("a ping of %s was refused: %s", shown_device(device), code)
        return TAKEN


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
