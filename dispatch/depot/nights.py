"""Plans of nights: made when one begins, made again when the world is another than planned, carried out as limits."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from django.db import transaction

from billing.models import ChargingSession
from billing.services.tariffs import zone_of
from dispatch.core import VERSION
from dispatch.core import depot as core
from dispatch.depot import clock, picture
from dispatch.depot.models import Depot, NightPlan
from fleetcharge.lib.sweeps import survived
from stations.cpo import power

UNLIMITED_W = 10_000_000.0
"""Where nobody shares the power of the site: what the plugs can draw is all there is."""
LEAST_W = 4_200
"""What a plug is allowed at least where it is to charge: below the least current of three phases it pauses."""
NEED_DIFFERS_WH = 1_500.0
LATE = timedelta(minutes=15)
KEEP = timedelta(days=400)
ASKED_FOR = "asked for"
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Made:
    """A night as decided, before it is stored."""

    night: core.Night
    schedule: core.Schedule
    rows: Rows
    is_steered: bool
    """Somebody shares the power of the site by this plan; else it is advice."""


class Overtaken(Exception):
    """Somebody else has planned this night meanwhile."""


def sweep(*, now: datetime) -> int:
    """Every depot whose night is running; how many plans were made."""
    NightPlan.objects.filter(made_at__lt=now - KEEP).delete()
    made = 0
    for location_id in Depot.objects.filter(is_active=True).order_by("pk").values_list("pk", flat=True):
        with survived("depot", location_id):
            made += plan(location_id=location_id, now=now) is not None
    return made


def plan(*, location_id: int, now: datetime, reason: str = "") -> NightPlan | None:
    """The night that is running, planned anew where it is another than planned, or for `reason`; None: nothing is new.

    What sessions may draw when is handed to the site in any case: a vehicle that has just plugged in has its limits
    within a minute. Deciding can take a while and holds no lock; whoever is done first has planned.
    """
    depot = Depot.objects.select_related("location").get(pk=location_id)
    span = span_of(depot, now)
    if span is None or not depot.is_active:
        return None
    last = latest(depot, span)
    seen = picture.take(depot, span, now=now, wishes=_told(last))
    why = reason or ("first plan of the night" if last is None else _news(last, seen))
    made = _decide(seen) if why else None
    try:
        return _settle(seen, made, last, why)
    except Overtaken:
        return latest(depot, span) if reason else None


@transaction.atomic
def _settle(seen: picture.Picture, made: Made | None, last: NightPlan | None, reason: str) -> NightPlan | None:
    """Store what was decided, and have it carried out. Overtaken: another plan was stored, or the depot given up."""
    mine = Depot.objects.select_for_update().filter(pk=seen.depot.pk, is_active=True)
    if mine.first() is None or latest(seen.depot, seen.span) != last:
        raise Overtaken
    mine.update(planned_at=seen.now)
    stored = _store(seen.depot, seen.span, made, seen, last, reason) if made else None
    _hand_over(stored or last, seen)
    return stored


def span_of(depot: Depot, now: datetime) -> clock.Span | None:
    zone = zone_of(depot.location.time_zone)
    return clock.night_at(now, night_from=depot.night_from, ready_by=depot.ready_by, zone=zone)


def latest(depot: Depot, span: clock.Span | None = None) -> NightPlan | None:
    """The plan that counts, of this night or the newest of all."""
    plans = NightPlan.objects.filter(depot=depot)
    return (plans if span is None else plans.filter(night_on=span.on)).first()


def _told(last: NightPlan | None) -> dict[int, int]:
    """Plugs by vehicle, as planned last."""
    return {row["vehicle"]: row["evse"] for row in last.result["stays"] if row["evse"]} if last else {}


# --- deciding ---------------------------------------------------------------------------------------------------------


def _decide(seen: picture.Picture) -> Made:
    night = core.Night(
        _limits(seen), _prices(seen), seen.plugs, [one.guest for one in seen.visitors], seen.caps_w,
        turn_slots=seen.depot.move_every_minutes * 60 // core.SLOT_SECONDS,
        passed_slots=max(0, clock.slot_of(seen.first, seen.span.begins_at, is_end=True)),
    )  # fmt: skip
    schedule = core.plan(night)
    rows = [_row(seen, one, stay) for one, stay in zip(seen.visitors, schedule.stays, strict=True)]
    return Made(night, schedule, rows, is_steered=max(night.limits_w) < UNLIMITED_W)


def _limits(seen: picture.Picture) -> list[float]:
    door = power.door()
    hours = seen.slots * core.SLOT_SECONDS // 3600 + 2
    steps = door.limits(seen.depot.pk, now=seen.first, hours=hours) if door else None
    return [UNLIMITED_W] * seen.slots if not steps else clock.limits(seen.first, seen.slots, steps)


def _prices(seen: picture.Picture) -> list[float]:
    depot = seen.depot
    return clock.prices(
        seen.first, seen.slots, clock.price_windows(depot.prices), other=depot.paise_per_kwh,
        zone=zone_of(depot.location.time_zone),
    )  # fmt: skip


def _row(seen: picture.Picture, one: picture.Visitor, stay: core.Stay) -> dict[str, Any]:
    """A vehicle's night as stored and shown; instants in ISO 8601."""
    return {
        "vehicle": one.vehicle.pk, "registration": one.vehicle.registration, "evse": stay.connector_id,
        "session": one.session.pk if one.session else None, "priority": one.guest.priority,
        "arrives_at": one.arrives_at.isoformat(), "leaves_at": one.leaves_at.isoformat(), "leaves_for": one.leaves_for,
        "soc_percent": one.soc_percent, "target_percent": round(one.target_percent, 1),
        "need_wh": round(one.guest.need_wh), "must_wh": round(one.guest.must_wh),
        "planned_wh": round(sum(stay.wh)), "missing_wh": round(stay.missing_wh),
        "missing_must_wh": round(stay.missing_must_wh), "charges": list(_charges(seen, stay)),
        "stands": [clock.slot_at(seen.first, slot).isoformat() for slot in (stay.begins, stay.ends)],
    }  # fmt: skip


