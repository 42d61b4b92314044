"""What the world does to a plan: plugs fault or are taken, sessions start and end, vehicles recover."""

import contextlib
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import CharField, Exists, F, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Cast, Concat

from billing.models import ChargingSession
from dispatch.models import Alert, ChargePlan, Reservation
from dispatch.services import asking, assigning, decisions, planning, rebooking, reservations, stories
from dispatch.services.alerts import close_alert_by_key, close_alerts_by_key, open_alert
from dispatch.services.planning import Want
from dispatch.wording import Says
from fleetcharge.accounts.models import Organisation
from fleetcharge.lib.geo import distance_m
from fleetcharge.lib.sweeps import survived
from stations.models import Charger, Connector, Location
from vehicles.models import POSITION_STALE_AFTER, VehicleState

State = ChargePlan.State
UNDER_WAY = planning.UNDER_WAY
FIRM = (State.ACCEPTED, State.RESERVED, State.CHARGING)
AT_SITE_M = 250
"""A vehicle this close to its plug is presumed to be the one that occupies it, until a session says otherwise."""
SHOWS_ITSELF_WITHIN = timedelta(minutes=5)
"""OCPP 2.x: plugged in, no token yet. For so long it may be the vehicle that the place is promised to."""
EVENT_WITHIN = timedelta(seconds=20)
"""What no event told us of by then is found by a sweep."""
REASONS = {
    Connector.Status.FAULTED: "faulted", Connector.Status.UNAVAILABLE: "faulted", Connector.Status.UNKNOWN: "silent",
    Connector.Status.OCCUPIED: "taken", Connector.Status.CHARGING: "taken",
}  # fmt: skip
"""Why a plug in this state is no longer the one to drive to."""


def connector_changed(*, connector_id: int, status: str, now: datetime) -> list[int]:
    """A plug changed its state: plans for it are made again when it is lost; the ids of the new plans."""
    return connectors_changed(changes=[(connector_id, status)], now=now)


def connectors_changed(*, changes: Sequence[tuple[int, str]], now: datetime) -> list[int]:
    """Plugs changed their states, (connector, status): where many are lost at once, the new places are shared out."""
    told = [(connector_id, status, REASONS.get(Connector.Status(status))) for connector_id, status in changes]
    lost = [(connector_id, reason) for connector_id, _, reason in told if reason]
    broken = {connector_id: reason for connector_id, status, reason in told if status in rebooking.BROKEN and reason}
    with survived("connectors", sorted(broken)):
        rebooking.lose_places(reasons=broken, now=now)
    return _replan_each(lost, now)


def replan_affected(connector_id: int, reason: str, now: datetime) -> list[int]:
    """Find another plug for every vehicle that is sent to this one; the ids of the new plans.

    `reason` faulted, silent: always. taken: unless it is the vehicle itself that stands there.
    """
    return _replan_each([(connector_id, reason)], now)


def _replan_each(lost: Sequence[tuple[int, str]], now: datetime) -> list[int]:
    reasons: dict[int | None, str] = dict(lost)
    plans = _with_places(ChargePlan.objects.filter(connector_id__in=list(dict(lost)), state__in=UNDER_WAY))
    affected = [(plan, reasons[plan.connector_id]) for plan in plans]
    away = [(plan.pk, reason) for plan, reason in affected if reason != "taken" or _is_lost_to_another(plan, now)]
    return [plan.pk for plan in replan_together(plans=away, now=now)]


def _with_places(plans: QuerySet[ChargePlan]) -> QuerySet[ChargePlan]:
    """With where their vehicles and their plugs are."""
    related = plans.select_related("vehicle__state", "connector__evse__location")
    return related.defer("snapshot", "explanation", "route").order_by("pk")


def _is_lost_to_another(plan: ChargePlan, now: datetime) -> bool:
    return _is_due(plan, now) and _is_taken_by_another(plan, now)


def _is_due(plan: ChargePlan, now: datetime) -> bool:
    """Who takes its plug now may still be there at its time. One of ours whose time is before takes nothing until the
    vehicle is expected, and then nothing from one that waits beside it."""
    begins = plan.window_starts_at
    if begins is None or plan.evse_id is None or begins <= plan.created_at + asking.SOON:
        return True
    before = ChargePlan.objects.filter(evse_id=plan.evse_id, state__in=FIRM, window_ends_at__lte=begins)
    is_expected = plan.arrived_at is None and (plan.plug_in_at is None or plan.plug_in_at <= now)
    return begins <= now + asking.lead() and (is_expected or not before.exists())


