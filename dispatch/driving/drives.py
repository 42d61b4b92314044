"""The way of a vehicle to its plug, by its pings: arrived, kept while it waits there, not come, stayed too long."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db.models import BigIntegerField, CharField, Exists, F, OuterRef, Q, QuerySet, Value
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, Concat

from billing.models import ChargingSession
from billing.reconstruction import DELIVERING_W
from billing.services import energy
from dispatch.driving import deeds, telling
from dispatch.models import Alert, ChargePlan, Reservation
from dispatch.services.asking import lead
from dispatch.services.elsewhere import VehicleIsElsewhere
from dispatch.services.extending import extend_reservation
from dispatch.services.following import AT_SITE_M
from fleetcharge.lib.geo import distance_m
from fleetcharge.lib.sweeps import survived
from vehicles.models import POSITION_STALE_AFTER, VehicleState

State, ArrivedBy = ChargePlan.State, ChargePlan.ArrivedBy
PASSING_KMH = 20.0
"""Who is faster drives by."""
ENDS_SOON = timedelta(seconds=60)
KEPT_FOR = timedelta(minutes=15)
KEPT_AT_MOST = timedelta(minutes=60)
"""A place is kept for a vehicle that waits beside it, in steps, so long after it came."""
TOLD_WITHIN = timedelta(hours=1)
FULL_AFTER = timedelta(minutes=2)
IDLE_BEFORE_ALERT = timedelta(minutes=10)

LONGEST_STAY = timedelta(days=2)
CHUNK = 500


def sweep(*, now: datetime) -> int:
    """All of it, once; how many plans, places and alerts moved. Each row by itself."""
    return (
        find_arrivals(now=now)
        + keep_places(now=now)
        + tell_no_shows(now=now)
        + tell_overstays(now=now)
        + close_what_is_over(now=now)
    )


# --- there --------------------------------------------------------------------------------------------------------
def find_arrivals(*, now: datetime) -> int:
    """Vehicles whose last believable position is at their plug's site, and those that charge by their plan."""
    found = 0
    for plan in _not_there(now):
        if _is_there(plan):
            with survived("plan", plan.pk):
                found += deeds.arrive(plan_id=plan.pk, by=ArrivedBy.POSITION, now=now)
    charging = ChargePlan.objects.filter(state=State.CHARGING, arrived_at=None).order_by("pk")
    for plan_id in charging.values_list("pk", flat=True)[:CHUNK]:
        with survived("plan", plan_id):
            found += deeds.arrive(plan_id=plan_id, by=ArrivedBy.SESSION, now=now)
    return found


def _not_there(now: datetime) -> QuerySet[ChargePlan]:
    """Under way, with a position that is newer than the decision."""
    on_the_way = ChargePlan.objects.filter(
        state__in=deeds.UNDER_WAY, arrived_at=None, vehicle__state__latitude__isnull=False,
        vehicle__state__position_at__gte=F("decided_at"), vehicle__state__position_at__gt=now - POSITION_STALE_AFTER,
    )  # fmt: skip
    on_the_way = on_the_way.exclude(window_starts_at__gt=now + lead())  # it stands there on other business
    return on_the_way.select_related("vehicle__state", "connector__evse__location").order_by("pk")


def _is_there(plan: ChargePlan) -> bool:
    """Within the site's circle, and not driving through it."""
    state: VehicleState = plan.vehicle.state
    if plan.connector is None or state.latitude is None or state.longitude is None:
        return False
    site = plan.connector.evse.location
    is_near = distance_m(state.latitude, state.longitude, site.latitude, site.longitude) <= AT_SITE_M
    return is_near and (state.speed_kmh or 0.0) <= PASSING_KMH


def keep_places(*, now: datetime) -> int:
    """A place that would lapse while its vehicle waits beside it (the plug may still be busy) is kept; how many."""
    ending = Reservation.objects.active().filter(
        expires_at__gt=now, expires_at__lte=now + ENDS_SOON, plan__state__in=deeds.UNDER_WAY,
        plan__arrived_at__gt=now - KEPT_AT_MOST,
    )  # fmt: skip
    related = ("plan__vehicle__state", "plan__connector__evse__location")
    kept = 0
    for row in ending.select_related(*related).order_by("pk")[:CHUNK]:
        with survived("reservation", row.pk):
            kept += _keep(row, now)
    return kept


def _keep(row: Reservation, now: datetime) -> bool:
    plan = row.plan
    if plan is None or (plan.arrived_by == ArrivedBy.POSITION and not _is_there(plan)):
        return False
    try:
        longer = extend_reservation(
            number=row.pk, expires_at=row.expires_at + KEPT_FOR, actor=None, actor_label="arrived", now=now
        )
    except (VehicleIsElsewhere, ValueError):
        return False
    return longer is not None


# --- not there ----------------------------------------------------------------------------------------------------
def tell_no_shows(*, now: datetime) -> int:
    """Plans that ended because nobody came, of which nobody was told; how many."""
    rows = missed(now).select_related("vehicle", "connector__evse__location").order_by("closed_at", "pk")[:CHUNK]
    for plan in rows:
        with survived("plan", plan.pk):
            telling.did_not_come(plan, now=now)
    return len(rows)


