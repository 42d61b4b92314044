"""What chargers and drivers say of a vehicle's charge, in place of a tracker that does not."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import transaction

from fleetcharge.lib.events import publish_together
from vehicles.estimating import SIGMA_PERCENT, Appetite
from vehicles.events import SocLow, SocRecovered
from vehicles.models import Vehicle, VehicleState

LATE_AFTER = timedelta(minutes=10)
LEAST_NEWS_WH = 20.0
FIELDS = [
    "soc_percent", "soc_at", "soc_source", "soc_base_percent", "soc_base_at", "soc_base_source", "soc_counted_at",
    "soc_odometer_m", "soc_gps_m", "soc_gap_m", "soc_charged_wh", "soc_is_due", "charge_session_id",
    "charge_session_wh", "charge_soc_percent", "is_soc_low", "soc_low_at", "soc_below_at", "soc_clear_at", "version",
]  # fmt: skip
Source = VehicleState.SocSource


class Reading(NamedTuple):
    """A charge in percent, as somebody read it."""

    vehicle_id: int
    soc_percent: float
    at: datetime
    source: str


class Metered(NamedTuple):
    """A charging session as far as it is: Wh into the battery since its start, and the charge, if the charger tells."""

    vehicle_id: int
    session_id: int
    battery_wh: float
    soc_percent: float | None
    at: datetime


class OlderThanKnown(Exception):
    """The charge was read later than that."""


@transaction.atomic
def take_word(reading: Reading, *, now: datetime) -> VehicleState:
    """The driver's, or a dispatcher's; raises OlderThanKnown."""
    VehicleState.objects.get_or_create(vehicle_id=reading.vehicle_id)
    [state] = _locked([reading.vehicle_id])
    was_low = state.is_soc_low
    if not _read(state, reading, now):
        raise OlderThanKnown
    _save([state], {state.pk: was_low}, reading.at)
    return state


@transaction.atomic
def hear_chargers(told: Sequence[Metered], *, now: datetime) -> int:
    """Take what chargers say of vehicles; repeats and older words change nothing. How many states changed."""
    newest = {one.vehicle_id: one for one in sorted(told, key=lambda one: (one.session_id, one.at))}
    changed, was_low = list[VehicleState](), dict[int, bool]()
    for state in _locked(list(newest)):
        before = state.is_soc_low
        if _hear(state, newest[state.pk], now):
            changed.append(state)
            was_low[state.pk] = before
    _save(changed, was_low, now)
    return len(changed)


def _locked(vehicle_ids: list[int]) -> list[VehicleState]:
    """In the order of ingest, so that nobody waits for us while we wait for them."""
    states = VehicleState.objects.select_for_update(of=("self",), no_key=True).filter(pk__in=vehicle_ids)
    return list(states.select_related("vehicle__model", "vehicle__organisation").order_by("pk"))


def _hear(state: VehicleState, told: Metered, now: datetime) -> bool:
    """A charger that repeats a figure has not read it again, so only a new one is a reading; else its kWh count."""
    if state.charge_session_id is not None and told.session_id < state.charge_session_id:
        return False
    is_same = state.charge_session_id == told.session_id
    gained_wh = told.battery_wh - (state.charge_session_wh if is_same else 0.0)
    soc = told.soc_percent
    is_reading = soc is not None and not (is_same and soc == state.charge_soc_percent)
    if gained_wh < LEAST_NEWS_WH and not is_reading:
        return False
    state.charge_session_id, state.charge_soc_percent = told.session_id, soc
    state.charge_session_wh = max(told.battery_wh, state.charge_session_wh if is_same else 0.0)
    at = min(told.at, now)
    if is_reading and soc is not None and _read(state, Reading(state.pk, soc, at, Source.CHARGER), now):
        return True
    _charge(state, gained_wh, at)
    return True


def _charge(state: VehicleState, gained_wh: float, at: datetime) -> None:
    """Wh into the battery since the last reading; the loop makes percent of them."""
    if state.soc_percent is None or state.soc_at is None or at <= state.soc_at:
        return
    if state.soc_base_at != state.soc_at:
        _begin(state, state.soc_source)
    state.soc_charged_wh += max(0.0, gained_wh)
    state.soc_is_due = True


def _read(state: VehicleState, reading: Reading, now: datetime) -> bool:
    """From now on the charge is counted from this reading; False when a later one is known."""
    if state.soc_at is not None and reading.at <= state.soc_at:
        return False
    _learn(state, reading)
    state.soc_percent, state.soc_at, state.soc_source = reading.soc_percent, reading.at, reading.source
    _begin(state, reading.source)
    _latch(state, reading, now)
    return True


def _begin(state: VehicleState, source: str) -> None:
    """Count from the reading that the state shows."""
    state.soc_base_percent, state.soc_base_at, state.soc_base_source = state.soc_percent, state.soc_at, source
    state.soc_counted_at = None
    state.soc_odometer_m = state.soc_gps_m = state.soc_gap_m = state.soc_charged_wh = 0.0
    state.soc_is_due = False


def _learn(state: VehicleState, reading: Reading) -> None:
    """What was driven since the reading before, without charging, tells the appetite; a driver's eye does not."""
    if reading.source == Source.DRIVER or state.soc_base_source == Source.DRIVER or state.soc_charged_wh > 0:
        return
    if state.soc_base_percent is None or state.soc_base_at != state.soc_at:
        return
    model, known = state.vehicle.model, Appetite(state.vehicle.appetite, state.vehicle.appetite_variance)
    learned = known.after(
        drop_percent=state.soc_base_percent - reading.soc_percent,
        distance_m=state.soc_odometer_m + state.soc_gps_m + state.soc_gap_m,
        battery_wh=model.battery_wh, wh_per_km=model.consumption_wh_per_km, sigma_percent=SIGMA_PERCENT["charger"],
    )  # fmt: skip
    if learned != known:
        remember(state.vehicle_id, learned)


def remember(vehicle_id: int, learned: Appetite) -> None:
    Vehicle.objects.filter(pk=vehicle_id).update(appetite=learned.factor, appetite_variance=learned.variance)


def _latch(state: VehicleState, reading: Reading, now: datetime) -> None:
    """As ingest does for pings (vehicles/soc.py): two newest instants; what came late raises no alert."""
    low_percent, clear_percent = state.vehicle.soc_limits
    if reading.soc_percent < low_percent and now - reading.at <= LATE_AFTER:
        state.soc_below_at = max(filter(None, (state.soc_below_at, reading.at)))
    elif reading.soc_percent >= clear_percent:
        state.soc_clear_at = max(filter(None, (state.soc_clear_at, reading.at)))
    was_low, below, clear = state.is_soc_low, state.soc_below_at, state.soc_clear_at
    state.is_soc_low = below is not None and (clear is None or below > clear)
    if state.is_soc_low != was_low:
        state.soc_low_at = below if state.is_soc_low else None


def _save(states: list[VehicleState], was_low: dict[int, bool], at: datetime) -> None:
    events: list[SocLow | SocRecovered] = []
    for state in states:
        state.version += 1
        organisation_id, soc = state.vehicle.organisation_id, state.soc_percent or 0.0
        if state.is_soc_low and not was_low[state.pk]:
            events.append(SocLow(state.pk, organisation_id, soc, state.version, at))
        elif was_low[state.pk] and not state.is_soc_low:
            events.append(SocRecovered(state.pk, organisation_id, soc, at))
    VehicleState.objects.bulk_update(states, FIELDS)
    publish_together(events)