def plans_kept_waiting(*, now: datetime) -> list[tuple[int, str]]:
    """(plan, reason) of vehicles on their way to a plug that was to be free for them by now, and is not."""
    expected = ChargePlan.objects.filter(
        state__in=UNDER_WAY, plug_in_at__lte=now, arrived_at=None, window_starts_at__gt=F("created_at") + asking.SOON
    )
    others = ChargingSession.objects.active().filter(connector__evse_id=OuterRef("evse_id"))
    others = others.exclude(vehicle_id=OuterRef("vehicle_id"))
    waiting = _with_places(expected.filter(Exists(others)))
    running = _sessions_at({plan.evse_id for plan in waiting})
    return [(plan.pk, "taken") for plan in waiting if not _may_be_its_own(running[plan.evse_id], plan, now)]


def plugs_lost_unnoticed(*, now: datetime) -> list[tuple[int, str]]:
    """(connector, status) of plugs that were lost after a plan chose them, where no event made us look elsewhere."""
    under_way = ChargePlan.objects.filter(
        state__in=UNDER_WAY, connector__status__in=list(REASONS), connector__status_since__gt=F("created_at"),
        connector__status_since__lt=now - EVENT_WITHIN,
    )  # fmt: skip
    return list(under_way.values_list("connector_id", "connector__status").distinct().order_by("connector_id"))


def silence_unnoticed(*, now: datetime) -> list[int]:
    """Chargers that are shown silent, of which nobody was told since."""
    silent = Charger.objects.filter(
        is_online=False, silent_shown_at__gte=F("disconnected_at"), silent_shown_at__lt=now - EVENT_WITHIN
    )
    told = Alert.objects.filter(
        Q(closed_at=None) | Q(opened_at__gte=OuterRef("silent_shown_at")),
        organisation_id=OuterRef("organisation_id"),
        dedupe_key=Concat(Value("charger:"), Cast(OuterRef("pk"), CharField())),
    )
    return list(silent.filter(~Exists(told)).order_by("pk").values_list("pk", flat=True)[:500])


def silence_over(*, now: datetime) -> int:
    """Close the alerts of chargers that came back, where no event did; how many."""
    key = Concat(Value("charger:"), Cast("pk", CharField()))
    speaking = Charger.objects.online().filter(connected_at__lt=now - EVENT_WITHIN).annotate(key=key)
    speaking = speaking.filter(organisation_id=OuterRef("organisation_id"), key=OuterRef("dedupe_key"))
    over = Alert.objects.open().filter(Exists(speaking), kind=Alert.Kind.CHARGER_SILENT).order_by("pk")
    causes = [(organisation_id, key, now) for organisation_id, key in over.values_list("organisation_id", "dedupe_key")]
    return close_alerts_by_key(causes=causes, reason="came back")


def replan(*, plan_id: int, reason: str, now: datetime) -> ChargePlan | None:
    """Replace one plan. Safe to run twice and at once: the old plan is closed by whoever comes first."""
    return next(iter(replan_together(plans=[(plan_id, reason)], now=now)), None)


def replan_together(*, plans: Sequence[tuple[int, str]], now: datetime) -> list[ChargePlan]:
    """Replace plans, (plan, reason); the new ones. Whoever cannot be planned for is sent nowhere any more."""
    wants = _wants_for(plans)
    made = [planning.plan_charge_stop(**want._asdict(), now=now) for want in wants] if len(wants) == 1 else []
    made += assigning.plan_together(wants, now=now) if len(wants) > 1 else []
    for plan_id in _left_over(wants):
        with _alone(plans, plan_id):
            _expire(plan_id, now)
    return [plan for plan in made if plan is not None]


def _left_over(wants: Sequence[Want]) -> list[int]:
    """The plans that nothing has taken the place of, and that shall not stand all the same."""
    replaced = [(want.replaces, want.trigger) for want in wants if want.replaces is not None]
    plans = ChargePlan.objects.filter(pk__in=[plan.pk for plan, _ in replaced])
    states = dict(plans.values_list("pk", "state"))
    return [plan.pk for plan, reason in replaced if states.get(plan.pk) in planning.makes_way(plan, reason)]


def _wants_for(plans: Sequence[tuple[int, str]]) -> list[Want]:
    """Nothing is written yet: whoever takes the place of a plan looks again whether it is open, and gives back what it
    was promised. Of several, one that goes wrong leaves the others no worse."""
    known = decisions.as_they_are([plan_id for plan_id, _ in plans])
    wants: list[Want] = []
    for plan_id, reason in plans:
        with _alone(plans, plan_id):
            plan = known.get(plan_id)
            want = _want_for(plan, reason) if plan else None
            wants += [want] if want else []
    return wants


