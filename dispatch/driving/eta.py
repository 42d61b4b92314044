"""When a vehicle will be where: at its plug, done, and at a stop, as things are now."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np

from billing.models import ChargingSession
from dispatch.engines import current
from dispatch.engines.base import RoutingEngine
from dispatch.models import ChargePlan
from dispatch.speeds.learning import law_of
from vehicles.models import POSITION_STALE_AFTER, Stop, Vehicle, VehicleState

State = ChargePlan.State
Place = tuple[float, float]
WORK = timedelta(minutes=5)
"""At each stop on the way, as plans count it."""


@dataclass(frozen=True)
class Expected:
    """None where nobody can say. `stop_at`: at the stop that was asked for, by way of those before it, after charging
    where that comes first."""

    plug_at: datetime | None = None
    done_at: datetime | None = None
    stop_at: datetime | None = None


def expected(vehicle: Vehicle, plan: ChargePlan, stop: Stop | None, now: datetime) -> Expected:
    """Needs the vehicle's state, the plan's site and session."""
    here, engine = _here(vehicle, now), current(law_of(vehicle.organisation_id, now))
    ahead = _until(stop, vehicle)
    if plan.state not in (State.ACCEPTED, State.RESERVED, State.CHARGING) or plan.connector is None:
        return Expected(stop_at=_by_way(now, here, _places(ahead), engine))
    site, first = plan.connector.evse.location, _before_charging(plan)
    plug = (site.latitude, site.longitude)
    plug_at = None if plan.state == State.CHARGING else _plug_at(plan, here, [*_places(first), plug], engine, now)
    done_at = _done_at(plan, plug_at, now)
    if stop in first:
        return Expected(plug_at, done_at, _by_way(now, here, _places(ahead), engine))
    then = _places([one for one in ahead if one not in first])
    return Expected(plug_at, done_at, _by_way(done_at, plug, then, engine))


def next_stop(vehicle: Vehicle) -> Stop | None:
    return Stop.objects.filter(vehicle=vehicle, done_at=None).order_by("sequence").first()


def _until(stop: Stop | None, vehicle: Vehicle) -> list[Stop]:
    """That stop, and the open ones before it; none where another vehicle goes there by now."""
    if stop is None or stop.vehicle_id != vehicle.pk:
        return []
    before = Stop.objects.filter(vehicle=vehicle, done_at=None, sequence__lt=stop.sequence).order_by("sequence")
    return [*before, stop]


def _before_charging(plan: ChargePlan) -> list[Stop]:
    """Open stops that it visits on its way to the plug, as planned."""
    visit: dict[str, Any] = next(iter(plan.explanation.get("visits") or []), {})
    if plan.state == State.CHARGING or plan.arrived_at is not None or not visit.get("before"):
        return []
    ahead = list(Stop.objects.filter(vehicle=plan.vehicle_id, done_at=None).order_by("sequence"))
    count = next((number for number, stop in enumerate(ahead) if stop.name == visit["before"]), 0)
    return ahead[:count]


def _places(stops: Sequence[Stop]) -> list[Place]:
    return [(stop.latitude, stop.longitude) for stop in stops]


def _by_way(
    begins_at: datetime | None, here: Place | None, places: Sequence[Place], engine: RoutingEngine
) -> datetime | None:
    """At the last of these, with work at those before it."""
    if begins_at is None or here is None or not places:
        return None
    at: datetime | None = begins_at - WORK
    for start, end in pairwise([here, *places]):
        at = _after(None if at is None else at + WORK, _seconds(start, end, engine))
    return at


def _plug_at(
    plan: ChargePlan, here: Place | None, places: Sequence[Place], engine: RoutingEngine, now: datetime
) -> datetime | None:
    """By its last position; of a vehicle that has not reported of late, as it was planned."""
    if plan.arrived_at is not None:
        return plan.arrived_at
    driven = _by_way(now, here, places, engine)
    return driven or (max(plan.plug_in_at, now) if plan.plug_in_at else None)


def _done_at(plan: ChargePlan, plug_at: datetime | None, now: datetime) -> datetime | None:
    lasts = timedelta(seconds=plan.charge_seconds)
    if plan.state == State.CHARGING:
        return max(_began_at(plan.session, now) + lasts, now)
    if plug_at is None:
        return None
    plugged_in_at = max(plug_at, plan.plug_in_at if plan.wait_seconds and plan.plug_in_at else plug_at, now)
    return plugged_in_at + lasts


def _began_at(session: ChargingSession | None, now: datetime) -> datetime:
    return session.started_at if session else now


def _here(vehicle: Vehicle, now: datetime) -> Place | None:
    state: VehicleState | None = getattr(vehicle, "state", None)
    if state is None or state.latitude is None or state.longitude is None or state.position_at is None:
        return None
    return None if now - state.position_at >= POSITION_STALE_AFTER else (state.latitude, state.longitude)


def _seconds(origin: Place, destination: Place, engine: RoutingEngine) -> float | None:
    seconds = float(engine.matrix(np.array([origin]), np.array([destination])).seconds[0, 0])
    return None if np.isnan(seconds) else seconds


def _after(at: datetime | None, seconds: float | None) -> datetime | None:
    return None if at is None or seconds is None else at + timedelta(seconds=seconds)
