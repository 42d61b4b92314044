"""A place that was reserved by hand is lost: the nearest other one is reserved, or a person hears that there is none.

Reservations that belong to a plan are planned again instead (following.replan).
"""

import contextlib
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, F, OuterRef, QuerySet

from billing.models import ChargingSession
from billing.services import authorisation
from dispatch.models import Alert, Reservation
from dispatch.services import asking, elsewhere, reservations
from dispatch.services.alerts import open_alert
from dispatch.wording import Says
from fleetcharge.lib.sweeps import survived
from stations.models import Connector
from stations.nearest import Near, nearest

State = Reservation.State
MOST_TIMES = 5
"""A promise that was lost so often in a row is a person's to make."""
SITES_LOOKED_AT = 12
FARTHEST_M = 15_000
EVENT_WITHIN = timedelta(seconds=20)
BROKEN = (Connector.Status.FAULTED, Connector.Status.UNAVAILABLE, Connector.Status.UNKNOWN)
AVAILABLE_NOW = timedelta(hours=1)
"""What is free just now says nothing of later than this."""


def lose_place(*, connector_id: int, reason: str, now: datetime) -> list[int]:
    """A plug broke or fell silent: reservations there that no plan stands behind are moved; the numbers of the new."""
    return lose_places(reasons={connector_id: reason}, now=now)


def lose_places(*, reasons: Mapping[int, str], now: datetime) -> list[int]:
    """The same of many plugs, each with its reason; one query where nobody has such a place."""
    affected = Reservation.objects.active().filter(
        connector_id__in=list(reasons), plan=None, is_rebooked=True, starts_at__lt=now + AVAILABLE_NOW,
        expires_at__gt=now,
    ).order_by("pk")  # fmt: skip
    made: list[int] = []
    for key, connector_id in affected.values_list("key", "connector_id"):
        with survived("connector", connector_id) if len(reasons) > 1 else contextlib.nullcontext():
            row = move(str(key), reasons[connector_id], now)
            made += [] if row is None else [row.number]
    return made


def move(reservation_key: str, reason: str, now: datetime) -> Reservation | None:
    """Give one promise up and find another; None when that is not ours to do, or there is none."""
    with transaction.atomic():
        row = reservations.locked(reservation_key)
        if row is None or row.state not in Reservation.ACTIVE_STATES or row.plan_id is not None:
            return None
        row.rebook_due_at = now
        row.save(update_fields=["rebook_due_at"])
        reservations.settle(row, State.CANCELLED, reason, now)
    return rebook(row.number, now)


def lost_unnoticed(now: datetime) -> list[int]:
    """Plugs with such reservations that broke after they were promised, where no event made us look elsewhere."""
    promised = Reservation.objects.active().filter(plan=None, is_rebooked=True, starts_at__lt=now + AVAILABLE_NOW)
    broken = promised.filter(
        connector__status__in=BROKEN, connector__status_since__gt=F("created_at"),
        connector__status_since__lt=now - EVENT_WITHIN,
    )  # fmt: skip
    return list(broken.values_list("connector_id", flat=True).distinct().order_by("connector_id"))


def blocked(now: datetime) -> list[str]:
    """Promises for later whose time has come, with another vehicle still charging there; their keys."""
    begun = Reservation.objects.active().filter(
        plan=None, is_rebooked=True, starts_at__lte=now, expires_at__gt=now, starts_at__gt=F("created_at") + asking.SOON
    )
    others = ChargingSession.objects.active().filter(connector__evse_id=OuterRef("evse_id"))
    others = others.exclude(vehicle_id=OuterRef("vehicle_id"))
    return [str(key) for key in begun.filter(Exists(others)).values_list("key", flat=True)]


def due(now: datetime, *, after: timedelta = timedelta(0)) -> QuerySet[Reservation]:
    """Lost promises that nobody has looked for another place for."""
    return Reservation.objects.filter(rebook_due_at__lte=now - after)


