"""Which plugs a vehicle could use now: fitting sites from memory, live rows of their plugs in one query."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from billing.services.tariffs import zone_of
from dispatch import pricing
from dispatch.core import choose, curves, energy, waits, windows
from dispatch.engines.base import Matrix, RoutingEngine
from dispatch.forecasts import known, stays
from dispatch.plug_rows import AtHand, PlugRow, at_sites, parsed
from dispatch.site_index import Access, Kind, Near, sites
from dispatch.situation import StopAhead
from stations import hours
from stations.belief import BELIEVED, freshness_at
from stations.models import Connector

__all__ = ["Access", "Found", "Question", "find", "sites"]

NEAREST_SITES = 40
ON_THE_WAY = 16
"""Of them, where there are stops to drive to."""
ENOUGH_PLUGS = 10
"""With so many to choose from that begin soon, sites farther away are not asked for."""
SOON_SECONDS = 3600.0
OPENS_WITHIN = timedelta(hours=24)
"""A site that opens later than this is closed."""
NO_PLUG_MATCH, NONE_FREE, OUT_OF_REACH = "no_plug_match", "none_free", "out_of_reach"
BUSY = (Connector.Status.OCCUPIED, Connector.Status.CHARGING)
HOLD_SHOWN = 30.0
"""So many seconds before it begins a promise shows as a hold of its plug."""
ENOUGH_PERCENT, FULL_PERCENT = 80.0, 99.0
"""As far as most vehicles charge; and where nothing flows any more."""


@dataclass(frozen=True)
class Question:
    """One vehicle that must charge, as the core sees it, and where it stands and goes."""

    vehicle_id: int
    organisation_id: int
    plugs: frozenset[str]
    facts: choose.VehicleFacts
    here: tuple[float, float]
    stops: Sequence[StopAhead]
    now: datetime
    access: Access
    token_uid: str | None = None
    voltage_v: int = 0
    excluded: frozenset[int] = frozenset()
    promised: int | None = None
    """The plug that it is sent to already: a hold there is its own."""

    @property
    def next_stop(self) -> tuple[float, float] | None:
        return self.stops[0].place if self.stops else None

    @property
    def way(self) -> list[tuple[float, float]]:
        return [self.here, *(stop.place for stop in self.stops)]


@dataclass(frozen=True)
class Found:
    """What there is to choose from, and the rows behind it by connector.

    `problem` says why no plug can be reached, unless something else is in the way: no_plug_match, none_free (or open,
    or heard of), out_of_reach.
    """

    candidates: list[choose.Candidate]
    rows: dict[int, PlugRow]
    problem: str


class Around(NamedTuple):
    """What was looked up for many vehicles at once: the sites near this one, and the plugs at them all."""

    near: Near
    plugs: AtHand


def around_each(questions: Mapping[int, Sequence[Question]]) -> dict[int, Around]:
    """By vehicle. `questions` are of one fleet and moment, by model: what was learned at a plug is of one model."""
    found: dict[int, Around] = {}
    for alike in questions.values():
        near = {question.vehicle_id: _near(question) for question in alike}
        first = {place_id for one in near.values() for place_id in one.ids[:NEAREST_SITES]}
        of = {"organisation_id": alike[0].organisation_id, "any_vehicle_id": alike[0].vehicle_id}
        plugs = AtHand(first, **of, now=alike[0].now)
        found |= {vehicle_id: Around(one, plugs) for vehicle_id, one in near.items()}
    return found


def find(question: Question, *, rules: choose.Rules, engine: RoutingEngine, around: Around | None = None) -> Found:
    """Fast, fitting, believable plugs the fleet may use: those of the nearest sites and of sites on the way, and while
    they are few, of others as far as the charge leads."""
    near = around.near if around else _near(question)
    reach_m = _reach_m(question.facts, rules)
    rows: dict[int, PlugRow] = {}
    found: list[choose.Candidate] = []
    first, count = 0, NEAREST_SITES
    while first < len(near.ids) and not _is_enough(found) and (first == 0 or near.crow_m[first] <= reach_m):
        usable = _usable(question, near.ids[first : first + count], around)
        found += _with_ways(question, usable, rules, engine)
        rows |= {row.connector_id: row for row, _ in usable}
        first, count = first + count, count * 4
    return Found(found, rows, _problem(near, reach_m, has_any=bool(found)))


def _near(question: Question) -> Near:
    """The nearest sites first; with stops ahead, some that lie on the way are among the first."""

    def fits(kind: Kind) -> bool:
        return suits(question, kind)

    near = sites.near(*question.here, fits=fits, access=question.access)
    if not question.stops or len(near.ids) <= NEAREST_SITES:
        return near
    early = sites.along(question.way, fits=fits, access=question.access, count=ON_THE_WAY)
    first = dict(zip(near.ids[: NEAREST_SITES - ON_THE_WAY], near.crow_m, strict=False))
    first |= dict(zip(early.ids, early.crow_m, strict=True))
    first |= dict(zip(near.ids, near.crow_m, strict=True))
    return Near(list(first), list(first.values()))


def _is_enough(found: list[choose.Candidate]) -> bool:
    """A gate that opens in the morning is no choice at night."""
    return sum(one.wait_seconds < SOON_SECONDS for one in found) >= ENOUGH_PLUGS


def _problem(near: Near, reach_m: float, *, has_any: bool) -> str:
    """Why nothing can be reached, should nothing be."""
    if not near.ids:
        return NO_PLUG_MATCH
    return OUT_OF_REACH if has_any or near.crow_m[0] > reach_m else NONE_FREE


def _reach_m(facts: choose.VehicleFacts, rules: choose.Rules) -> float:
    return energy.reach_m(
        soc_percent=facts.soc_percent, least_percent=rules.reserve_percent,
        battery_wh=facts.battery_wh, wh_per_km=facts.wh_per_km,
    )  # fmt: skip


def suits(question: Question, kind: Kind) -> bool:
    """Plug, power, and volts enough for the battery where both are known."""
    if kind.plug not in question.plugs or (kind.is_dc and 0 < kind.voltage_v < question.voltage_v):
        return False
    return question.facts.is_fast(is_dc=kind.is_dc, plug_power_w=kind.power_w)


def _usable(question: Question, place_ids: list[int], around: Around | None = None) -> list[tuple[PlugRow, str]]:
    """Rows that can be offered, each with its freshness."""
    of = {"organisation_id": question.organisation_id, "vehicle_id": question.vehicle_id}
    asked = around.plugs.at_sites(place_ids, **of) if around else at_sites(place_ids, **of, now=question.now)
    rows = [_without_own_hold(row) if _is_hold_known(question, row) else row for row in asked]
    taken_evses = {row.evse_id for row in rows if row.has_session or row.is_held}
    fitting = [row for row in rows if _fits(question, row) and (row.status in BUSY or row.evse_id not in taken_evses)]
    known = [(row, _freshness(row, question.now)) for row in fitting]
    return [(row, fresh) for row, fresh in known if fresh in BELIEVED]


def _is_hold_known(question: Question, row: PlugRow) -> bool:
    """It is held for this vehicle, or for another one of ours whose time we know."""
    return row.connector_id == question.promised or any(begins <= HOLD_SHOWN for begins, _ in row.promised)


def _without_own_hold(row: PlugRow) -> PlugRow:
    status = Connector.Status.AVAILABLE if row.status == Connector.Status.RESERVED else row.status
    return row._replace(is_held=False, status=status)


def _fits(question: Question, row: PlugRow) -> bool:
    """Plug, power, status; a reservation we do not know of counts as taken."""
    if row.is_held or row.connector_id in question.excluded:
        return False
    if row.status != Connector.Status.AVAILABLE and row.status not in BUSY:
        return False
    return suits(question, Kind(row.plug, is_dc(row), row.power_w, row.max_voltage_v))


def _freshness(row: PlugRow, now: datetime) -> str:
    is_online = row.is_online if row.charger_id else None
    return freshness_at(
        row.heard_at, is_online=is_online, last_push_at=row.last_push_at, now=now, is_failing=row.is_network_failing
    )


def is_dc(row: PlugRow) -> bool:
    return row.power_type == Connector.PowerType.DC


def _with_ways(
    question: Question, rows: list[tuple[PlugRow, str]], rules: choose.Rules, engine: RoutingEngine
) -> list[choose.Candidate]:
    if not rows:
        return []
    places = np.array([[row.latitude, row.longitude] for row, _ in rows])
    there = engine.matrix(np.array([question.here]), places)
    onward = engine.matrix(places, np.array([question.next_stop])) if question.next_stop else None
    known.habits.at({row.location_id for row, _ in rows})
    candidates = []
    for number, (row, fresh) in enumerate(rows):
        if np.isnan(there.seconds[0, number]):
            continue
        way = (round(float(there.metres[0, number]), 1), round(float(there.seconds[0, number]), 1))
        candidate = _candidate(question, rules, row, fresh, way, _back(onward, number))
        candidates += [candidate] if candidate is not None else []
    return candidates


def _back(onward: Matrix | None, number: int) -> tuple[float | None, float | None]:
    """Metres and seconds from a plug to the next stop."""
    if onward is None or np.isnan(onward.seconds[number, 0]):
        return None, None
    return round(float(onward.metres[number, 0]), 1), round(float(onward.seconds[number, 0]), 1)


def _candidate(
    question: Question, rules: choose.Rules, row: PlugRow, fresh: str, way: tuple[float, float],
    onward: tuple[float | None, float | None],
) -> choose.Candidate | None:  # fmt: skip
    """None: it is closed, or promised to others for all the time."""
    draw = draw_at(question.facts, rules, row, way[0], onward[0])
    stay = stays.stay_at(row, plug_state(row, question.now), arrives_in_seconds=way[1], now=question.now)
    plugs_in = _opens(question, row, way[1] + stay.p50_seconds, draw)
    if plugs_in is None:
        return None
    return choose.Candidate(
        connector_id=row.connector_id, location_id=row.location_id, station=row.name, is_dc=is_dc(row),
        plug_power_w=float(row.power_w), drive_m=way[0], drive_seconds=way[1],
        onward_m=onward[0], onward_seconds=onward[1], freshness=fresh,
        is_free=row.status == Connector.Status.AVAILABLE, is_reservable=row.is_reservable,
        wait_seconds=round(plugs_in - way[1], 1), price_paise=_price(question, row, draw, plugs_in),
        is_network_failing=row.is_network_failing, truth_percent=row.truth_percent,
        wait_p90_seconds=round(max(stay.p90_seconds, plugs_in - way[1]), 1), p_unusable=row.p_unusable,
        p_taken=stay.p_taken, curve_points=parsed(row.learned_curve) or (),
    )  # fmt: skip


@dataclass(frozen=True)
class Draw:
    """What the vehicle would take at a plug, on its own way there."""

    from_percent: float
    to_percent: float
    wh: float
    power_w: float


def draw_at(
    facts: choose.VehicleFacts, rules: choose.Rules, row: PlugRow, drive_m: float, onward_m: float | None
) -> Draw:
    arrival = energy.arrival_percent(
        soc_percent=facts.soc_percent, battery_wh=facts.battery_wh, distance_m=drive_m, wh_per_km=facts.wh_per_km
    )
    target = choose.target_of(facts, rules, onward_m=onward_m, arrival_percent=arrival)
    wh = curves.metered_wh(battery_wh=facts.battery_wh, from_percent=max(0.0, arrival), to_percent=target)
    power = facts.power_w(is_dc=is_dc(row), plug_power_w=row.power_w)
    return Draw(arrival, target, wh, power)


def open_windows(question: Question, row: PlugRow) -> tuple[hours.Window, ...] | None:
    """When the site is open, in seconds from now; None: always."""
    return _windows(row.opening_times, row.time_zone, question.now) if row.opening_times else None


def times_at(question: Question, row: PlugRow) -> list[tuple[windows.Window, tuple[hours.Window, ...] | None]]:
    """Each gap between promises to others with when the site is open in it; None: always."""
    opened = open_windows(question, row)
    gaps = windows.free(row.promised) if row.promised else [windows.EVER]
    cut = [(gap, windows.within(opened, gap)) for gap in gaps]
    return [(gap, left) for gap, left in cut if left != ()]


def _opens(question: Question, row: PlugRow, at_seconds: float, draw: Draw) -> float | None:
    """When the vehicle can plug in, at `at_seconds` from now or once the site has opened and the place is its own: long
    enough before that ends to be done. None: not within a day."""
    times = times_at(question, row)
    if times == [(windows.EVER, None)]:
        return at_seconds
    seconds = choose.charge_seconds(
        question.facts, is_dc=is_dc(row), plug_power_w=row.power_w, from_percent=draw.from_percent,
        to_percent=draw.to_percent, learned=parsed(row.learned_curve) or (),
    )  # fmt: skip
    spans = [span for _, left in times for span in left or ()]
    begins = [max(opens, at_seconds) for opens, closes in spans if max(opens, at_seconds) + seconds <= closes]
    return begins[0] if begins and begins[0] <= OPENS_WITHIN.total_seconds() else None


@lru_cache(maxsize=1024)
def _windows(opening_times: str, time_zone: str, now: datetime) -> tuple[hours.Window, ...] | None:
    """Two days of it: whoever plugs in within the first one is done within the second."""
    return hours.windows(parsed(opening_times), zone=zone_of(time_zone), since=now, until=now + 2 * OPENS_WITHIN)


_FREE = waits.PlugState(True)


def plug_state(row: PlugRow, now: datetime) -> waits.PlugState:
    if row.status == Connector.Status.AVAILABLE:
        return _FREE
    return waits.PlugState(False, stays.elapsed_seconds(row, now), _remaining_by_curve(row), law=stays.law_at(row))


def _remaining_by_curve(row: PlugRow) -> float | None:
    """Until 80 %, or 100 % past that, when the session tells its state of charge and we know the vehicle.

    Of a full one nobody knows when it leaves: that is for how long sessions last.
    """
    soc = row.session_soc_percent
    if soc is None or soc >= FULL_PERCENT or not row.session_battery_wh:
        return None
    own = curves.vehicle_curve(parsed(row.session_curve) or [], float(row.session_max_dc_power_w or 0))
    remaining = curves.charge_seconds(
        curves.with_learned(own, parsed(row.session_learned) or ()), battery_wh=row.session_battery_wh,
        plug_power_w=row.power_w, from_percent=soc, to_percent=ENOUGH_PERCENT if soc < ENOUGH_PERCENT else 100.0,
    )  # fmt: skip
    return remaining if remaining != float("inf") else None


def _price(question: Question, row: PlugRow, draw: Draw, plugs_in: float) -> int | None:
    """Paise incl. GST for what the vehicle would draw there, at the clock time it would plug in; None: no tariff."""
    tariff = pricing.tariff_of(row)
    at = question.now + timedelta(seconds=plugs_in)
    return None if tariff is None else tariff.quote(wh=draw.wh, power_w=draw.power_w, at=at)