def _charges(seen: picture.Picture, stay: core.Stay) -> Iterator[list[Any]]:
    """[from, until, watts], slots of equal power together."""
    number = 0
    for watts, group in groupby(round(wh * 3600 / core.SLOT_SECONDS) for wh in stay.wh):
        count = len(list(group))
        if watts > 0:
            ends = clock.slot_at(seen.first, number + count)
            yield [clock.slot_at(seen.first, number).isoformat(), ends.isoformat(), watts]
        number += count


def _store(
    depot: Depot, span: clock.Span, made: Made, seen: picture.Picture, last: NightPlan | None, reason: str
) -> NightPlan:
    stays = made.schedule.stays
    return NightPlan.objects.create(
        depot=depot, organisation_id=depot.organisation_id, night_on=span.on, version=(last.version if last else 0) + 1,
        made_at=seen.now, reason=reason[:200], starts_at=seen.first, vehicles=len(stays),
        ready=sum(stay.is_ready for stay in stays), missing_wh=round(sum(stay.missing_wh for stay in stays)),
        cost_paise=round(made.schedule.cost_paise), core_version=VERSION, snapshot=core.to_snapshot(made.night),
        result={"stays": made.rows, "gap": made.schedule.gap, "plugs": [plug.connector_id for plug in seen.plugs],
                "is_steered": made.is_steered},
    )  # fmt: skip


# --- is it as planned? ------------------------------------------------------------------------------------------------


def _news(last: NightPlan, seen: picture.Picture) -> str:
    """What is another than planned, in words; "" when nothing is."""
    planned = {row["vehicle"]: row for row in last.result["stays"]}
    here = {one.vehicle.pk: one for one in seen.visitors}
    told = [
        *_plugs_changed(last, seen),
        *(text for key, one in here.items() for text in _changed(planned.get(key), one, seen.now)),
        *(f"{row['registration']} left" for key, row in planned.items() if key not in here and _was_due(row, seen.now)),
        *_limits_changed(last, seen),
    ]
    return "; ".join(told)[:200]


