"""The doors for what thousands of chargers do at the same moment after an outage: one commit for many of them.

A row that somebody else holds keeps only its own charger waiting: what cannot be had at once is left to its caller.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar

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
T = TypeVar("T")
R = TypeVar("R")
_BAD_DATA = (django.db.DataError, django.db.IntegrityError, ValueError)


class UnknownCharger(LookupError):
    """Its record was deleted while its socket was open."""


class Busy(Exception):
    """Somebody else holds a row of the batch."""


class Alone:
    """Instead of an answer: it waits for a row, its caller may wait with it."""


_ALONE = Alone()
# A process that is frozen or cut off in the middle of a batch gives the chargers of it free for other nodes.
_IN_HASTE = """
SELECT set_config('lock_timeout', '500ms', true), set_config('idle_in_transaction_session_timeout', '10s', true)
"""


def _in_haste(write: Callable[[Sequence[T]], list[R]], items: Sequence[T]) -> list[R]:
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute(_IN_HASTE)
            return write(items)
    except OperationalError as error:
        if isinstance(error.__cause__, LockNotAvailable):
            raise Busy from error
        raise


async def _together(write: Callable[[Sequence[T]], list[R]], items: Sequence[T]) -> list[R | Alone]:
    """All in one commit; where a row is held, smaller and smaller parts, until only those are left that wait for it."""
    try:
        return [*await until_committed(_in_haste, write, items)]
    except Busy:
        if len(items) == 1:
            return [_ALONE]
    middle = len(items) // 2
    return [*await _together(write, items[:middle]), *await _together(write, items[middle:])]


async def _submit(batcher: Batcher[T, R | Alone], write: Callable[[Sequence[T]], list[R]], item: T) -> R:
    answer = await batcher.submit(item)
    if isinstance(answer, Alone):
        [answer] = await until_committed(write, [item])
    return answer


async def _look_up(identities: Sequence[str]) -> list[Known | None]:
    known = await in_database(handshake.find_chargers, identities)
    return [known.get(identity) for identity in identities]


async def _connect(arrivals: Sequence[Arrival]) -> list[int | Alone | None]:
    return await _together(stations.chargers_connected, arrivals)


async def _disconnect(departures: Sequence[Departure]) -> list[bool | Alone]:
    return await _together(stations.chargers_disconnected, departures)


async def _boot(boots: Sequence[Boot]) -> list[str | Alone | None]:
    return await _together(stations.register_boots, boots)


_lookups: Batcher[str, Known | None] = Batcher(_look_up, name="lookups", max_rows=AT_ONCE, bisect_on=_BAD_DATA)
_arrivals: Batcher[Arrival, int | Alone | None] = Batcher(
    _connect, name="arrivals", max_rows=AT_ONCE, bisect_on=_BAD_DATA
)
_departures: Batcher[Departure, bool | Alone] = Batcher(
    _disconnect, name="departures", max_rows=AT_ONCE, bisect_on=_BAD_DATA
)
_boots: Batcher[Boot, str | Alone | None] = Batcher(_boot, name="boots", max_rows=AT_ONCE, bisect_on=_BAD_DATA)


async def known_charger(identity: str) -> Known | None:
    """Its record; None for a stranger."""
    return await _lookups.submit(identity)


async def take_over(arrival: Arrival) -> int:
    """From its commit on, the charger's newest socket is this one; its epoch, higher than any before."""
    epoch = await _submit(_arrivals, stations.chargers_connected, arrival)
    if epoch is None:
        raise UnknownCharger(arrival.charger_id)
    return epoch


async def leave(*, charger_id: int, epoch: int, at: datetime) -> bool:
    """The socket of this epoch has closed; False when a newer one had taken over."""
    return await _submit(_departures, stations.chargers_disconnected, Departure(charger_id, epoch, at))


async def register_boot(boot: Boot) -> str:
    """What the charger is to us (Accepted | Pending | Rejected), once what it says of itself is committed."""
    registration = await _submit(_boots, stations.register_boots, boot)
    if registration is None:
        raise UnknownCharger(boot.charger_id)
    return registration
