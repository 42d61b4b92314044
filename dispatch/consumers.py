"""One browser's live socket: a raw ASGI application, because a stock consumer costs a thread hop per message."""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson

from dispatch import doorkeeper, live_reads, wire, wording
from dispatch.boards import Board, Indexes, Layer, StatusLayer, Viewport
from dispatch.cells import Overview, is_crowded
from dispatch.hub import LiveHub, hub
from fleetcharge.lib import asgi

HZ = 5.0
SLOWER_AFTER_SECONDS = ((5.0, 1.0), (2.0, 2.0))
"""Age of the oldest frame the page has not acknowledged, and the rate we then fall to."""
STATUS_SECONDS = 2.0
TOO_SLOW_SECONDS = 15.0
RECHECK_SECONDS = 60.0
MAX_SOCKETS_PER_USER = 6
MAX_TEXT_BYTES = 65_536
MAX_WAITING_TEXTS = 2_000
MAX_BAD_MESSAGES = 3
MAX_FOCUS = 200
TOO_SLOW, BAD_MESSAGES = 4408, 4400
COULD_NOT_TELL = 1011

NEAR = 18.0
"""The zoom of a page that does not say."""
Frame = tuple[int, int, Any]
"""Kind, flags, body."""

logger = logging.getLogger(__name__)