def rebook(number: int, now: datetime) -> Reservation | None:
    """Reserve the nearest other place for a lost promise; None when it is done already, or there is none. Run by one.

    A vehicle that somebody gave another place meanwhile needs none. The network of the new place is asked like any;
    should it refuse, the next one is looked for.
    """
    if not Reservation.objects.filter(pk=number, rebook_due_at__isnull=False).update(rebook_due_at=None):
        return None
    lost = Reservation.objects.select_related("vehicle__model", "vehicle__organisation", asking.RELATED).get(pk=number)
    others = elsewhere.others(lost.vehicle_id, lost.connector_id, max(lost.starts_at, now), lost.expires_at)
    if lost.expires_at <= now or others.exists():
        return None
    tried = _tried(lost)
    try:
        made = None if len(tried) > MOST_TIMES else _take_one(lost, tried, now)
    except elsewhere.VehicleIsElsewhere:
        return None
    _tell(lost, made, now)
    if made is not None:
        with survived("reservation", made.number):
            reservations.send_reservation(made.number, now)
    return made


def _take_one(lost: Reservation, tried: list[int], now: datetime) -> Reservation | None:
    """The first that the vehicle may charge at, and that is still free when we take it."""
    token = reservations.token_of(lost.vehicle, now)
    for connector in _candidates(lost, tried, now):
        if token and not _may_charge(token, connector, max(lost.starts_at, now)):
            continue
        made = reservations.create_reservation(
            vehicle_id=lost.vehicle_id, connector_id=connector.pk, starts_at=lost.starts_at,
            expires_at=lost.expires_at, actor=lost.created_by, actor_label="" if lost.created_by_id else "rebooking",
            replaces=lost, now=now,
        )  # fmt: skip
        if made is not None and made.replaces_id == lost.pk:
            return made
    return None


def _may_charge(token: str, connector: Connector, at: datetime) -> bool:
    decision = authorisation.decide(id_token=token, connector_id=connector.pk, charger_id=None, at=at)
    return decision.is_accepted


def _tried(lost: Reservation) -> list[int]:
    """The plugs that this promise was at, the newest first."""
    plugs, row = [lost.connector_id], lost
    while row.replaces is not None and len(plugs) <= MOST_TIMES:
        row = row.replaces
        plugs.append(row.connector_id)
    return plugs


def _candidates(lost: Reservation, tried: list[int], now: datetime) -> Iterable[Connector]:
    """Plugs that fit, nearest to the lost one first, the stronger first within a site; half its power at least."""
    place, is_now = lost.connector.evse.location, lost.starts_at <= now + AVAILABLE_NOW
    plugs = lost.vehicle.model.plugs
    near = Near(
        latitude=place.latitude, longitude=place.longitude, organisation_id=lost.organisation_id, plugs=plugs,
        min_power_w=lost.connector.max_power_w // 2, is_available=is_now, limit=SITES_LOOKED_AT,
    )  # fmt: skip
    sites = [pk for pk, metres in nearest(near, now) if metres <= FARTHEST_M]
    usable = Connector.objects.usable_by(lost.vehicle.organisation).fitting(plugs).exclude(pk__in=tried)
    usable = usable.filter(max_power_w__gte=lost.connector.max_power_w // 2)
    usable = usable.available(now) if is_now else usable
    found = usable.filter(evse__location_id__in=sites).select_related("evse")
    return sorted(found, key=lambda plug: (sites.index(plug.evse.location_id), -plug.max_power_w, plug.pk))


def _tell(lost: Reservation, made: Reservation | None, now: datetime) -> None:
    name, place = lost.vehicle.registration, lost.connector.evse.location
    known = {"registration": name, "place": place.name, "reason": lost.reason}
    if made is None:
        severity, says = Alert.Severity.BAD, Says("place_lost", ("lost_because", "nothing_nearby"), known)
    else:
        found = Connector.objects.select_related("evse__location").get(pk=made.connector_id).evse.location
        known |= {"place": found.name, "lost_place": place.name}
        severity, says = Alert.Severity.WARN, Says("place_moved", ("lost_at",), known)
    open_alert(
        organisation_id=lost.organisation_id, kind=Alert.Kind.RESERVATION_LOST, dedupe_key=f"rebooked:{lost.number}",
        says=says, severity=severity, vehicle_id=lost.vehicle_id, location_id=place.pk,
        data={"lost": lost.number, "made": made.number if made else None}, now=now,
    )  # fmt: skip
