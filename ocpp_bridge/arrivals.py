"""The doors for what thousands of chargers do at the same moment after an outage: one commit for many of them."""

from collections.abc import Sequence
from datetime import datetime

import django.db

from fleetcharge.lib.batching import Batcher
from ocpp_bridge import handshake
from ocpp_bridge.handshake import Known
from ocpp_bridge.threads import in_database, until_committed
from stations import services as stations
from stations.services import Arrival, Boot, Departure

AT_ONCE = 500
_BAD_DATA = (django.db.DataError, django.db.IntegrityError, ValueError)


class UnknownCharger(LookupError):
    """Its record was deleted while its socket was open."""


async def _look_up(identities: Sequence[str]) -> list[Known | None]:
    known = await in_database(handshake.find_chargers, identities)
    return [known.get(identity) for identity in identities]


async def _connect(arrivals: Sequence[Arrival]) -> list[int | None]:
    return await until_committed(stations.chargers_connected, arrivals)


async def _disconnect(departures: Sequence[Departure]) -> list[bool]:
    return await in_database(stations.chargers_disconnected, departures)


async def _boot(boots: Sequence[Boot]) -> list[str | None]:
    return await until_committed(stations.register_boots, boots)


_lookups: Batcher[str, Known | None] = Batcher(_look_up, name="lookups", max_rows=AT_ONCE, bisect_on=_BAD_DATA)
_arrivals: Batcher[Arrival, int | None] = Batcher(_connect, name="arrivals", max_rows=AT_ONCE, bisect_on=_BAD_DATA)
_departures: Batcher[Departure, bool] = Batcher(_disconnect, name="departures", max_rows=AT_ONCE, bisect_on=_BAD_DATA)
_boots: Batcher[Boot, str | None] = Batcher(_boot, name="boots", max_rows=AT_ONCE, bisect_on=_BAD_DATA)


async def known_charger(identity: str) -> Known | None:
    """Its record; None for a stranger."""
    return await _lookups.submit(identity)


async def take_over(arrival: Arrival) -> int:
    """From its commit on, the charger's newest socket is this one; its epoch, higher than any before."""
    epoch = await _arrivals.submit(arrival)
    if epoch is None:
        raise UnknownCharger(arrival.charger_id)
    return epoch


async def leave(*, charger_id: int, epoch: int, at: datetime) -> bool:
    """The socket of this epoch has closed; False when a newer one had taken over."""
    return await _departures.submit(Departure(charger_id, epoch, at))


async def register_boot(boot: Boot) -> str:
    """What the charger is to us (Accepted | Pending | Rejected), once what it says of itself is committed."""
    registration = await _boots.submit(boot)
    if registration is None:
        raise UnknownCharger(boot.charger_id)
    return registration
