"""One browser's live socket: a raw ASGI application, because a stock consumer costs a thread hop per message."""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from dispatch import doorkeeper, live_reads, wire, wording
from dispatch.boards import StatusLayer, Viewport
from dispatch.hub import LiveHub, hub
from dispatch.pictures import LAYERS, Look
from fleetcharge.lib import asgi
from fleetcharge.lib.sockets import HEAR, WRITE, WRITE_BYTES

SLOWER_AFTER_SECONDS = ((5.0, 1.0), (2.0, 0.5))
"""Age of the oldest frame the page has not acknowledged, and the pause between frames that we then make."""
STATUS_SECONDS = 2.0
TOO_SLOW_SECONDS = 15.0
RECHECK_SECONDS = 60.0
MAX_SOCKETS_PER_USER = 6
MAX_TEXT_BYTES = 65_536
MAX_WAITING_TEXTS = 2_000
MAX_BAD_MESSAGES = 3
MAX_FOCUS = 200
MAX_ID = 0xFFFFFFFF
TOO_SLOW, BAD_MESSAGES = 4408, 4400
COULD_NOT_TELL = 1011

NEAR = 18.0
"""The zoom of a page that does not say."""

logger = logging.getLogger(__name__)


class LiveSocket:
    """State of one connection. What it looks at is told by a sight (dispatch/sights.py), which it shares.

    All goes out in order: at once where nothing stands in the way, else by the writer task.
    """

    def __init__(
        self, guest: doorkeeper.Guest, the_hub: LiveHub, send: asgi.Send, short_ways: Mapping[str, Any] | None = None
    ) -> None:
        self.guest, self.hub, self._send = guest, the_hub, send
        self.user_id, self.organisation_id = guest.user_id, guest.organisation_id
        self.is_paused = False
        self._wake = asyncio.Event()
        self._language = wording.ENGLISH
        self._waiting: deque[str | bytes] = deque()
        self._kpi: str | None = None
        self._held_alerts: list[dict[str, Any]] | None = []
        self._place: tuple[Viewport, float] | None = None
        self._layers_on = {"vehicles", "stations"}
        self._focus: dict[str, frozenset[int]] = {"vehicles": frozenset(), "stations": frozenset()}
        self._is_look_due = False
        self._status = StatusLayer(the_hub.statuses_of(guest.organisation_id))
        self._status_at = float("-inf")
        self._has_details = False
        self._seq = 0
        self._unacked: deque[tuple[int, float]] = deque()
        self._sending_since: float | None = None
        self._bye: tuple[int, int] | None = None
        self._bad_messages = 0
        self._checked_at = time.monotonic()
        self._tasks: set[asyncio.Task[None]] = set()
        self._use_short_ways(short_ways or {})

    def _use_short_ways(self, short_ways: Mapping[str, Any]) -> None:
        self._write_text = short_ways.get(WRITE, _never)
        self._write_bytes = short_ways.get(WRITE_BYTES, _never)
        self._hear_with = short_ways.get(HEAR, _never)
        self._hear_with(self._hear)

    # --- called by the hub ----------------------------------------------------------------------------------------
    def alert(self, payload: dict[str, Any]) -> None:
        if self._held_alerts is not None:  # until the browser has said what it already knows
            self._held_alerts.append(payload)
        else:
            self._say_alert(payload)

    def _say_alert(self, payload: dict[str, Any]) -> None:
        spoken = live_reads.spoken_on_screens if self.guest.is_screen else live_reads.spoken
        self._say(spoken(payload, self._language))

    def session(self, payload: dict[str, Any]) -> None:
        is_watched = payload["vehicle_id"] in self._focus["vehicles"]
        if is_watched or payload["location_id"] in self._focus["stations"]:
            self._say(payload)

    def kpi(self, text: str) -> None:
        self._kpi = text
        self._go_on()

    def resync(self, why: str) -> None:
        self._say({"type": "resync", "why": why})

    def details(self, payload: dict[str, Any]) -> None:
        if self._has_details:  # else it has no names yet, and asks once it has
            self._say(payload)

    def check(self, now: float) -> None:
        """Once a second: let go of browsers that do not keep up, and of people who signed out."""
        oldest = self._unacked[0][1] if self._unacked and not self.is_paused else now
        if now - oldest > TOO_SLOW_SECONDS:
            self.close(TOO_SLOW, 1000)
        if self._sending_since is not None and now - self._sending_since > TOO_SLOW_SECONDS:
            self._cancel()
        if now - self._checked_at > RECHECK_SECONDS:
            self._checked_at = now
            self._start(self._recheck())

    # --- called by what it looks at -------------------------------------------------------------------------------
    @property
    def is_free(self) -> bool:
        return not self._waiting and self._sending_since is None and self._bye is None

    def pause(self, now: float) -> float:
        lag = now - self._unacked[0][1] if self._unacked else 0.0
        return next((pause for seconds, pause in SLOWER_AFTER_SECONDS if lag > seconds), 0.0)

    def take(self, frames: list[wire.Frame], now: float) -> None:
        self._tell(frames, now)

    def _tell(self, frames: list[wire.Frame], now: float) -> None:
        for frame in frames:
            self._seq += 1
            self._unacked.append((self._seq, now))
            self._put_soon(frame.numbered(self._seq))

    def give_up(self) -> None:
        self.close(COULD_NOT_TELL, 1000)

    # --- life -----------------------------------------------------------------------------------------------------
    async def run(self, receive: asgi.Receive) -> None:
        tasks = {asyncio.create_task(self._write()), asyncio.create_task(self._read(receive))}
        self._tasks |= tasks
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._hear_with(None)
            self.hub.sights.leave(self)
            self._cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def close(self, code: int, retry_ms: int) -> None:
        self._bye = self._bye or (code, retry_ms)
        self._wake.set()

    def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()

    def _start(self, coroutine: Any) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """What a page asked for and could not be read must not be missing unnoticed: it comes again and asks anew."""
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.warning("live socket: could not answer: %r", error)
            self.close(COULD_NOT_TELL, 1000)

    async def _recheck(self) -> None:
        with contextlib.suppress(Exception):  # a database that rests is no reason to sign people out
            guest = await self.hub.read(doorkeeper.identify, self.guest.session_key)
            if guest != self.guest:
                self.close(guest if isinstance(guest, int) else doorkeeper.OTHER_FLEET, 0)

    # --- reading --------------------------------------------------------------------------------------------------
    async def _read(self, receive: asgi.Receive) -> None:
        while (message := await receive())["type"] == "websocket.receive":
            self._hear(message.get("text") or "")

    def _hear(self, text: str) -> bool:
        try:
            self._heed(text)
        except (ValueError, TypeError, KeyError, OverflowError):
            self._bad_messages += 1
            if self._bad_messages >= MAX_BAD_MESSAGES:
                self.close(BAD_MESSAGES, 60_000)
        return True

    def _heed(self, text: str) -> None:
        if len(text) > MAX_TEXT_BYTES:
            raise ValueError("too long")
        message = orjson.loads(text)
        heed = {
            "hello": self._hello, "view": self._look, "focus": self._focus_on, "ack": self._acked,
            "pause": self._pause, "resume": self._resume, "details": self._ask_details,
        }[message["type"]]  # fmt: skip
        heed(message)

    def _hello(self, message: dict[str, Any]) -> None:
        self._say({
            "type": "welcome", "epoch": self.hub.epoch, "hz": self.hub.sights.hz, "states": wire.STATE_NAMES,
            "server_time": datetime.now(UTC).isoformat(), "rev": self.hub.revision_of(self.organisation_id),
        })  # fmt: skip
        self._language = str(message.get("language") or wording.ENGLISH)
        self._start(self._replay_alerts(int(message.get("last_alert") or 0)))

    async def _replay_alerts(self, last_revision: int) -> None:
        missed = await self.hub.read(live_reads.alerts_after, self.organisation_id, last_revision)
        held, self._held_alerts = self._held_alerts or [], None
        for payload in [*missed, *held]:
            self._say_alert(payload)

    def _ask_details(self, message: dict[str, Any]) -> None:
        """Drivers and next stops are not for a screen that anybody may look at."""
        if self.guest.is_screen:
            return
        self._start(self._tell_details(int(message["rev"])))

    async def _tell_details(self, revision: int) -> None:
        missed = await self.hub.details_since(self.organisation_id, revision)
        self._has_details = True
        if missed is not None:
            self._say(missed)

    def _look(self, message: dict[str, Any]) -> None:
        pad = min(1.0, max(0.0, float(message.get("pad", 0.25))))
        zoom = min(NEAR, max(0.0, float(message.get("z", NEAR))))
        self._place = Viewport.of(message["bbox"], pad), zoom
        self._turn_on(set(message.get("layers") or self._layers_on))
        self._look_anew()

    def _look_anew(self) -> None:
        """Nothing more of the old; all of the new, once what is on its way is gone: however often it is asked for."""
        self.hub.sights.leave(self)
        self._is_look_due = True
        self._wake.set()

    def _turn_on(self, layers: set[str]) -> None:
        if "status" in layers - self._layers_on:
            self._status_at = float("-inf")  # at once: what the map held may be told no longer
        self._layers_on = layers

    def _focus_on(self, message: dict[str, Any]) -> None:
        focus = {"vehicles": _ids(message.get("veh", [])), "stations": _ids(message.get("stn", []))}
        if focus != self._focus:
            self._focus = focus
            self._look_anew()

    def _acked(self, message: dict[str, Any]) -> None:
        seq = int(message["seq"])
        while self._unacked and self._unacked[0][0] <= seq:
            self._unacked.popleft()

    def _pause(self, message: dict[str, Any]) -> None:
        self.is_paused = True
        self.hub.sights.leave(self)

    def _resume(self, message: dict[str, Any]) -> None:
        self.is_paused = False
        self._unacked.clear()
        self._look_anew()

    # --- writing --------------------------------------------------------------------------------------------------
    def _say(self, payload: dict[str, Any]) -> None:
        if len(self._waiting) >= MAX_WAITING_TEXTS:
            self.close(TOO_SLOW, 1000)
            return
        self._put_soon(orjson.dumps(payload).decode())

    def _put_soon(self, data: str | bytes) -> None:
        """Now, unless something has to go first; the writer sends it then."""
        write = self._write_text if isinstance(data, str) else self._write_bytes
        if self._waiting or self._sending_since is not None or not write(data):
            self._waiting.append(data)
            self._wake.set()

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                await self._put(self._waiting.popleft())
            self._go_on()
            if self._bye is not None and not self._waiting:
                return await self._say_goodbye(*self._bye)

    def _go_on(self) -> None:
        """What waits its turn, now that nothing stands in its way."""
        if self.is_paused or self._waiting or self._sending_since is not None:
            return  # the writer comes here when all of it is gone
        if self._kpi is not None:
            text, self._kpi = self._kpi, None
            self._put_soon(text)
        if self._bye is not None:
            return
        if self._is_look_due and self._place is not None:
            self._look_at(*self._place)
        if "status" in self._layers_on:
            self._tell_status()
        self.hub.sights.freed(self)

    def _look_at(self, view: Viewport, zoom: float) -> None:
        self._is_look_due = False
        layers = LAYERS & self._layers_on
        look = Look(self.organisation_id, view, zoom, layers, self._focus["vehicles"], self._focus["stations"])
        self.hub.sights.look(self, look)

    async def _say_goodbye(self, code: int, retry_ms: int) -> None:
        await self._put(orjson.dumps({"type": "bye", "code": code, "retry_ms": retry_ms}).decode())
        await self._send({"type": "websocket.close", "code": code})

    def _tell_status(self) -> None:
        """Of the whole fleet, for a list above a map that shows a part of it; woken with the figures."""
        now = time.monotonic()
        if now - self._status_at < STATUS_SECONDS or self.pause(now):
            return
        is_first, self._status_at = self._status_at < 0, now
        records = self._status.changed(now)
        if len(records) or is_first:
            rev = self.hub.revision_of(self.organisation_id)
            self._tell([wire.packed(wire.STATUS, flags, rev, part) for flags, part in wire.parts(records)], now)

    async def _put(self, data: str | bytes) -> None:
        self._sending_since = time.monotonic()
        await self._send({"type": "websocket.send", "text" if isinstance(data, str) else "bytes": data})
        self._sending_since = None


