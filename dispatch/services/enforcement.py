"""Our promises hold even where the charger does not keep them: who starts on a reserved connector is found out."""

import uuid
from datetime import datetime, timedelta

from django.db import transaction

from billing.models import ChargingPolicy, ChargingSession
from dispatch.events import ReservationBreached
from dispatch.models import Alert, Reservation, ReservationBreach
from dispatch.services import following, planning, reservations
from dispatch.services.alerts import close_alert_by_key, open_alert
from dispatch.wording import Says
from fleetcharge.lib.events import publish
from fleetcharge.lib.sweeps import survived
from stations.cpo import registry
from stations.cpo.base import CPOError, StopRequest

State = ReservationBreach.State
TAKEN = "another vehicle started here"
STOPPED_WITHIN = timedelta(seconds=60)
REPLANNED_WITHIN = timedelta(seconds=10)
ATTEMPTS = 3


def enforce(*, session_id: int, now: datetime) -> ReservationBreach | None:
    """A session runs: has its vehicle the right to this place? None when it has, or nobody else does.

    A stranger loses nothing but, if the charger's owner wants it so, the session; the promise is closed, the vehicle
    that had it is sent elsewhere at once (the cable stays in the socket even when the session is stopped). Safe to run
    twice and at once: one breach per reservation, by constraint.
    """
    session = _session(session_id)
    if session is None:
        return None
    breach = None
    for key in _promises_at(session):
        if found := _judge(session, str(key), now):
            breach = found
            _send_elsewhere(breach, now)
    return breach


def ask_to_stop(*, breach_id: int, now: datetime) -> bool:
    """Ask the charger once more to end the session of a breach; False when it has ended or was asked often enough.

    The network is called outside any transaction, and not before the charger has its answer to the start: until then
    an OCPP 1.6 charger does not know the transaction by our number.
    """
    breach = ReservationBreach.objects.select_related(
        "session__connector__evse__location__source", "session__source"
    ).get(pk=breach_id)
    session = breach.session
    if breach.state != State.STOPPING or session.state != ChargingSession.State.ACTIVE:
        return False
    attempt = breach.attempts + 1
    if attempt > ATTEMPTS:
        _give_up(breach, now)
        return False
    if not _claim(breach, attempt, now):
        return False
    stopper = registry.stopper_for(session.source)
    if stopper is None:
        _give_up(breach, now)
        return False
    try:
        key = f"breach:{breach.pk}:{attempt}"
        stopper.stop(StopRequest(session.connector, session.transaction_ref, key, session.source))
    except CPOError:
        return False  # asked again by the sweep
    return True


def session_over(*, session_id: int, now: datetime) -> int:
    """The stranger has gone: the breach and its alerts are closed; how many there were."""
    rows = ReservationBreach.objects.filter(session_id=session_id, closed_at=None).select_related("session__charger")
    return sum(_close(breach, now) for breach in rows)


def sweep_breaches(*, now: datetime) -> int:
    """What events missed: strangers on promised places, vehicles that nobody sent elsewhere, stops without effect,
    sessions that have ended since."""
    running = ChargingSession.objects.active()
    strangers = running.filter(connector__evse__connectors__reservations__state__in=Reservation.ACTIVE_STATES)
    found = 0
    for pk in strangers.distinct().values_list("pk", flat=True):
        with survived("session", pk):
            found += enforce(session_id=pk, now=now) is not None
    forgotten = ReservationBreach.objects.filter(replanned_at=None, found_at__lt=now - REPLANNED_WITHIN)
    for lost in forgotten.select_related("reservation", "session"):
        with survived("breach", lost.pk):
            _send_elsewhere(lost, now)
    still_open = ReservationBreach.objects.filter(closed_at=None)
    for pk in (
        still_open.filter(state=State.STOPPING).exclude(asked_at__gt=now - STOPPED_WITHIN).values_list("pk", flat=True)
    ):
        with survived("breach", pk):
            ask_to_stop(breach_id=pk, now=now)
    over = still_open.exclude(session__state=ChargingSession.State.ACTIVE).values_list("session_id", flat=True)
    for session_id in set(over):
        with survived("session", session_id):
            session_over(session_id=session_id, now=now)
    return found


def _session(session_id: int) -> ChargingSession | None:
    related = ("connector__evse__location__source", "charger", "vehicle")
    session = ChargingSession.objects.active().select_related(*related).filter(pk=session_id).first()
    return session if session is not None and _has_shown_itself(session) else None


def _has_shown_itself(session: ChargingSession) -> bool:
    """OCPP 2.x may plug in first and say the token later: until then, and while nothing flows, nobody is a stranger."""
    return bool(session.id_token_uid) or session.vehicle_id is not None or session.energy_wh > 0


def _promises_at(session: ChargingSession) -> list[uuid.UUID]:
    """Promises of this place that were in force when the session began; an EVSE charges one vehicle at a time."""
    began_at = session.started_at
    if abs(session.created_at - began_at) < reservations.CLOCKS_DIFFER:  # we heard it live: our clock made both
        began_at = session.created_at
    in_force = Reservation.objects.active().filter(
        connector__evse_id=session.connector.evse_id, starts_at__lte=began_at, expires_at__gt=began_at
    )
    return list(in_force.order_by("pk").values_list("key", flat=True))


