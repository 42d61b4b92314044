"""Takes AIS-140 trackers over TCP: many connections, one group commit, and no more in memory than a database can take.

A tracker gets no answer to a position, so nothing may be read that cannot be stored: each connection stops reading
until its packets are on disk, which the kernel tells the tracker. When the database stays away the connection is
closed, and the tracker keeps what it has.
"""

import asyncio
import contextlib
import ipaddress
import logging
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import psycopg

from fleetcharge.lib.threads import DatabaseThreads
from vehicles import alarms
from vehicles.ais140.framing import Framer
from vehicles.ais140.packets import HEARTBEAT, LOGIN, SOS, SOS_OVER, Packet, decode
from vehicles.fixes import Fix, Problem, shown_device
from vehicles.intake import Verdict, accept, has_room, is_known

CHUNK_BYTES = 16 * 1024
WHOLE_AFTER_SECONDS = 0.2  # of silence behind a `*`
PACKET_SECONDS, IDLE_SECONDS = 30.0, 1_200.0
UNREADABLE_ALLOWED = 20
TRIES, FIRST_PAUSE_SECONDS = 5, 0.5
MAX_CONNECTIONS, MAX_PER_ADDRESS = 20_000, 2_000  # many trackers share the address of their mobile network

logger = logging.getLogger(__name__)
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Server:
    """One listening socket. `networks`: whose word for an IMEI is taken, since an IMEI is no secret."""

    def __init__(self, networks: Sequence[Network], *, packet_seconds: float = PACKET_SECONDS,
                 idle_seconds: float = IDLE_SECONDS) -> None:  # fmt: skip
        self._networks = networks
        self._packet_seconds, self._idle_seconds = packet_seconds, idle_seconds
        self._threads = DatabaseThreads("ais140", threads=2)
        self._connections: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.counts: Counter[str] = Counter()

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port, which the system chooses for 0."""
        self._server = await asyncio.start_server(self._connected, host, port, limit=CHUNK_BYTES)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """No new connections; what was read is stored, then the old ones end."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._threads.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = str(writer.get_extra_info("peername")[0])
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 (asyncio starts us as one)
        self._tasks.add(task)
        self._connections[address] += 1
        try:
            if self._is_welcome(address):
                await _Connection(self, reader, writer, self._packet_seconds, self._idle_seconds).run()
            else:
                self.counts["turned_away"] += 1
        except (ConnectionError, TimeoutError, asyncio.CancelledError):
            pass
        except (psycopg.Error, OSError) as error:
            logger.warning("a tracker is let go, its packets cannot be stored: %s", type(error).__name__)
        finally:
            self._connections[address] -= 1
            self._connections += Counter()  # forget addresses nobody connects from
            self._tasks.discard(task)
            writer.close()
            with contextlib.suppress(Exception):
                await writer.wait_closed()

    def _is_welcome(self, address: str) -> bool:
        if self._connections.total() > MAX_CONNECTIONS or self._connections[address] > MAX_PER_ADDRESS:
            return False
        here = ipaddress.ip_address(address)
        return any(here in network for network in self._networks)

    async def take(self, lines: Sequence[str]) -> tuple[bytes, int]:
        """Store what the packets say; the answers to send, and how many nobody could read."""
        answers, unreadable, fixes = b"", 0, list[Fix | Problem]()
        for line in lines:
            packet = decode(line)
            if isinstance(packet, Problem):
                unreadable += 1
                self.counts[packet.code] += 1
                continue
            self.counts[packet.kind] += 1
            answers += _answer(packet)
            if packet.alarm:
                await self._alarm(packet)
            if packet.fix is not None and await self._may_report(packet, line):
                fixes.append(packet.fix)
        for verdict in await self._store(fixes, "\n".join(lines).encode()):
            self.counts[verdict.code if isinstance(verdict, Problem) else "stored"] += 1
        return answers, unreadable

    async def _may_report(self, packet: Packet, line: str) -> bool:
        if not await is_known(packet.imei, line.encode()):
            self.counts["unknown_device"] += 1
            logger.info("packets of the unclaimed tracker %s", shown_device(packet.imei))
            return False
        if not await has_room(packet.imei, 1):
            self.counts["too_fast"] += 1
            return False
        return True

    async def _store(self, fixes: Sequence[Fix | Problem], raw: bytes) -> list[Verdict]:
        pause = FIRST_PAUSE_SECONDS
        for _ in range(TRIES - 1):
            try:
                return await accept(fixes, None, raw)
            except (psycopg.OperationalError, psycopg.InterfaceError, OSError):
                await asyncio.sleep(pause)  # nothing is read meanwhile
                pause *= 2
        return await accept(fixes, None, raw)

    async def _alarm(self, packet: Packet) -> None:
        """At once, before the positions: it counts without a fix, without a clock and among history."""
        received_at = now()
        at = received_at if packet.at_us is None else _EPOCH + timedelta(microseconds=packet.at_us)
        if packet.alarm == SOS_OVER:
            await self._threads.run(alarms.clear_alarm, device_id=packet.imei, kind=SOS, at=min(at, received_at))
            return
        place = (packet.fix.latitude, packet.fix.longitude) if isinstance(packet.fix, Fix) else None
        await self._threads.run(
            alarms.raise_alarm, device_id=packet.imei, kind=packet.alarm, at=at, received_at=received_at, place=place
        )


class _Connection:
    """One tracker: reads, has it stored, answers, reads on."""

    def __init__(self, server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter,
                 packet_seconds: float, idle_seconds: float) -> None:  # fmt: skip
        self._server, self._reader, self._writer = server, reader, writer
        self._packet_seconds, self._idle_seconds = packet_seconds, idle_seconds
        self._framer, self._unreadable, self._began_at = Framer(), 0, 0.0

    async def run(self) -> None:
        while self._unreadable + self._framer.overlong <= UNREADABLE_ALLOWED:
            lines, is_open = await self._read()
            if lines:
                answers, unreadable = await self._server.take(lines)
                self._unreadable = 0 if unreadable < len(lines) else self._unreadable + unreadable
                if answers:
                    self._writer.write(answers)
                    await self._writer.drain()
            if not is_open:
                return

    async def _read(self) -> tuple[list[str], bool]:
        """The packets of one read, and whether more may come. A packet that drips in ends the connection in time."""
        try:
            async with asyncio.timeout(self._patience()):
                data = await self._reader.read(CHUNK_BYTES)
        except TimeoutError:
            if self._framer.may_be_whole:
                return self._framer.flush(), True
            return [], False
        if not data:
            return self._framer.flush() if self._framer.may_be_whole else [], False
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


def now() -> datetime:
    """Our clock."""
    return datetime.now(UTC)


def _answer(packet: Packet) -> bytes:
    if packet.kind == HEARTBEAT:
        return b"$HBT*\r\n"
    if packet.kind == LOGIN:
        return now().strftime("$LGN%d%m%Y%H%M%S*\r\n").encode()
    return b""