def _alone(plans: Sequence[tuple[int, str]], plan_id: int) -> contextlib.AbstractContextManager[None]:
    return survived("plan", plan_id) if len(plans) > 1 else contextlib.nullcontext()


def _want_for(plan: ChargePlan, reason: str) -> Want | None:
    """Another plan in place of this one; None: it is over, or somebody has decided for it and nothing is wrong."""
    if plan.state not in UNDER_WAY or (reason in planning.BY_CHOICE and not _is_undecided(plan)):
        return None
    excluded = [plan.connector_id] if plan.connector_id and reason != "stale" else []
    return Want(plan.vehicle_id, reason, f"{reason}:{plan.pk}", plan, excluded)


def _is_undecided(plan: ChargePlan) -> bool:
    """A proposal, or what its fleet's automatic mode accepted while no driver has set off."""
    is_automatic = plan.vehicle.organisation.dispatch_mode == Organisation.DispatchMode.AUTOMATIC
    return plan.state == State.PROPOSED or (is_automatic and plan.decided_by_id is None and plan.set_off_at is None)


@transaction.atomic
def _expire(plan_id: int, now: datetime) -> None:
    """Nobody knows where the vehicle is: an offer from here would bind a plug for nothing."""
    plan = decisions.locked(plan_id)
    if plan.state in UNDER_WAY:
        reservations.release(plan, state=Reservation.State.CANCELLED, reason="not planned again", now=now)
        decisions.move(plan, State.EXPIRED, now, closed_at=now)


def _is_taken_by_another(plan: ChargePlan, now: datetime) -> bool:
    session = ChargingSession.objects.active().filter(connector=plan.connector).order_by("-pk").first()
    if session is not None and not _is_nameless(session):
        return session.vehicle_id != plan.vehicle_id
    return not (_is_at_site(plan) or _may_have_plugged_in(plan, now))


def _may_have_plugged_in(plan: ChargePlan, now: datetime) -> bool:
    """Somebody has just plugged in there who has not shown a token: its vehicle, unless it is known to be elsewhere."""
    return _may_be_its_own(_sessions_at({plan.evse_id})[plan.evse_id], plan, now)


def _sessions_at(evse_ids: Collection[int | None]) -> dict[int | None, list[ChargingSession]]:
    found: dict[int | None, list[ChargingSession]] = {evse_id: [] for evse_id in evse_ids}
    known = [evse_id for evse_id in found if evse_id is not None]
    running = ChargingSession.objects.active().filter(connector__evse_id__in=known)
    for session in running.select_related("connector"):
        found[session.connector.evse_id].append(session)
    return found


def _may_be_its_own(running: Sequence[ChargingSession], plan: ChargePlan, now: datetime) -> bool:
    just_now = [_is_nameless(one) and one.created_at > now - SHOWS_ITSELF_WITHIN for one in running]
    return bool(just_now) and all(just_now) and (_is_at_site(plan) or not _is_seen(plan, now))


def _is_nameless(session: ChargingSession) -> bool:
    """Without a token (OCPP 2.x, plugged in first) nobody knows yet."""
    return not session.id_token_uid and session.vehicle_id is None


def _is_seen(plan: ChargePlan, now: datetime) -> bool:
    """Its tracker says where it is."""
    state = _state_of(plan)
    if state is None or state.latitude is None or state.position_at is None:
        return False
    return state.position_at > now - POSITION_STALE_AFTER


def _is_at_site(plan: ChargePlan) -> bool:
    """By its driver's word, or by its position."""
    if plan.connector is None:
        return False
    return plan.arrived_by == ChargePlan.ArrivedBy.DRIVER or _is_near(_state_of(plan), plan.connector.evse.location)


def _state_of(plan: ChargePlan) -> VehicleState | None:
    return getattr(plan.vehicle, "state", None)


def is_at(vehicle_id: int, connector_id: int) -> bool:
    """Does the vehicle stand where this plug is, as far as it told us?"""
    state = VehicleState.objects.filter(vehicle_id=vehicle_id).first()
    return _is_near(state, Location.objects.get(evses__connectors=connector_id))


def _is_near(state: VehicleState | None, site: Location) -> bool:
    if state is None or state.latitude is None or state.longitude is None:
        return False
    return distance_m(state.latitude, state.longitude, site.latitude, site.longitude) <= AT_SITE_M