@transaction.atomic
def _judge(session: ChargingSession, key: str, now: datetime) -> ReservationBreach | None:
    reservation = reservations.locked(key)
    if reservation is None or reservation.state not in Reservation.ACTIVE_STATES:
        return None
    if _is_rightful(session, reservation):
        reservations.use(reservation, now)
        return None
    breach = ReservationBreach.objects.create(
        reservation=reservation, session=session, organisation_id=reservation.organisation_id, state=_policy(session),
        found_at=now,
    )  # fmt: skip
    reservations.settle(reservation, Reservation.State.CANCELLED, TAKEN, now)
    _alert(breach, reservation, session, now)
    publish(
        ReservationBreached(breach.pk, reservation.number, reservation.organisation_id, session.pk, breach.state, now)
    )
    return breach


def _is_rightful(session: ChargingSession, reservation: Reservation) -> bool:
    """The vehicle, its token, or its usual driver with a card of his own."""
    if session.vehicle_id == reservation.vehicle_id:
        return True
    if reservation.id_token and session.id_token_uid.lower() == reservation.id_token.lower():
        return True
    driver_id = session.driver_id if session.vehicle_id is None else None
    return driver_id is not None and driver_id == reservation.vehicle.default_driver_id


def _policy(session: ChargingSession) -> str:
    """The charger's owner decides what happens to sessions there."""
    owner_id = session.charger.organisation_id if session.charger else session.organisation_id
    wants_stop = ChargingPolicy.objects.filter(organisation_id=owner_id, reserved_bay=ChargingPolicy.ReservedBay.STOP)
    can_stop = registry.stopper_for(session.source) is not None
    return State.STOPPING if can_stop and wants_stop.exists() else State.FLAGGED


def _send_elsewhere(breach: ReservationBreach, now: datetime) -> None:
    """Safe to run twice: one plan replaces another once, and one plan is made per breach."""
    reservation = breach.reservation
    if reservation.plan_id is not None:
        following.replan(plan_id=reservation.plan_id, reason="taken", now=now)
    else:
        planning.plan_charge_stop(
            vehicle_id=reservation.vehicle_id, trigger="taken", trigger_key=f"breach:{reservation.number}", now=now,
            excluded=[breach.session.connector_id],
        )  # fmt: skip
    ReservationBreach.objects.filter(pk=breach.pk).update(replanned_at=now)


def _claim(breach: ReservationBreach, attempt: int, now: datetime) -> bool:
    """One asker at a time."""
    mine = ReservationBreach.objects.filter(pk=breach.pk, state=State.STOPPING, attempts=attempt - 1)
    return mine.update(attempts=attempt, asked_at=now) == 1


def _give_up(breach: ReservationBreach, now: datetime) -> None:
    with transaction.atomic():
        if ReservationBreach.objects.filter(pk=breach.pk, state=State.STOPPING).update(state=State.NOT_STOPPED):
            breach.state = State.NOT_STOPPED
            reservation = Reservation.objects.select_related("vehicle").get(pk=breach.reservation_id)
            _alert(breach, reservation, breach.session, now)


@transaction.atomic
def _close(breach: ReservationBreach, now: datetime) -> bool:
    state = State.STOPPED if breach.state == State.STOPPING else breach.state
    if not ReservationBreach.objects.filter(pk=breach.pk, closed_at=None).update(state=state, closed_at=now):
        return False
    for organisation_id in _concerned(breach.organisation_id, breach.session):
        close_alert_by_key(organisation_id=organisation_id, dedupe_key=_alert_key(breach), reason="free again", now=now)
    return True


# --- alerts -------------------------------------------------------------------------------------------------------


def _alert(breach: ReservationBreach, reservation: Reservation, session: ChargingSession, now: datetime) -> None:
    """To whom the promise was made, and to the charger's owner; neither learns more than it owns."""
    for organisation_id in _concerned(reservation.organisation_id, session):
        is_promisee = organisation_id == reservation.organisation_id
        who, known = _who(organisation_id, session)
        known |= {"place": session.connector.evse.location.name}
        known |= {"registration": reservation.vehicle.registration} if is_promisee else {}
        code = "place_taken" if is_promisee else "reserved_place_taken"
        open_alert(
            organisation_id=organisation_id, kind=Alert.Kind.RESERVATION_LOST, dedupe_key=_alert_key(breach),
            says=Says(code, (who, f"breach_{breach.state}"), known),
            severity=Alert.Severity.WARN, now=now, vehicle_id=reservation.vehicle_id if is_promisee else None,
            location_id=session.connector.evse.location_id,
            session_id=session.pk if session.organisation_id == organisation_id else None,
            data={"lost_connector_id": session.connector_id, "breach": breach.state},
        )  # fmt: skip


def _concerned(promisee_id: int, session: ChargingSession) -> list[int]:
    owner_id = session.charger.organisation_id if session.charger else promisee_id
    return sorted({promisee_id, owner_id})


def _who(organisation_id: int, session: ChargingSession) -> tuple[str, dict[str, str]]:
    """The sentence about the intruder, and what it names."""
    if session.organisation_id != organisation_id:
        return "stranger_took", {}
    if session.vehicle:
        return "vehicle_took", {"intruder": session.vehicle.registration}
    return "token_took", {"token": session.id_token_uid or "(none)"}


def _alert_key(breach: ReservationBreach) -> str:
    return f"breach:{breach.reservation_id}"
