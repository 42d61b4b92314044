"""The doors for what thousands of chargers do at the same moment after an outage: one commit for many of them.

A row that somebody else holds keeps only its own charger waiting: a batch writes what it can lock at once. The others
come again with later batches for some seconds, each charger's in the order in which they came; no thread waits for it.
"""

import asyncio
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Protocol, TypeVar

import django.db
from django.db import OperationalError, connection, transaction
from psycopg.errors import LockNotAvailable

from fleetcharge.lib.batching import Batcher
from ocpp_bridge import handshake
from ocpp_bridge.handshake import Known
from ocpp_bridge.threads import in_database, until_committed
from stations import services as stations
from stations.services import Arrival, Boot, Departure

AT_ONCE = 500
PATIENCE_SECONDS = 5.0
AGAIN_SECONDS = 0.1
_BAD_DATA = (django.db.DataError, django.db.IntegrityError, ValueError)


class UnknownCharger(LookupError):
    """Its record was deleted while its socket was open."""


class Busy(Exception):
    """Somebody else has held a row for longer than anybody waits for one; nothing was written."""


class _OfCharger(Protocol):
    @property
    def charger_id(self) -> int: ...


T = TypeVar("T", bound=_OfCharger)
R = TypeVar("R")


@dataclass(frozen=True, slots=True, eq=False)
class _Entry(Generic[T]):
    """`is_its_turn`: it has waited, and nothing of its charger is before it."""

    item: T
    is_its_turn: bool = False


@dataclass(frozen=True, slots=True)
class _Waits(Generic[R]):
    """Instead of an answer: where it will come from."""

    task: asyncio.Task[R]


class _Line(Generic[T, R]):
    """One kind of write for many chargers at a time, and of each charger in order."""

    def __init__(self, name: str, write: Callable[[Sequence[T]], list[R]], *, takes_plugs: bool = False) -> None:
        self._write, self._takes_plugs = write, takes_plugs
        self._batcher: Batcher[_Entry[T], R | _Waits[R]] = Batcher(
            self._together, name=name, max_rows=AT_ONCE, bisect_on=_BAD_DATA
        )
        self._last: dict[int, asyncio.Task[R]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def waiting(self) -> int:
        """Items that no batch has taken yet."""
        return self._batcher.waiting

    async def submit(self, item: T) -> R:
        """What `write` said of it, once committed. Raises Busy when its row was held for PATIENCE_SECONDS."""
        answer = await self._batcher.submit(_Entry(item))
        return await asyncio.shield(answer.task) if isinstance(answer, _Waits) else answer

    async def _together(self, entries: Sequence[_Entry[T]]) -> list[R | _Waits[R]]:
        if self._loop is not asyncio.get_running_loop():  # tests use one loop each; a process uses one for life
            self._last, self._loop = {}, asyncio.get_running_loop()
        ready = [entry for entry in entries if entry.is_its_turn or entry.item.charger_id not in self._last]
        written = await until_committed(self._write_free, ready) if ready else {}
        return [written[entry] if entry in written else self._waits(entry) for entry in entries]

    def _write_free(self, entries: Sequence[_Entry[T]]) -> dict[_Entry[T], R]:
        try:
            with transaction.atomic():
                with connection.cursor() as cursor:  # what is not locked below, as a table that is being migrated
                    cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{PATIENCE_SECONDS:.0f}s"])
                free = stations.take_free_chargers(
                    {entry.item.charger_id for entry in entries}, with_plugs=self._takes_plugs
                )
                mine = [entry for entry in entries if entry.item.charger_id in free]
                return dict(zip(mine, self._write([entry.item for entry in mine]), strict=True)) if mine else {}
        except OperationalError as error:
            if isinstance(error.__cause__, LockNotAvailable):
                raise Busy from error
            raise

    def _waits(self, entry: _Entry[T]) -> _Waits[R]:
        """Noted before the next batch begins: what the charger sends now stays behind this."""
        charger_id = entry.item.charger_id
        if not entry.is_its_turn:
            before = self._last.get(charger_id)
            task = self._last[charger_id] = asyncio.create_task(self._come_again(entry.item, before))
            task.add_done_callback(functools.partial(self._forget, charger_id))
        return _Waits(self._last[charger_id])

    async def _come_again(self, item: T, before: asyncio.Task[R] | None) -> R:
        until = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        if before is not None:
            await asyncio.wait([before])
        while True:
            answer = await self._batcher.submit(_Entry(item, is_its_turn=True))
            if not isinstance(answer, _Waits):
                return answer
            if asyncio.get_running_loop().time() >= until:
                raise Busy(f"a row of charger {item.charger_id} is held")
            await asyncio.sleep(AGAIN_SECONDS)

    def _forget(self, charger_id: int, task: asyncio.Task[R]) -> None:
        if self._last.get(charger_id) is task:
            del self._last[charger_id]
        if not task.cancelled():
            task.exception()  # its caller may have gone away


async def _look_up(identities: Sequence[str]) -> list[Known | None]:
    known = await in_database(handshake.find_chargers, identities)
    return [known.get(identity) for identity in identities]


_lookups: Batcher[str, Known | None] = Batcher(_look_up, name="lookups", max_rows=AT_ONCE, bisect_on=_BAD_DATA)
_arrivals: _Line[Arrival, int | None] = _Line(
    "arrivals", lambda arrivals: stations.chargers_connected(arrivals), takes_plugs=True
)
_departures: _Line[Departure, bool] = _Line("departures", lambda departures: stations.chargers_disconnected(departures))
_boots: _Line[Boot, str | None] = _Line("boots", lambda boots: stations.register_boots(boots))


async def known_charger(identity: str) -> Known | None:
    """Its record; None for a stranger."""
    return await _lookups.submit(identity)


async def take_over(arrival: Arrival) -> int:
    """From its commit on, the charger's newest socket is this one; its epoch, higher than any before. Raises Busy."""
    epoch = await _arrivals.submit(arrival)
    if epoch is None:
        raise UnknownCharger(arrival.charger_id)
    return epoch


async def leave(*, charger_id: int, epoch: int, at: datetime) -> bool:
    """The socket of this epoch has closed; False when a newer one had taken over. Raises Busy."""
    return await _departures.submit(Departure(charger_id, epoch, at))


async def register_boot(boot: Boot) -> str:
    """What the charger is to us (Accepted | Pending | Rejected), once what it says of itself is committed.

    Raises Busy.
    """
    registration = await _boots.submit(boot)
    if registration is None:
        raise UnknownCharger(boot.charger_id)
    return registration