def session_started(
    *, session_id: int, vehicle_id: int | None, connector_id: int, location_id: int, now: datetime
) -> None:
    """The vehicle has plugged in, where it was sent or elsewhere; a stranger at the plug sends ours elsewhere."""
    from dispatch.services import enforcement  # it replans, and that is here

    if vehicle_id is not None:
        _begin_charging(session_id, vehicle_id, connector_id, location_id, now)
    enforcement.enforce(session_id=session_id, now=now)
    replan_affected(connector_id, "taken", now)


@transaction.atomic
def _begin_charging(session_id: int, vehicle_id: int, connector_id: int, location_id: int, now: datetime) -> None:
    mine = ChargePlan.objects.filter(vehicle_id=vehicle_id, state__in=UNDER_WAY)
    plan_id = mine.values_list("pk", flat=True).first()
    if plan_id is None:
        _use_reservation(vehicle_id, connector_id, now)
        return
    plan = decisions.locked(plan_id)
    if plan.state not in UNDER_WAY:
        return
    if plan.connector is None or plan.connector.evse.location_id != location_id:
        reservations.release(plan, state=Reservation.State.CANCELLED, reason="charges elsewhere", now=now)
        decisions.move(plan, State.EXPIRED, now, closed_at=now)
        return
    is_here = plan.connector_id == connector_id
    final = Reservation.State.USED if is_here else Reservation.State.CANCELLED
    reservations.release(plan, state=final, reason="" if is_here else "plugged in beside it", now=now)
    decisions.move(plan, State.CHARGING, now, session_id=session_id, undo_until=None)


def _use_reservation(vehicle_id: int, connector_id: int, now: datetime) -> None:
    """A reservation made by hand is used up."""
    mine = Reservation.objects.select_for_update().active().filter(vehicle_id=vehicle_id, connector_id=connector_id)
    mine = mine.filter(starts_at__lte=now + reservations.ARRIVAL_GRACE)
    for reservation in mine:
        reservations.use(reservation, now)


@transaction.atomic
def session_ended(*, session_id: int, now: datetime) -> bool:
    """The plan of this session is done; False when there is none."""
    charging = ChargePlan.objects.filter(session_id=session_id, state=State.CHARGING).first()
    if charging is None:
        return False
    plan = decisions.locked(charging.pk)
    if plan.state == State.CHARGING:
        decisions.move(plan, State.COMPLETED, now, closed_at=now)
    return True


@transaction.atomic
def close_recovered(*, vehicle_id: int, now: datetime) -> bool:
    """The battery is fuller again without us: nothing to decide any more. A running session closes its own plan."""
    plan_id = ChargePlan.objects.filter(vehicle_id=vehicle_id, state__in=UNDER_WAY).values_list("pk", flat=True).first()
    if plan_id is None:
        return _close_alert_of(vehicle_id, now)
    plan = decisions.locked(plan_id)
    if plan.state in UNDER_WAY:
        reservations.release(plan, state=Reservation.State.CANCELLED, reason="recovered", now=now)
        decisions.move(plan, State.EXPIRED, now, closed_at=now)
    return True


def _close_alert_of(vehicle_id: int, now: datetime) -> bool:
    alert = Alert.objects.open().filter(dedupe_key=stories.key_of(vehicle_id)).first()
    if alert is None or (alert.plan and alert.plan.state == State.CHARGING):
        return False
    return close_alert_by_key(
        organisation_id=alert.organisation_id, dedupe_key=alert.dedupe_key, reason="recovered", now=now
    )


def charger_lost(*, charger_id: int, now: datetime) -> list[int]:
    """A charger went silent: its fleet hears of it, and vehicles on the way there are sent elsewhere."""
    charger = Charger.objects.select_related("location").get(pk=charger_id)
    open_alert(
        organisation_id=charger.organisation_id, kind="charger_silent", dedupe_key=f"charger:{charger_id}",
        severity="warn", now=now, location_id=charger.location_id,
        says=Says("charger_silent", ("last_heard",) if charger.last_seen_at else (), {
            "ocpp_identity": charger.ocpp_identity, "place": charger.location.name, "last_seen_at": charger.last_seen_at
        }),
        data={"charger_id": charger_id, "ocpp_identity": charger.ocpp_identity},
    )  # fmt: skip
    connectors = Connector.objects.filter(evse__charger_id=charger_id).values_list("pk", flat=True)
    silent = dict.fromkeys(connectors, "silent")
    rebooking.lose_places(reasons=silent, now=now)
    return _replan_each(list(silent.items()), now)
