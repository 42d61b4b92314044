"""The sockets of this process: newest wins, commands find their charger, silence is noticed, the end is in order."""

import asyncio
import contextlib
import logging
import os
import random
import socket
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import redis.asyncio
from django.conf import settings

from fleetcharge.lib.eager import run_until_it_waits
from ocpp_bridge import bell, changes, commands, courier, nodes
from ocpp_bridge.threads import in_database
from stations import services as stations

if TYPE_CHECKING:
    from ocpp_bridge.consumers import ChargerConsumer

POLL_SECONDS, EPOCH_SECONDS, SILENCE_SECONDS, LEASE_SECONDS, SEEN_SECONDS = 1.0, 5.0, 5.0, 5.0, 60.0
ASK_STATUS_AFTER_SECONDS, ASK_EVERY_SECONDS = 20.0, 0.002
ANNOUNCE_AFTER_SECONDS = 0.05
SETTLE_SECONDS = 5.0  # what is being answered when a socket is let go may take this long
SERVICE_RESTART, POLICY_VIOLATION = 1012, 1008
SEEN_AT_ONCE, ASKED_AT_ONCE, LOOKED_AT_ONCE = 1000, 500, 50

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
        self._taken_over: dict[int, int] = {}
        self._valkey: redis.asyncio.Redis | None = None
        self._leased_at = time.monotonic()
        self.is_draining = False

    def __len__(self) -> int:
        return len(self._sockets)

    async def register(self, consumer: "ChargerConsumer") -> None:
        """The socket with the highest epoch is the charger; an older one here is closed, elsewhere told to."""
        self._ensure_running()
        assert consumer.station is not None  # noqa: S101 (registered after the handshake)
        charger_id = consumer.station.charger_id
        present = self._sockets.get(charger_id)
        if present is not None and present.epoch > consumer.epoch:
            self._close(consumer.replaced())
            return
        self._sockets[charger_id] = consumer
        if present is not None:
            self._close(present.replaced())
        self._announce(charger_id, consumer.epoch)
        self._deliver_to(charger_id)

    def taken_over(self, charger_id: int, epoch: int) -> None:
        """The charger has a newer socket, here or elsewhere: an older one of ours is deaf from this moment on.

        What waits on it is dropped unanswered, and the charger says it again on its new socket.
        """
        present = self._sockets.get(charger_id)
        if present is not None and present.epoch < epoch:
            self._close(present.replaced())

    def unregister(self, consumer: "ChargerConsumer") -> None:
        if consumer.station and self._sockets.get(consumer.station.charger_id) is consumer:
            del self._sockets[consumer.station.charger_id]

    def find(self, charger_id: int) -> "ChargerConsumer | None":
        return self._sockets.get(charger_id)

    def count_at(self, address: str) -> int:
        """How many sockets of ours come from there."""
        return sum(consumer.address == address for consumer in self._sockets.values())

    async def close(self) -> None:
        """Stop the background tasks and give the lease back (orderly shutdown, end of a test)."""
        tasks = [*self._tasks.values(), *self._running]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if tasks:
            try:
                await in_database(nodes.forget, node=self.node, now=datetime.now(UTC))
            except Exception as error:
                logger.warning("the lease of %s runs out by itself: %s", self.node, error)
        if self._valkey is not None:
            with contextlib.suppress(redis.RedisError, OSError):
                await self._valkey.aclose()
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
            "silence": _every(SILENCE_SECONDS, self._look_for_silence),
            "lease": _every(LEASE_SECONDS, self._keep_lease, at_once=True),
            "seen": _every(SEEN_SECONDS, self._report_present),
        }
        for name, duty in duties.items():
            if name not in self._tasks or self._tasks[name].done():
                self._tasks[name] = loop.create_task(duty(), name=f"ocpp-hub-{name}")

    def _start(self, work: Awaitable[None]) -> None:
        """Run and keep a reference, as the loop itself keeps none."""
        task = asyncio.ensure_future(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def _close(self, work: Coroutine[Any, Any, None]) -> None:
        """Deaf from this moment on; whether and when the charger hears our goodbye is nobody else's matter."""
        if task := run_until_it_waits(work):
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    def _deliver_to(self, charger_id: int) -> None:
        consumer = self._sockets.get(charger_id)
        if consumer is not None and not consumer.is_closed:
            self._start(courier.deliver(consumer, self.node))

    # --- wake-ups -------------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        """Wake-ups from anywhere; reconnects for ever, the polls do the work meanwhile."""
        is_deaf = False
        while True:
            try:
                client = redis.asyncio.Redis.from_url(settings.REDIS_URL, socket_timeout=None)
                async with client, client.pubsub() as channel:
                    await channel.subscribe(bell.EVERYBODY, bell.channel_of(self.node))
                    is_deaf = False
                    async for message in channel.listen():
                        if message["type"] == "message":
                            await self._hear(message["data"].decode())
            except (redis.RedisError, OSError) as error:
                logger.log(logging.DEBUG if is_deaf else logging.WARNING, "no wake-ups until Valkey is back: %s", error)
                is_deaf = True
            except Exception:
                logger.exception("wake-up failed")
            await asyncio.sleep(1)

    async def _hear(self, text: str) -> None:
        """`wake <charger>`, or `taken <node> <charger>:<epoch>,...`: sockets that a newer one has replaced."""
        kind, _, rest = text.partition(" ")
        if kind == "wake":
            self._deliver_to(int(rest))
            return
        node, _, pairs = rest.partition(" ")
        for pair in pairs.split(",") if node != self.node else ():
            charger_id, _, epoch = pair.partition(":")
            self.taken_over(int(charger_id), int(epoch))

    def _announce(self, charger_id: int, epoch: int) -> None:
        """Tell the other nodes; in a reconnect storm many sockets share one message."""
        if not self._taken_over:
            self._start(self._tell_others())
        self._taken_over[charger_id] = epoch

    async def _tell_others(self) -> None:
        await asyncio.sleep(ANNOUNCE_AFTER_SECONDS)
        taken, self._taken_over = self._taken_over, {}
        pairs = ",".join(f"{charger_id}:{epoch}" for charger_id, epoch in taken.items())
        if self._valkey is None:
            self._valkey = redis.asyncio.Redis.from_url(settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2)
        try:
            await self._valkey.publish(bell.EVERYBODY, f"taken {self.node} {pairs}")
        except (redis.RedisError, OSError) as error:
            logger.info("replaced sockets are found by the next look at the epochs: %s", error)

    # --- the polls ------------------------------------------------------------------------------------------------

    async def _poll_commands(self) -> None:
        if self._sockets:
            for charger_id in await in_database(commands.chargers_with_work, node=self.node):
                self._deliver_to(charger_id)

    async def _check_epochs(self) -> None:
        """The truth about who owns a charger, should a message have been lost, and what its record says of it now."""
        sockets = list(self._sockets.values())
        for start in range(0, len(sockets), ASKED_AT_ONCE):
            await self._compare(sockets[start : start + ASKED_AT_ONCE])
            await asyncio.sleep(0)

    async def _compare(self, sockets: "list[ChargerConsumer]") -> None:
        """What is said of a charger is meant for the socket that was asked about; it may have opened another since."""
        held = [_standing(consumer) for consumer in sockets]
        asked = {standing[0]: consumer for standing, consumer in zip(held, sockets, strict=True)}
        for place, change in enumerate(await in_database(changes.look_up, held)):
            await _leave_room(place)
            self.taken_over(change.charger_id, change.epoch)
            consumer = asked[change.charger_id]
            if self._sockets.get(change.charger_id) is consumer and consumer.epoch == change.epoch:
                self._heed(consumer, change)

    def _heed(self, consumer: "ChargerConsumer", change: changes.Change) -> None:
        assert consumer.station is not None  # noqa: S101 (registered after the handshake)
        consumer.station.heed(change.registration)
        if change.reason:
            logger.warning("closing the socket of %s: %s", consumer.station.identity, change.reason)
            self._close(consumer.close(POLICY_VIOLATION, change.reason))

    async def _look_for_silence(self) -> None:
        """Sockets that only look alive, and chargers whose status is old news; after an outage it is all of them.

        A round of its own: however many are asked, the look at the epochs comes in time.
        """
        idle_since = time.monotonic() - 4 * settings.OCPP_HEARTBEAT_SECONDS
        for place, consumer in enumerate(list(self._sockets.values())):
            await _leave_room(place)
            if consumer.is_closed:
                continue
            if courier.gives_no_sign(consumer):
                self._close(consumer.close(1001, "silent for too long"))
            elif max(consumer.heard_at, consumer.asked_for_a_sign_at) < idle_since:
                self._start(courier.ask_for_a_sign(consumer))
                await asyncio.sleep(ASK_EVERY_SECONDS)
            elif courier.is_mute(consumer, ASK_STATUS_AFTER_SECONDS):
                self._start(courier.ask_for_status(consumer))
                await asyncio.sleep(ASK_EVERY_SECONDS)

    async def _keep_lease(self) -> None:
        """Say that this process lives; take note of those that do not any more."""
        try:
            is_new = await in_database(
                nodes.refresh, node=self.node, sockets=len(self._sockets), is_draining=self.is_draining
            )
        except Exception:
            if time.monotonic() - self._leased_at > settings.OCPP_CUT_OFF_SECONDS:
                self._give_up_sockets()
            raise
        was_away = time.monotonic() - self._leased_at > 2 * LEASE_SECONDS
        self._leased_at = time.monotonic()
        await in_database(nodes.bury_the_lost, now=datetime.now(UTC))
        if is_new or was_away:
            await self._report_present()

    def _give_up_sockets(self) -> None:
        """Cut off from the database we can only answer "not stored", and chargers stop repeating after a few times.

        Without a socket they keep everything in their offline queue, and find a node that can store it.
        """
        if self._sockets:
            logger.error("no database for too long: letting go of %d chargers", len(self._sockets))
        for consumer in list(self._sockets.values()):
            if not consumer.is_leaving:
                self._start(_let_go(consumer, after=random.uniform(0, SETTLE_SECONDS)))  # noqa: S311 (jitter)

    async def _report_present(self) -> None:
        """Ten thousand sockets are some small statements, so that no lock is held for long."""
        now, held = datetime.now(UTC), list(self._sockets)
        await in_database(stations.node_holds, node=self.node, charger_ids=held, at=now)
        epochs = list(self._epochs().items())
        for start in range(0, len(epochs), SEEN_AT_ONCE):
            sockets = dict(epochs[start : start + SEEN_AT_ONCE])
            await in_database(stations.chargers_present, sockets=sockets, node=self.node, at=datetime.now(UTC))

    def _epochs(self) -> dict[int, int]:
        return {charger_id: consumer.epoch for charger_id, consumer in self._sockets.items()}

    # --- letting go -----------------------------------------------------------------------------------------------

    async def drain(self, seconds: float) -> None:
        """Take no new sockets and close ours with 1012, spread over `seconds`, each when its answers are out.

        Without another node nobody could take the chargers over, so then nothing is spread.
        """
        self.is_draining = True
        seconds = seconds if await self._has_others() else 0.0
        leaving = list(self._sockets.values())
        random.shuffle(leaving)
        logger.warning("letting go of %d chargers within %.0f s", len(leaving), seconds)
        started = time.monotonic()
        for index, consumer in enumerate(leaving):
            await asyncio.sleep(max(0.0, started + seconds * index / len(leaving) - time.monotonic()))
            self._start(_let_go(consumer))
        while self._running and self._sockets:
            await asyncio.wait(self._running, timeout=SETTLE_SECONDS)
            if time.monotonic() > started + seconds + 2 * SETTLE_SECONDS:
                return

    async def _has_others(self) -> bool:
        try:
            await in_database(nodes.refresh, node=self.node, sockets=len(self._sockets), is_draining=True)
            return await in_database(nodes.has_others, node=self.node)
        except Exception as error:
            logger.warning("no database, no successor: %s", error)
            return False


async def _let_go(consumer: "ChargerConsumer", after: float = 0.0) -> None:
    """No command of ours is begun any more; what is under way is answered, then the socket closes."""
    consumer.is_leaving = True
    await asyncio.sleep(after)
    give_up_at = time.monotonic() + SETTLE_SECONDS
    while not _is_quiet(consumer) and time.monotonic() < give_up_at:  # noqa: ASYNC110 (the hot path need not tell us)
        await asyncio.sleep(0.05)
    await consumer.close(SERVICE_RESTART, "service restart")


def _is_quiet(consumer: "ChargerConsumer") -> bool:
    return consumer.calls.is_idle and consumer.lane.is_idle and not consumer.has_courier


def _every(seconds: float, work: Callable[[], Awaitable[None]], *, at_once: bool = False) -> Duty:
    async def run() -> None:
        pause = 0.0 if at_once else seconds
        while True:
            await asyncio.sleep(pause)
            began = time.monotonic()
            try:
                await work()
            except Exception as error:  # the database may be away; the next round tries again
                logger.warning("%s: %s", work.__name__, error)
            pause = _rest(seconds, time.monotonic() - began)

    return run


def _rest(seconds: float, took: float) -> float:
    """A round that took long makes the next one no later, and is never followed by one without a pause."""
    return max(seconds - took, seconds / 10)


async def _leave_room(place: int) -> None:
    """In a walk over thousands of sockets: whoever says something is answered first."""
    if place % LOOKED_AT_ONCE == 0:
        await asyncio.sleep(0)


def _standing(consumer: "ChargerConsumer") -> changes.Held:
    assert consumer.station is not None  # noqa: S101 (registered after the handshake)
    station, admission = consumer.station, consumer.admission
    return station.charger_id, consumer.epoch, station.registration, admission.credential, admission.security_profile


hub = Hub()