class LiveSocket:
    """State of one connection. Events only mark what is due; the writer task sends it when the pace allows."""

    def __init__(self, guest: doorkeeper.Guest, the_hub: LiveHub, send: asgi.Send) -> None:
        self.guest, self.hub, self._send = guest, the_hub, send
        self.user_id, self.organisation_id = guest.user_id, guest.organisation_id
        self.is_paused = False
        self._wake = asyncio.Event()
        self._language = wording.ENGLISH
        self._texts: deque[str] = deque()
        self._kpi: str | None = None
        self._held_alerts: list[dict[str, Any]] | None = []
        self._view: Viewport | None = None
        self._zoom = NEAR
        self._layers_on = {"vehicles", "stations"}
        self._focus: dict[str, frozenset[int]] = {"vehicles": frozenset(), "stations": frozenset()}
        self._vehicles = Layer(the_hub.vehicles[guest.organisation_id].board)
        self._status = StatusLayer(the_hub.statuses_of(guest.organisation_id))
        self._status_at = float("-inf")
        self._stations = [Layer(the_hub.stations), Layer(the_hub.depots[guest.organisation_id])]
        self._overview = Overview(the_hub.cells_of(guest.organisation_id))
        self._is_snapshot_due = self._is_revision_due = self._is_far = False
        self._has_details = False
        self._seq = 0
        self._unacked: deque[tuple[int, float]] = deque()
        self._last_frame_at = 0.0
        self._sending_since: float | None = None
        self._bye: tuple[int, int] | None = None
        self._bad_messages = 0
        self._checked_at = time.monotonic()
        self._tasks: set[asyncio.Task[None]] = set()

    # --- called by the hub ----------------------------------------------------------------------------------------
    def boards_changed(self, changed: dict[Board, Indexes]) -> None:
        for layer in (self._vehicles, *self._stations):
            if (indexes := changed.get(layer.board)) is not None:
                layer.mark(indexes)
                self._overview.mark()
                self._wake.set()

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
        self._wake.set()

    def resync(self, why: str) -> None:
        self._say({"type": "resync", "why": why})
        self._is_snapshot_due = True

    def revision_moved(self) -> None:
        self._is_revision_due = True
        self._wake.set()

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

    # --- life -----------------------------------------------------------------------------------------------------
    async def run(self, receive: asgi.Receive) -> None:
        tasks = {asyncio.create_task(self._write()), asyncio.create_task(self._read(receive))}
        self._tasks |= tasks
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
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
            try:
                self._take(message.get("text") or "")
            except (ValueError, TypeError, KeyError, OverflowError):
                self._bad_messages += 1
                if self._bad_messages >= MAX_BAD_MESSAGES:
                    self.close(BAD_MESSAGES, 60_000)

    def _take(self, text: str) -> None:
        if len(text) > MAX_TEXT_BYTES:
            raise ValueError("too long")
        message = orjson.loads(text)
        take = {
            "hello": self._hello, "view": self._look, "focus": self._focus_on, "ack": self._acked,
            "pause": self._pause, "resume": self._resume, "details": self._ask_details,
        }[message["type"]]  # fmt: skip
        take(message)

    def _hello(self, message: dict[str, Any]) -> None:
        self._say({
            "type": "welcome", "epoch": self.hub.epoch, "hz": HZ, "server_time": datetime.now(UTC).isoformat(),
            "rev": self._revision, "states": wire.STATE_NAMES,
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
        self._view, self._zoom = Viewport.of(message["bbox"], pad), zoom
        self._turn_on(set(message.get("layers") or self._layers_on))
        self._is_snapshot_due = True
        self._last_frame_at = 0.0
        self._wake.set()

    def _turn_on(self, layers: set[str]) -> None:
        if "status" in layers - self._layers_on:
            self._status_at = float("-inf")  # at once: what the map held may be told no longer
        self._layers_on = layers

    def _focus_on(self, message: dict[str, Any]) -> None:
        self._focus = {
            "vehicles": frozenset(int(value) for value in message.get("veh", [])[:MAX_FOCUS]),
            "stations": frozenset(int(value) for value in message.get("stn", [])[:MAX_FOCUS]),
        }
        self._is_snapshot_due = self._view is not None
        self._wake.set()

    def _acked(self, message: dict[str, Any]) -> None:
        seq = int(message["seq"])
        while self._unacked and self._unacked[0][0] <= seq:
            self._unacked.popleft()

    def _pause(self, message: dict[str, Any]) -> None:
        self.is_paused = True

    def _resume(self, message: dict[str, Any]) -> None:
        self.is_paused = False
        self._unacked.clear()
        self._wake.set()

    # --- writing --------------------------------------------------------------------------------------------------
    @property
    def _revision(self) -> int:
        return self.hub.revisions.get(self.organisation_id, 0)

    def _say(self, payload: dict[str, Any]) -> None:
        if len(self._texts) >= MAX_WAITING_TEXTS:
            self.close(TOO_SLOW, 1000)
            return
        self._texts.append(orjson.dumps(payload).decode())
        self._wake.set()

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._texts:
                await self._put(text=self._texts.popleft())
            if self._kpi is not None and not self.is_paused:
                text, self._kpi = self._kpi, None
                await self._put(text=text)
            if self._bye is not None:
                return await self._say_goodbye(*self._bye)
            if self._view is not None and not self.is_paused and self._are_frames_due():
                await self._send_frames(self._view)
            if "status" in self._layers_on and not self.is_paused:
                await self._send_status()

    async def _say_goodbye(self, code: int, retry_ms: int) -> None:
        await self._put(text=orjson.dumps({"type": "bye", "code": code, "retry_ms": retry_ms}).decode())
        await self._send({"type": "websocket.close", "code": code})

    def _are_frames_due(self) -> bool:
        """Anything to send, and the pace allows it; otherwise the writer is woken when it does."""
        waiting = [self._overview.has_pending, *(layer.has_pending for layer in (self._vehicles, *self._stations))]
        if not (self._is_snapshot_due or self._is_revision_due or any(waiting)):
            return False
        now = time.monotonic()
        wait = self._last_frame_at + 1 / self._pace(now) - now
        if wait > 0:
            asyncio.get_running_loop().call_later(wait, self._wake.set)
            return False
        self._last_frame_at = now
        return True

    def _pace(self, now: float) -> float:
        lag = now - self._unacked[0][1] if self._unacked else 0.0
        return next((hz for seconds, hz in SLOWER_AFTER_SECONDS if lag > seconds), HZ)

    async def _send_frames(self, view: Viewport) -> None:
        self._choose(view)
        frames = self._snapshot(view) if self._is_snapshot_due else self._delta(view)
        self._is_snapshot_due = self._is_revision_due = False
        await self._put_frames(frames)

    async def _put_frames(self, frames: list[Frame]) -> None:
        for kind, flags, body in frames:
            self._seq += 1
            self._unacked.append((self._seq, time.monotonic()))
            await self._put(data=wire.frame(kind, flags, self._seq, self._revision, body))

    async def _send_status(self) -> None:
        """Of the whole fleet, for a list above a map that shows a part of it; woken with the figures."""
        now = time.monotonic()
        if now - self._status_at < STATUS_SECONDS or self._pace(now) < HZ:
            return
        is_first, self._status_at = self._status_at < 0, now
        records = self._status.changed(now)
        if len(records) or is_first:
            await self._put_frames([(wire.STATUS, flags, part) for flags, part in wire.parts(records)])

    def _choose(self, view: Viewport) -> None:
        """Records, or cells where too many are in view; going from one to the other takes a snapshot."""
        is_wanted = "grid" in self._layers_on
        is_far = is_wanted and is_crowded(self._count(view), self._zoom, is_already=self._overview.is_on)
        if is_far != self._overview.is_on or self._overview.is_outdated:
            self._is_snapshot_due = True
        if not is_far:
            self._overview.leave()
        self._is_far = is_far

    def _count(self, view: Viewport) -> int:
        layers = (self._vehicles, *self._stations)
        if self._is_snapshot_due:
            return sum(int(np.count_nonzero(view.holds(layer.board.live_records()))) for layer in layers)
        return self._overview.count() if self._overview.is_on else sum(layer.count for layer in layers)

    def _snapshot(self, view: Viewport) -> list[Frame]:
        """What replaces the last picture goes before what takes it away, so that the map is never empty."""
        records = self._records(None if self._is_far else view)
        if "grid" not in self._layers_on:
            return records
        cells = self._overview.snapshot(view, self._zoom) if self._is_far else np.zeros(0, wire.CELL)
        grid = self._grid(wire.parts(cells))
        return grid + records if self._is_far else records + grid

    def _records(self, view: Viewport | None) -> list[Frame]:
        frames: list[Frame] = []
        if "vehicles" in self._layers_on:
            records = self._vehicles.snapshot(view, self._focus["vehicles"])
            frames += [(wire.SNAPSHOT, flags, part) for flags, part in wire.parts(records)]
        if "stations" in self._layers_on:
            boards = [layer.snapshot(view, self._focus["stations"]) for layer in self._stations]
            frames += [(wire.STATIONS, flags, part) for flags, part in wire.parts(wire.joined(boards))]
        return frames

    def _grid(self, parts: Iterable[tuple[int, Any]]) -> list[Frame]:
        return [(wire.GRID, flags | self._overview.level << wire.LEVEL_SHIFT, part) for flags, part in parts]

    def _delta(self, view: Viewport) -> list[Frame]:
        frames: list[Frame] = []
        if len(cells := self._overview.delta()):
            frames += self._grid((flags & wire.LAST_PART, part) for flags, part in wire.parts(cells))
        seen = None if self._is_far else view
        if "vehicles" in self._layers_on:
            records, left = self._vehicles.delta(seen, self._focus["vehicles"])
            frames += _frames(wire.DELTA, records, left, 0, is_forced=self._is_revision_due)
        if "stations" in self._layers_on:
            told = [layer.delta(seen, self._focus["stations"]) for layer in self._stations]
            records, left = wire.joined([one for one, _ in told]), np.concatenate([gone for _, gone in told])
            frames += _frames(
                wire.STATIONS, records, left, wire.STATION_IDS
            )  # who went from one board may be on another
        return frames

    async def _put(self, *, text: str | None = None, data: bytes | None = None) -> None:
        self._sending_since = time.monotonic()
        await self._send({"type": "websocket.send", **({"text": text} if data is None else {"bytes": data})})
        self._sending_since = None


def _frames(kind: int, records: Any, left: Any, id_flag: int, *, is_forced: bool = False) -> list[Frame]:
    frames: list[Frame] = [(wire.REMOVE, wire.LAST_PART | id_flag, left)] if len(left) else []
    if len(records) or is_forced:
        frames += [(kind, flags & wire.LAST_PART, part) for flags, part in wire.parts(records)]
    return frames


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
    socket = LiveSocket(guest, the_hub, send)
    the_hub.listeners.add(socket)
    try:
        await socket.run(receive)
    finally:
        the_hub.listeners.discard(socket)


async def admit(scope: asgi.Scope, the_hub: LiveHub, *, is_own: bool) -> doorkeeper.Guest | int:
    """Who asks, or the close code that says why not; `is_own`: a page of this host does."""
    if not is_own:
        return doorkeeper.NOT_ALLOWED
    guest = await the_hub.read(doorkeeper.identify, doorkeeper.credential_of(scope))
    if isinstance(guest, doorkeeper.Guest) and the_hub.sockets_of(guest.user_id) >= MAX_SOCKETS_PER_USER:
        return doorkeeper.TOO_MANY
    return guest
