"""Takes AIS-140 trackers over TCP: many connections, one group commit, and no more in memory than a database can take.

A tracker gets no answer to a position and forgets what it has sent, so what was read is stored, however long that
takes: each connection reads on when its packets are on disk, and the kernel makes the tracker wait meanwhile.
"""

import asyncio
import contextlib
import functools
import ipaddress
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import SupportsIndex, TypeVar

import django.db
import psycopg

from fleetcharge.lib.threads import DatabaseThreads
from vehicles import alarms
from vehicles.ais140.clocks import Said, TrackerClock
from vehicles.ais140.framing import Framer
from vehicles.ais140.packets import HEARTBEAT, LOGIN, SOS, SOS_OVER, Packet, decode
from vehicles.clocks import AHEAD_TOLERATED, INDIA_AHEAD
from vehicles.decoders.instants import to_microseconds
from vehicles.fixes import CLOCK_CORRECTED, INDIAN_CLOCK, Fix, Problem, shown_device
from vehicles.intake import Verdict, accept, has_room, is_known, note

CHUNK_BYTES = 16 * 1024
WHOLE_AFTER_SECONDS = 0.2  # of silence behind a `*`
PACKET_SECONDS, IDLE_SECONDS = 30.0, 1_200.0
UNREADABLE_ALLOWED = 20
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 30.0
ROOM_SECONDS = 0.2  # that a tracker waits for room for one packet more
DRAINED_SECONDS = 1.0  # who had nothing for us for so long has nothing in any buffer
FAREWELL_SECONDS = 20.0  # for what was read and is not stored when we are told to stop
MAX_CLOCKS = 100_000
MAX_CONNECTIONS, MAX_PER_ADDRESS = 20_000, 2_000  # many trackers share the address of their mobile network