def missed(now: datetime) -> QuerySet[ChargePlan]:
    """By an index of their own: plans_nobody_came_for."""
    told = Alert.objects.filter(organisation_id=OuterRef("organisation_id"), dedupe_key=OuterRef("key"))
    lapsed = Reservation.objects.filter(plan_id=OuterRef("pk"), state=Reservation.State.EXPIRED)
    came_to_nothing = ChargePlan.objects.filter(
        Exists(lapsed), state=State.EXPIRED, closed_at__gt=now - TOLD_WITHIN, arrived_at=None, connector__isnull=False
    )
    return came_to_nothing.annotate(key=_key(telling.NO_SHOW)).filter(~Exists(told))


def _key(prefix: str) -> Concat:
    return Concat(Value(prefix), Cast("pk", CharField()), output_field=CharField())


# --- too long -----------------------------------------------------------------------------------------------------
def tell_overstays(*, now: datetime) -> int:
    """Vehicles that are plugged in although nothing has flowed for a while, by the charger's own word; how many.

    Of more quiet sessions than a sweep has time for (a depot at night) each sweep draws some.
    """
    told = Alert.objects.open().filter(organisation_id=OuterRef("organisation_id"), dedupe_key=OuterRef("key"))
    quiet = _quiet(now).annotate(key=_key(telling.OVERSTAY)).filter(~Exists(told))
    found = 0
    for session in quiet.select_related("vehicle", "organisation", "connector__evse__location").order_by("?")[:CHUNK]:
        with survived("session", session.pk):
            idle = idle_for(session, now)
            if idle >= IDLE_BEFORE_ALERT and not _was_told(session, since=now - idle):
                telling.stays_too_long(session, now - idle, now=now)
                found += 1
    return found


def _was_told(session: ChargingSession, *, since: datetime) -> bool:
    """Somebody has dealt with this idling; a later one is news."""
    return Alert.objects.filter(session=session, kind=Alert.Kind.OVERSTAY, opened_at__gte=since).exists()


def _quiet(now: datetime) -> QuerySet[ChargingSession]:
    """Sessions of known vehicles that drew something and draw hardly anything now, at chargers whose meter we read."""
    running = ChargingSession.objects.active().filter(
        vehicle__isnull=False, charger__isnull=False, suspect_reason="", energy_wh__gt=0,
        started_at__range=(now - LONGEST_STAY, now - IDLE_BEFORE_ALERT),
    )  # fmt: skip
    return running.filter(Q(power_w__lt=DELIVERING_W) | Q(power_w=None))


def idle_for(session: ChargingSession, now: datetime) -> timedelta:
    """Since when nothing flows, as its charger tells; nothing without proof (a network's session)."""
    return timedelta(seconds=energy.idle_seconds(session, now))


def is_full(session: ChargingSession, now: datetime) -> bool:
    """As its charger tells. The meter is asked only of a session that draws nothing, or nobody knows what."""
    return not _draws(session) and session.energy_wh > 0 and idle_for(session, now) >= FULL_AFTER


def close_what_is_over(*, now: datetime) -> int:
    """Alerts whose cause is gone: it left or draws again, it came after all, somebody charges at the reported plug."""
    closed = 0
    for reason, alerts in _over():
        for alert in alerts[:CHUNK]:
            with survived("alert", alert.pk):
                closed += telling.is_over(alert, reason, now=now)
    return closed


def _over() -> Iterator[tuple[str, QuerySet[Alert]]]:
    """Those alone that are over, and why: however many last, they hide none."""
    opened = Alert.objects.open().order_by("pk")
    sessions = ChargingSession.objects.filter(started_at__gt=OuterRef("opened_at"))
    missed = opened.filter(kind=Alert.Kind.NO_SHOW).annotate(plan_number=_number("plan_id"))
    later = ChargePlan.objects.filter(vehicle=OuterRef("vehicle"), pk__gt=OuterRef("plan_number"))
    yield "planned again", missed.filter(Exists(later))
    yield "charges", missed.filter(Exists(sessions.filter(vehicle=OuterRef("vehicle"))))
    idle = ChargingSession.objects.active().filter(pk=OuterRef("session")).exclude(power_w__gte=DELIVERING_W)
    yield "left", opened.filter(~Exists(idle), kind=Alert.Kind.OVERSTAY)
    reported = opened.filter(kind=Alert.Kind.CHARGER_MATTER, dedupe_key__startswith=telling.REPORTED)
    charged = sessions.filter(connector=OuterRef("plug_number"), energy_wh__gt=0)
    yield "somebody charges there", reported.annotate(plug_number=_number("connector_id")).filter(Exists(charged))


def _number(name: str) -> Cast:
    """Of what the alert is about."""
    return Cast(KeyTextTransform(name, "data"), BigIntegerField())


def _draws(session: ChargingSession) -> bool:
    return session.power_w is not None and session.power_w >= DELIVERING_W
