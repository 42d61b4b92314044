"""What each running session needs and by when: said by somebody, by the vehicle, or by its shifts and stops."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Min

from billing.models import ChargingSession
from ocpp_bridge.models import ChargingGoal, ChargingNeeds
from vehicles.models import Shift, Stop, Vehicle

LOOK_AHEAD = timedelta(hours=24)


@dataclass(frozen=True)
class Want:
    """`needed_wh` None: nobody knows; `source` says who told the departure: goal, vehicle, shift, stop or ''."""

    needed_wh: int | None = None
    leaves_at: datetime | None = None
    target_soc_percent: float | None = None
    soc_percent: float | None = None
    source: str = ""
    vehicle_max_ac_w: int = 0
    vehicle_max_dc_w: int = 0
    schedule: Sequence[Sequence[int]] = ()
    """[from, until, watts] with Unix seconds; nothing beside them. Empty: any time."""


def wants_of(sessions: Iterable[ChargingSession], *, now: datetime) -> dict[int, Want]:
    """By session id; five queries. Sessions need their `connector__evse`."""
    sessions = list(sessions)
    ids = [session.vehicle_id for session in sessions if session.vehicle_id]
    vehicles = Vehicle.objects.select_related("model", "state", "organisation").in_bulk(ids)
    goals = ChargingGoal.objects.in_bulk([session.pk for session in sessions])
    rows = ChargingNeeds.objects.filter(charger__in={session.charger_id for session in sessions})
    needs = {(row.charger_id, row.evse_number): row for row in rows}
    departures = _departures(ids, now)
    return {
        session.pk: _want(
            session,
            vehicles.get(session.vehicle_id or 0),
            goals.get(session.pk),
            _fresh(needs.get((session.charger_id or 0, session.connector.evse.evse_number)), session),
            departures.get(session.vehicle_id or 0),
            now,
        )
        for session in sessions
    }


def _departures(vehicle_ids: Iterable[int], now: datetime) -> dict[int, tuple[datetime, str]]:
    """The next shift that begins or the next stop that is due, whichever is first."""
    ids, until = list(vehicle_ids), now + LOOK_AHEAD
    found: dict[int, tuple[datetime, str]] = {}
    shifts = Shift.objects.filter(vehicle__in=ids, starts_at__gt=now, starts_at__lte=until)
    stops = Stop.objects.filter(vehicle__in=ids, done_at=None, due_at__gt=now, due_at__lte=until)
    for vehicle_id, at in shifts.values_list("vehicle").annotate(at=Min("starts_at")).order_by():
        found[vehicle_id] = (at, "shift")
    for vehicle_id, at in stops.values_list("vehicle").annotate(at=Min("due_at")).order_by():
        found[vehicle_id] = min(found.get(vehicle_id, (at, "stop")), (at, "stop"))
    return found


def _fresh(needs: ChargingNeeds | None, session: ChargingSession) -> ChargingNeeds | None:
    """What the vehicle before this one needed is nobody's need any more."""
    early = session.started_at - timedelta(minutes=10)
    return needs if needs and needs.received_at >= early else None


def _want(
    session: ChargingSession,
    vehicle: Vehicle | None,
    goal: ChargingGoal | None,
    needs: ChargingNeeds | None,
    departure: tuple[datetime, str] | None,
    now: datetime,
) -> Want:
    target = goal.target_soc_percent if goal and goal.target_soc_percent is not None else None
    if target is None and vehicle is not None:
        target = vehicle.organisation.target_soc_percent
    soc = _soc(session, vehicle, needs)
    leaves_at, source = _leaves(goal, needs, departure)
    is_ahead = leaves_at is not None and leaves_at > now
    return Want(
        _needed_wh(session, vehicle, goal, needs, target, soc),
        leaves_at if is_ahead else None,
        target,
        soc,
        source if is_ahead else "",
        vehicle.model.max_ac_power_w if vehicle else 0,
        vehicle.model.max_dc_power_w if vehicle else 0,
        _ahead(goal, now),
    )


def _ahead(goal: ChargingGoal | None, now: datetime) -> Sequence[Sequence[int]]:
    """A schedule holds until the departure: what has its energy waits for nothing more. Then it says nothing."""
    is_over = goal is None or (goal.departure_at is not None and goal.departure_at <= now)
    return () if goal is None or is_over else goal.schedule


def _soc(session: ChargingSession, vehicle: Vehicle | None, needs: ChargingNeeds | None) -> float | None:
    state = getattr(vehicle, "state", None)
    heard = (session.soc_percent, state.soc_percent if state else None, needs.soc_percent if needs else None)
    return next((soc for soc in heard if soc is not None), None)


def _leaves(
    goal: ChargingGoal | None, needs: ChargingNeeds | None, departure: tuple[datetime, str] | None
) -> tuple[datetime | None, str]:
    if goal and goal.departure_at:
        return goal.departure_at, "goal"
    if needs and needs.departure_at:
        return needs.departure_at, "vehicle"
    return departure or (None, "")


def _needed_wh(
    session: ChargingSession,
    vehicle: Vehicle | None,
    goal: ChargingGoal | None,
    needs: ChargingNeeds | None,
    target: float | None,
    soc: float | None,
) -> int | None:
    """What is still to come. A state of charge is a better witness than energy counted since the start."""
    if goal and goal.energy_wh is not None:
        return max(0, goal.energy_wh - session.energy_wh)
    battery_wh = vehicle.model.battery_wh if vehicle else needs.capacity_wh if needs else None
    if battery_wh and target is not None and soc is not None:
        return max(0, round(battery_wh * (target - soc) / 100))
    if needs and needs.energy_wh is not None:
        return max(0, needs.energy_wh - session.energy_wh)
    return None