logger = logging.getLogger(__name__)
T = TypeVar("T")
REFUSALS = (psycopg.DataError, django.db.DataError)  # no other try would end otherwise
PASSING = (psycopg.Error, django.db.Error, OSError)
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Server:
    """One listening socket. `networks`: whose word for an IMEI is taken, since an IMEI is no secret."""

    def __init__(self, networks: Sequence[Network], *, packet_seconds: float = PACKET_SECONDS,
                 idle_seconds: float = IDLE_SECONDS) -> None:  # fmt: skip
        self._networks = networks
        self._packet_seconds, self._idle_seconds = packet_seconds, idle_seconds
        self._threads = DatabaseThreads("ais140", threads=2)
        self._connections: Counter[str] = Counter()
        self._tasks: dict[asyncio.Task[None], _Reader] = {}
        self._clocks: dict[str, TrackerClock] = {}
        self._server: asyncio.Server | None = None
        self.counts: Counter[str] = Counter()

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port, which the system chooses for 0."""
        loop = asyncio.get_running_loop()

        def protocol() -> asyncio.StreamReaderProtocol:
            return asyncio.StreamReaderProtocol(_Reader(CHUNK_BYTES, loop), self._connected, loop=loop)

        self._server = await loop.create_server(protocol, host, port)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """No new connections and no more reading; what was read is stored, then the old ones end."""
        if self._server is not None:
            self._server.close()
        for reader in self._tasks.values():
            reader.end()
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=FAREWELL_SECONDS)
        if late := list(self._tasks):
            logger.error("what %d trackers sent last is lost: it could not be stored in time", len(late))
            self.counts["lost_at_exit"] += len(late)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        self._threads.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = str(writer.get_extra_info("peername")[0])
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 (asyncio starts us as one)
        assert isinstance(reader, _Reader)  # noqa: S101 (our protocol's)
        reader.transport = writer.transport  # type: ignore[assignment]
        self._tasks[task] = reader
        self._connections[address] += 1
        try:
            if self._is_welcome(address):
                await _Connection(self, reader, writer, self._packet_seconds, self._idle_seconds).run()
            else:
                self.counts["turned_away"] += 1
        except (ConnectionError, TimeoutError, asyncio.CancelledError):
            pass
        finally:
            self._connections[address] -= 1
            self._connections += Counter()  # forget addresses nobody connects from
            self._tasks.pop(task, None)
            writer.close()
            with contextlib.suppress(Exception):
                await writer.wait_closed()

    def _is_welcome(self, address: str) -> bool:
        if self._connections.total() > MAX_CONNECTIONS or self._connections[address] > MAX_PER_ADDRESS:
            return False
        here = ipaddress.ip_address(address)
        return any(here in network for network in self._networks)

    async def take(self, lines: Sequence[str], since: datetime) -> tuple[bytes, int]:
        """Store what the packets say, which were sent since then; the answers, and how many nobody could read."""
        read = [(line, decode(line)) for line in lines]
        packets = [(line, packet) for line, packet in read if isinstance(packet, Packet)]
        self.counts.update(packet.code for _, packet in read if isinstance(packet, Problem))
        self.counts.update(packet.kind for _, packet in packets)
        instants = self._set_right([packet for _, packet in packets], since)
        for (_, packet), at in zip(packets, instants, strict=True):
            if packet.alarm:
                await self._alarm(packet, at)
        await self._show(packets)
        await self._positions(packets)
        return b"".join(_answer(packet) for _, packet in packets), len(lines) - len(packets)

    def _set_right(self, packets: Sequence[Packet], since: datetime) -> list[datetime | None]:
        """When each packet was by our clock, also in its fix; None for those without a clock."""
        since_us, received_us, instants = to_microseconds(since), to_microseconds(now()), dict[int, int]()
        for imei in {packet.imei for packet in packets}:
            dated = [
                (n, p.at_us, p.is_history) for n, p in enumerate(packets) if p.imei == imei and p.at_us is not None
            ]
            clock = self._clocks.pop(imei, None) or TrackerClock()
            right = clock.set_right([Said(at, is_history) for _, at, is_history in dated], since_us, received_us)
            if clock.behind_us and len(self._clocks) < MAX_CLOCKS:
                self._clocks[imei] = clock
            instants.update(zip((n for n, _, _ in dated), right, strict=True))
        for n, at_us in instants.items():
            _correct(packets[n], at_us)
        return [_at(instants[n]) if n in instants else None for n in range(len(packets))]

    async def _show(self, packets: Iterable[tuple[str, Packet]]) -> None:
        """Packets without a place, and calls, on the pages of watched vehicles; nothing waits long for that."""
        with contextlib.suppress(*PASSING):
            for line, packet in packets:
                if packet.imei and (packet.alarm or packet.fix is None):
                    await note(packet.imei, line, packet.kind, packet.alarm)

    async def _positions(self, packets: Iterable[tuple[str, Packet]]) -> None:
        wanted = [(line, p.imei, p.fix) for line, p in packets if p.fix is not None]
        known = [entry for entry in wanted if await self._may_report(entry[1], entry[0])]
        for imei in dict.fromkeys(imei for _, imei, _ in known):  # on one connection nearly always one
            own = [(line, fix) for line, of, fix in known if of == imei]
            raw = "\n".join(line for line, _ in own).encode()
            for verdict in await self._store(imei, [fix for _, fix in own], raw):
                self.counts[verdict.code if isinstance(verdict, Problem) else "stored"] += 1

    async def _may_report(self, imei: str, line: str) -> bool:
        if not await self._insist(lambda: is_known(imei, line.encode())):
            self.counts["unknown_device"] += 1
            logger.info("packets of the unclaimed tracker %s", shown_device(imei))
            return False
        while True:
            if await self._insist(lambda: has_room(imei, 1)):
                return True
            self.counts["slowed_down"] += 1
            await asyncio.sleep(ROOM_SECONDS)  # nothing is read from it meanwhile

    async def _store(self, imei: str, fixes: Sequence[Fix | Problem], raw: bytes) -> list[Verdict]:
        """Together, or one by one when the database takes one of them for broken."""
        try:
            return await self._insist(lambda: accept(fixes, None, raw, imei))
        except REFUSALS:
            if len(fixes) > 1:
                return [verdict for fix in fixes for verdict in await self._store(imei, [fix], raw)]
            logger.exception("a packet can never be stored")
            return [Problem("not_stored", "The database refuses this packet.")]

    async def _insist(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do it until it is done: what was read is nowhere else any more."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                return await work()
            except REFUSALS:
                raise
            except PASSING as error:
                self.counts["waits"] += 1
                logger.warning("trackers wait, their packets cannot be stored yet: %s", type(error).__name__)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def _alarm(self, packet: Packet, at: datetime | None) -> None:
        """At once, before the positions: it counts without a fix, without a clock and among history."""
        received_at = now()
        at = received_at if at is None else at
        if packet.alarm == SOS_OVER:
            over = functools.partial(alarms.clear_alarm, device_id=packet.imei, kind=SOS, at=min(at, received_at))
            await self._insist(lambda: self._threads.run(over))
            return
        place = (packet.fix.latitude, packet.fix.longitude) if isinstance(packet.fix, Fix) else None
        call = functools.partial(
            alarms.raise_alarm, device_id=packet.imei, kind=packet.alarm, at=at, received_at=received_at, place=place,
            is_live=not packet.is_history,
        )  # fmt: skip
        await self._insist(lambda: self._threads.run(call))


class _Reader(asyncio.StreamReader):
    """A stream whose end, also a broken one, comes after all that was received; asyncio's own would drop that."""

    transport: asyncio.ReadTransport | None = None
    _is_over = False

    def __init__(self, limit: int, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(limit, loop)

    def end(self) -> None:
        """Receive no more; what was received is still read."""
        self._is_over = True
        if self.transport is not None:
            self.transport.pause_reading()
        self.feed_eof()

    def feed_data(self, data: Iterable[SupportsIndex]) -> None:
        if not self._is_over:
            super().feed_data(data)

    def set_exception(self, exc: Exception) -> None:
        self._is_over = True
        self.feed_eof()


class _Connection:
    """One tracker: reads, has it stored, answers, reads on."""

    def __init__(self, server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter,
                 packet_seconds: float, idle_seconds: float) -> None:  # fmt: skip
        self._server, self._reader, self._writer = server, reader, writer
        self._packet_seconds, self._idle_seconds = packet_seconds, idle_seconds
        self._framer, self._unreadable, self._began_at = Framer(), 0, 0.0
        self._since = now()  # what comes next was sent after this

    async def run(self) -> None:
        while self._unreadable + self._framer.overlong <= UNREADABLE_ALLOWED:
            lines, is_open = await self._read()
            if lines:
                answers, unreadable = await self._server.take(lines, self._since)
                self._unreadable = 0 if unreadable < len(lines) else self._unreadable + unreadable
                await self._send(answers)
            if not is_open:
                return

    async def _send(self, answers: bytes) -> None:
        """Whoever is gone needs none; what it sent before is still read."""
        if answers:
            with contextlib.suppress(OSError):
                self._writer.write(answers)
                await self._writer.drain()

    async def _read(self) -> tuple[list[str], bool]:
        """The packets of one read, and whether more may come. A packet that drips in ends the connection in time."""
        waits_since, waits_from = now(), time.monotonic()
        try:
            async with asyncio.timeout(self._patience()):
                data = await self._reader.read(CHUNK_BYTES)
        except TimeoutError:
            if self._framer.may_be_whole:
                return self._framer.flush(), True
            return [], False
        if not data:
            return self._framer.flush(), False
        if time.monotonic() - waits_from >= DRAINED_SECONDS:
            self._since = waits_since
        if self._framer.is_empty:
            self._began_at = time.monotonic()
        lines = self._framer.feed(data)
        if lines:
            self._began_at = time.monotonic()
        return lines, True

    def _patience(self) -> float:
        if self._framer.is_empty:
            return self._idle_seconds
        left = self._packet_seconds - (time.monotonic() - self._began_at)
        return max(0.0, min(left, WHOLE_AFTER_SECONDS) if self._framer.may_be_whole else left)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _at(at_us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=at_us)


def _correct(packet: Packet, at_us: int) -> None:
    if at_us == packet.at_us or packet.at_us is None or not isinstance(packet.fix, Fix):
        return
    is_indian = abs(packet.at_us - at_us - INDIA_AHEAD) <= AHEAD_TOLERATED
    packet.fix.at_us = at_us
    packet.fix.flags |= CLOCK_CORRECTED | (INDIAN_CLOCK if is_indian else 0)


def now() -> datetime:
    """Our clock."""
    return datetime.now(UTC)


def _answer(packet: Packet) -> bytes:
    if packet.kind == HEARTBEAT:
        return b"$HBT*\r\n"
    if packet.kind == LOGIN:
        return now().strftime("$LGN%d%m%Y%H%M%S*\r\n").encode()
    return b""