def _was_due(row: Mapping[str, Any], now: datetime) -> bool:
    """It should still be here."""
    return datetime.fromisoformat(row["leaves_at"]) > now + LATE


def _plugs_changed(last: NightPlan, seen: picture.Picture) -> Iterator[str]:
    before, now = set(last.result["plugs"]), {plug.connector_id for plug in seen.plugs}
    if before - now:
        yield f"{len(before - now)} plugs out of use"
    if now - before:
        yield f"{len(now - before)} plugs more"


def _limits_changed(last: NightPlan, seen: picture.Picture) -> Iterator[str]:
    """Slot by slot from now on, limits and prices."""
    passed = clock.slot_of(seen.first, last.starts_at, is_end=True)
    for name, values in (("limit", _limits(seen)), ("price", _prices(seen))):
        before = last.snapshot["limits_w" if name == "limit" else "paise_per_kwh"][passed:]
        if before[: len(values)] != values[: len(before)]:
            yield f"{name} of the site changed"


def _changed(row: Mapping[str, Any] | None, one: picture.Visitor, now: datetime) -> Iterator[str]:
    name = one.vehicle.registration
    if row is None:
        yield f"{name} is new"
        return
    if one.guest.plugged_in and one.guest.plugged_in != row["evse"]:
        yield f"{name} plugged in elsewhere"
    if abs(datetime.fromisoformat(row["leaves_at"]) - one.leaves_at) >= LATE:
        yield f"{name} leaves at another time"
    if one.arrives_at - max(datetime.fromisoformat(row["arrives_at"]), now) >= LATE:
        yield f"{name} comes late"
    elif abs(one.guest.need_wh - _left(row, now)) > NEED_DIFFERS_WH:
        yield f"{name} needs another amount"
    if one.guest.priority != row["priority"]:
        yield f"{name} has another priority"


def _left(row: Mapping[str, Any], now: datetime) -> float:
    """What it should still need by now, had all gone as planned."""
    got = sum(_wh_until(charge, now) for charge in row["charges"])
    return float(row["need_wh"]) - got


def _wh_until(charge: list[Any], now: datetime) -> float:
    begins, ends, watts = datetime.fromisoformat(charge[0]), datetime.fromisoformat(charge[1]), charge[2]
    return float(max(0.0, (min(ends, now) - begins).total_seconds()) * watts / 3600)


# --- carrying out -----------------------------------------------------------------------------------------------------


def _hand_over(stored: NightPlan | None, seen: picture.Picture) -> None:
    """To the site that steers the chargers: for each session of ours, what it may draw when."""
    door = power.door()
    if stored is None or door is None:
        return
    rows = {row["vehicle"]: row for row in stored.result["stays"]}
    sessions = [(one, rows[one.vehicle.pk]) for one in seen.visitors if one.session and one.vehicle.pk in rows]
    door.wish([_wish(one, one.session, row, seen.now) for one, row in sessions if one.session], now=seen.now)


def _wish(one: picture.Visitor, session: ChargingSession, row: Mapping[str, Any], now: datetime) -> power.Wish:
    """Without rows where nothing is planned for it any more, or for another plug than the one it stands at."""
    is_there = row["evse"] == one.guest.plugged_in
    ahead = [charge for charge in row["charges"] if is_there and datetime.fromisoformat(charge[1]) > now]
    left = sum(_wh_until(charge, datetime.max.replace(tzinfo=now.tzinfo)) for charge in ahead)
    left -= sum(_wh_until(charge, now) for charge in ahead)
    rows = [(_seconds(begins), _seconds(ends), max(LEAST_W, watts)) for begins, ends, watts in ahead]
    energy_wh = session.energy_wh + round(left)
    return power.Wish(session.pk, rows, datetime.fromisoformat(row["leaves_at"]), energy_wh)


def _seconds(instant: str) -> int:
    return int(datetime.fromisoformat(instant).timestamp())
