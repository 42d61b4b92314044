"""What a promise says to the network it is at: a reservation, a booking, an order, or nothing at all. No transactions.

OCPP ReserveNow, OCPI RESERVE_NOW and UBC orders are `NETWORK`, OCPI 2.3.0 Bookings `BOOKING`; a network that can do
neither is not asked (`SOFT`): the row alone keeps our own vehicles apart.
"""

from datetime import datetime, timedelta

from django.conf import settings

from billing.services.authorisation import group_of
from dispatch.core.windows import AT_ONCE_SECONDS
from dispatch.models import Reservation
from stations.cpo import registry
from stations.cpo.base import BookRequest, Capability, CommandReceipt, CPOError, CPOUnavailable, ReserveRequest
from stations.models import EVSE, Connector, Source

Way = Reservation.Way
HELD_BY_US = "held in FleetCharge only"
SOON = timedelta(seconds=AT_ONCE_SECONDS)
"""A promise for later than this is one for later: a charger that reserves would be blocked from now on."""
FREE = (Connector.Status.AVAILABLE, Connector.Status.RESERVED)
RELATED = "connector__evse__location__source"


def lead() -> timedelta:
    """So long before it begins a promise for later is asked of a network that cannot book."""
    return timedelta(minutes=settings.RESERVATION_MINUTES)


def way_of(reservation: Reservation, now: datetime) -> str:
    """How this promise is to be made as things are now."""
    if not reservation.id_token:
        return Way.SOFT
    evse = reservation.connector.evse
    for_now, for_later = ways(evse.location.source, evse)
    if reservation.starts_at <= now + SOON:
        return for_now
    is_asked_now = for_later == Way.SOFT and reservation.starts_at <= now + lead()
    return for_now if is_asked_now and not _has_others_before(reservation) else for_later


def _has_others_before(reservation: Reservation) -> bool:
    """Another vehicle of ours has the place first: a charger that reserves would turn that one away."""
    at_it = Reservation.objects.active().filter(evse_id=reservation.connector.evse_id)
    return at_it.filter(starts_at__lt=reservation.starts_at).exclude(pk=reservation.pk).exists()


def ways(source: Source, evse: EVSE) -> tuple[str, str]:
    """What this place can do for somebody with a token: at once, and for later."""
    can_book = registry.booker_for(source) is not None
    can_reserve = registry.can(source, Capability.RESERVE) and evse.is_reservable
    later = Way.BOOKING if can_book else Way.SOFT
    return (Way.NETWORK if can_reserve else later), later


def can_ask_now(reservation: Reservation, way: str) -> bool:
    """A charger reserves only what is free just now; a booking and a hold of ours are about another time."""
    return way != Way.NETWORK or reservation.connector.status in FREE


def ask(reservation: Reservation, way: str, occasion: str = "") -> CommandReceipt | None:
    """None when the network cannot be reached just now."""
    try:
        if way == Way.NETWORK:
            return _reserve(reservation, occasion)
        if way == Way.BOOKING:
            return _book(reservation)
    except CPOUnavailable:
        return None
    except CPOError as error:
        return CommandReceipt("failed", str(error))
    return CommandReceipt("accepted", HELD_BY_US)


def let_go(reservation: Reservation) -> bool:
    """Tell the network that we do not want it any more; False: it was never asked. Raises CPOUnavailable."""
    source, key = reservation.connector.evse.location.source, str(reservation.key)
    if reservation.way == Way.BOOKING:
        _book(reservation, is_cancelled=True)
    elif reservation.way == Way.NETWORK and registry.can(source, Capability.RESERVE) and reservation.id_token:
        registry.adapter_for(source).cancel(reservation.connector, key, reservation.number)
    else:
        return False
    return True


def _reserve(reservation: Reservation, occasion: str) -> CommandReceipt:
    request = ReserveRequest(
        connector=reservation.connector, reservation_key=str(reservation.key), reservation_number=reservation.number,
        id_token=reservation.id_token, expires_at=reservation.expires_at, group_id=group_of(reservation.vehicle_id),
        occasion=occasion,
    )  # fmt: skip
    return registry.adapter_for(reservation.connector.evse.location.source).reserve(request)


def _book(reservation: Reservation, *, is_cancelled: bool = False) -> CommandReceipt:
    booker = registry.booker_for(reservation.connector.evse.location.source)
    if booker is None:
        return CommandReceipt("rejected", "The network takes no bookings any more.")
    return booker.book(
        BookRequest(
            connector=reservation.connector, booking_key=str(reservation.key), id_token=reservation.id_token,
            starts_at=reservation.starts_at, ends_at=reservation.ends_at, is_cancelled=is_cancelled,
        )
    )  # fmt: skip