def _never(_: object) -> bool:
    """Of servers that know no short way."""
    return False


def _ids(values: list[Any]) -> frozenset[int]:
    """Those that can be of a record."""
    return frozenset(number for value in values[:MAX_FOCUS] if 0 < (number := int(value)) <= MAX_ID)


async def live_socket(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
    """ASGI application of `/ws/live/`. Refusals come after the handshake, so that the page can read the code."""
    await receive()
    await send({"type": "websocket.accept"})
    the_hub = hub()
    guest = await admit(scope, the_hub, is_own=doorkeeper.is_own_origin(scope))
    if isinstance(guest, int):
        bye = {"type": "bye", "code": guest, "retry_ms": 15_000 if guest == doorkeeper.TOO_MANY else 0}
        await send({"type": "websocket.send", "text": orjson.dumps(bye).decode()})
        return await send({"type": "websocket.close", "code": guest})
    await the_hub.prepare(guest.organisation_id)
    socket = LiveSocket(guest, the_hub, send, scope.get("extensions"))
    the_hub.listeners.add(socket)
    try:
        await socket.run(receive)
    finally:
        the_hub.let_go(socket)


async def admit(scope: asgi.Scope, the_hub: LiveHub, *, is_own: bool) -> doorkeeper.Guest | int:
    """Who asks, or the close code that says why not; `is_own`: a page of this host does."""
    if not is_own:
        return doorkeeper.NOT_ALLOWED
    guest = await the_hub.read(doorkeeper.identify, doorkeeper.credential_of(scope))
    if isinstance(guest, doorkeeper.Guest) and the_hub.sockets_of(guest.user_id) >= MAX_SOCKETS_PER_USER:
        return doorkeeper.TOO_MANY
    return guest
