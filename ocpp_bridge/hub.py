"""The sockets of this process: newest wins, commands find their charger, silence is noticed."""

import asyncio
import contextlib
import logging
import os
import socket
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import redis.asyncio
from django.conf import settings

from ocpp_bridge import commands, courier
from ocpp_bridge.threads import in_database
from stations import services as stations
from stations.models import Charger

if TYPE_CHECKING:
    from ocpp_bridge.consumers import ChargerConsumer

REPLACED_CHANNEL = "fc:ocpp:replaced"
POLL_SECONDS, EPOCH_SECONDS, SEEN_SECONDS = 1.0, 5.0, 15.0
ASK_STATUS_AFTER_SECONDS = 20.0

logger = logging.getLogger(__name__)
Duty = Callable[[], Coroutine[Any, Any, None]]


class Hub:
    """One per process. Valkey makes it fast, the database makes it sure: every message here also has a poll."""

    def __init__(self) -> None:
        self.node = f"{socket.gethostname()[:40]}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._loop: asyncio.AbstractEventLoop | None = None
        self._reset()

    def _reset(self) -> None:
        self._sockets: dict[int, ChargerConsumer] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._running: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._sockets)

    async def register(self, consumer: "ChargerConsumer") -> None:
        """The socket with the highest epoch is the charger; an older one here is closed, elsewhere told to."""
        self._ensure_running()
        assert consumer.station is not None  # noqa: S101 (registered after the handshake)
        charger_id = consumer.station.charger_id
        present = self._sockets.get(charger_id)
        if present is not None and present.epoch > consumer.epoch:
            await consumer.replaced()
            return
        self._sockets[charger_id] = consumer
        if present is not None:
            await present.replaced()
        self._start(self._tell_others(charger_id, consumer.epoch))
        self._deliver_to(charger_id)

    def unregister(self, consumer: "ChargerConsumer") -> None:
        if consumer.station and self._sockets.get(consumer.station.charger_id) is consumer:
            del self._sockets[consumer.station.charger_id]

    def find(self, charger_id: int) -> "ChargerConsumer | None":
        return self._sockets.get(charger_id)

    async def close(self) -> None:
        """Stop the background tasks (orderly shutdown, end of a test)."""
        tasks = [*self._tasks.values(), *self._running]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._reset()

    def _ensure_running(self) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._reset()
            self._loop = loop
        duties: dict[str, Duty] = {
            "listen": self._listen,
            "commands": _every(POLL_SECONDS, self._poll_commands),
            "epochs": _every(EPOCH_SECONDS, self._check_epochs),
            "seen": _every(SEEN_SECONDS, self._report_seen),
        }
        for name, duty in duties.items():
            if name not in self._tasks or self._tasks[name].done():
                self._tasks[name] = loop.create_task(duty(), name=f"ocpp-hub-{name}")

    def _start(self, work: Awaitable[None]) -> None:
        """Run and keep a reference, as the loop itself keeps none."""
        task = asyncio.ensure_future(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def _deliver_to(self, charger_id: int) -> None:
        consumer = self._sockets.get(charger_id)
        if consumer is not None and not consumer.is_closed:
            self._start(courier.deliver(consumer))

    async def _listen(self) -> None:
        """Wake-ups from anywhere; reconnects for ever, the polls do the work meanwhile."""
        while True:
            try:
                client = redis.asyncio.Redis.from_url(settings.REDIS_URL, socket_timeout=None)
                async with client, client.pubsub() as channel:
                    await channel.subscribe(commands.WAKE_CHANNEL, REPLACED_CHANNEL)
                    async for message in channel.listen():
                        if message["type"] == "message":
                            await self._hear(message["channel"].decode(), message["data"].decode())
            except (redis.RedisError, OSError) as error:
                logger.warning("no wake-ups until Valkey is back: %s", error)
            except Exception:
                logger.exception("wake-up failed")
            await asyncio.sleep(1)

    async def _hear(self, channel: str, text: str) -> None:
        if channel == commands.WAKE_CHANNEL:
            self._deliver_to(int(text))
            return
        charger_id, epoch, node = text.split("|", 2)
        consumer = self._sockets.get(int(charger_id))
        if node != self.node and consumer is not None and consumer.epoch < int(epoch):
            await consumer.replaced()

    async def _tell_others(self, charger_id: int, epoch: int) -> None:
        with contextlib.suppress(redis.RedisError, OSError):
            client = redis.asyncio.Redis.from_url(settings.REDIS_URL, socket_timeout=2)
            async with client:
                await client.publish(REPLACED_CHANNEL, f"{charger_id}|{epoch}|{self.node}")

    async def _poll_commands(self) -> None:
        if self._sockets:
            for charger_id in await in_database(commands.chargers_with_work, list(self._sockets)):
                self._deliver_to(charger_id)

    async def _check_epochs(self) -> None:
        """The truth about who owns a charger, should a message have been lost; and sockets that only look alive."""
        epochs = await in_database(_epochs_of, list(self._sockets)) if self._sockets else {}
        idle_since = time.monotonic() - 4 * settings.OCPP_HEARTBEAT_SECONDS
        for charger_id, consumer in list(self._sockets.items()):
            if consumer.epoch < epochs.get(charger_id, 0):
                await consumer.replaced()
            elif consumer.heard_at < idle_since:
                await consumer.close(1001, "silent for too long")
            elif courier.is_mute(consumer, ASK_STATUS_AFTER_SECONDS):
                self._start(courier.ask_for_status(consumer))

    async def _report_seen(self) -> None:
        if self._sockets:
            await in_database(stations.charger_seen, charger_ids=list(self._sockets), at=datetime.now(UTC))


def _every(seconds: float, work: Callable[[], Awaitable[None]]) -> Duty:
    async def run() -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await work()
            except Exception as error:  # the database may be away; the next round tries again
                logger.warning("%s: %s", work.__name__, error)

    return run


def _epochs_of(charger_ids: list[int]) -> dict[int, int]:
    return dict(Charger.objects.filter(pk__in=charger_ids).values_list("pk", "connection_epoch"))


hub = Hub()
