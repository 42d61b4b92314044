"""Which plugs a vehicle could use now: nearest sites from memory, live rows of their plugs in one query."""

import threading
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
from django.conf import settings
from django.db.models import Count, Max
from scipy.spatial import cKDTree

from billing import rating
from billing.services.tariffs import zone_of
from billing.tariff_elements import TariffError
from billing.tariff_terms import FOR_ROAMING, Terms, read_terms
from dispatch.core import choose, curves, energy, waits
from dispatch.engines.base import Matrix, RoutingEngine
from dispatch.plug_rows import PlugRow, at_sites, parsed
from stations.belief import BELIEVED, freshness_at
from stations.models import Connector, Location

NEAREST_SITES = 40
CHECK_SECONDS = 1.0
BUSY = (Connector.Status.OCCUPIED, Connector.Status.CHARGING)


class SiteIndex:
    """Every site on the unit sphere in a k-d tree; built again when the registry's version moves."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._version: object = None
        self._checked_at = float("-inf")
        self._ids: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        self._tree: Any = None

    def nearest(self, latitude: float, longitude: float, count: int) -> list[int]:
        """Ids of the nearest sites, nearest first."""
        with self._lock:
            self._refresh()
            tree, ids = self._tree, self._ids
        if tree is None:
            return []
        _, rows = tree.query(_on_sphere(np.array([[latitude, longitude]]))[0], min(count, len(ids)))
        return [int(ids[row]) for row in np.atleast_1d(rows)]

    def _refresh(self) -> None:
        if time.monotonic() - self._checked_at < CHECK_SECONDS:
            return
        version = Location.objects.aggregate(count=Count("pk"), newest=Max("pk"), changed=Max("updated_at"))
        if version != self._version:
            rows = np.array(Location.objects.filter(is_removed=False).values_list("pk", "latitude", "longitude"))
            self._ids = rows[:, 0].astype(np.int64) if len(rows) else np.zeros(0, np.int64)
            self._tree = cKDTree(_on_sphere(rows[:, 1:])) if len(rows) else None
            self._version = version
        self._checked_at = time.monotonic()

    def forget(self) -> None:
        """Look at the registry again at the next question."""
        self._checked_at, self._version = float("-inf"), None


def _on_sphere(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    lat, lon = np.radians(points[:, 0]), np.radians(points[:, 1])
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)


sites = SiteIndex()


@dataclass(frozen=True)
class Question:
    """One vehicle that must charge, as the core sees it, and where it stands and goes."""

    vehicle_id: int
    organisation_id: int
    plugs: frozenset[str]
    facts: choose.VehicleFacts
    here: tuple[float, float]
    next_stop: tuple[float, float] | None
    now: datetime
    excluded: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Found:
    """What there is to choose from, and the rows behind it by connector."""

    candidates: list[choose.Candidate]
    rows: dict[int, PlugRow]


def find(question: Question, *, rules: choose.Rules, engine: RoutingEngine) -> Found:
    """Fast, fitting, believable plugs the fleet may use, nearest sites first; the search widens when there are none."""
    count = NEAREST_SITES
    while True:
        place_ids = sites.nearest(*question.here, count)
        rows = _usable(question, place_ids)
        if rows or len(place_ids) < count:
            return Found(_with_ways(question, rows, rules, engine), {row.connector_id: row for row, _ in rows})
        count *= 4


def _usable(question: Question, place_ids: list[int]) -> list[tuple[PlugRow, str]]:
    """Rows that can be offered, each with its freshness."""
    rows = at_sites(place_ids, organisation_id=question.organisation_id, vehicle_id=question.vehicle_id)
    taken_evses = {row.evse_id for row in rows if row.has_session or row.is_held}
    fitting = [row for row in rows if _fits(question, row) and (row.status in BUSY or row.evse_id not in taken_evses)]
    known = [(row, _freshness(row, question.now)) for row in fitting]
    return [(row, fresh) for row, fresh in known if fresh in BELIEVED]


def _fits(question: Question, row: PlugRow) -> bool:
    """Plug, power, status; a reservation we do not know of counts as taken."""
    if row.plug not in question.plugs or row.is_held or row.is_promised or row.connector_id in question.excluded:
        return False
    if row.status != Connector.Status.AVAILABLE and row.status not in BUSY:
        return False
    return question.facts.is_fast(is_dc=_is_dc(row), plug_power_w=row.power_w)


def _freshness(row: PlugRow, now: datetime) -> str:
    is_online = row.is_online if row.charger_id else None
    return freshness_at(
        row.heard_at, is_online=is_online, last_push_at=row.last_push_at, now=now, is_failing=row.is_network_failing
    )


def _is_dc(row: PlugRow) -> bool:
    return row.power_type == Connector.PowerType.DC


def _with_ways(
    question: Question, rows: list[tuple[PlugRow, str]], rules: choose.Rules, engine: RoutingEngine
) -> list[choose.Candidate]:
    if not rows:
        return []
    places = np.array([[row.latitude, row.longitude] for row, _ in rows])
    there = engine.matrix(np.array([question.here]), places)
    onward = engine.matrix(places, np.array([question.next_stop])) if question.next_stop else None
    prices: dict[str, Any] = {}
    candidates = []
    for number, (row, fresh) in enumerate(rows):
        if np.isnan(there.seconds[0, number]):
            continue
        way = (round(float(there.metres[0, number]), 1), round(float(there.seconds[0, number]), 1))
        known = f"{row.elements}{row.terms}"
        if row.elements is not None and known not in prices:
            prices[known] = (parsed(row.elements), _terms(row))
        tariff = prices.get(known)
        candidates.append(_candidate(question, rules, row, fresh, way, _back(onward, number), tariff))
    return candidates


def _back(onward: Matrix | None, number: int) -> tuple[float | None, float | None]:
    """Metres and seconds from a plug to the next stop."""
    if onward is None or np.isnan(onward.seconds[number, 0]):
        return None, None
    return round(float(onward.metres[number, 0]), 1), round(float(onward.seconds[number, 0]), 1)


def _candidate(
    question: Question, rules: choose.Rules, row: PlugRow, fresh: str, way: tuple[float, float],
    onward: tuple[float | None, float | None], tariff: Any,
) -> choose.Candidate:  # fmt: skip
    wait = waits.wait_seconds(_plug_state(row, question.now), arrives_in_seconds=way[1])
    return choose.Candidate(
        connector_id=row.connector_id, location_id=row.location_id, station=row.name, is_dc=_is_dc(row),
        plug_power_w=float(row.power_w), drive_m=way[0], drive_seconds=way[1],
        onward_m=onward[0], onward_seconds=onward[1], freshness=fresh,
        is_free=row.status == Connector.Status.AVAILABLE, is_reservable=row.is_reservable, wait_seconds=round(wait, 1),
        price_paise=_price(question, rules, row, way, onward[0], wait, tariff),
        is_network_failing=row.is_network_failing, truth_percent=row.truth_percent,
    )  # fmt: skip


def _plug_state(row: PlugRow, now: datetime) -> waits.PlugState:
    is_free = row.status == Connector.Status.AVAILABLE
    if is_free or row.session_started_at is None:
        return waits.PlugState(is_free)
    return waits.PlugState(False, (now - row.session_started_at).total_seconds(), _remaining_by_curve(row))


def _remaining_by_curve(row: PlugRow) -> float | None:
    """Until 80 %, when the session tells its state of charge and we know the vehicle."""
    if row.session_soc_percent is None or not row.session_battery_wh:
        return None
    remaining = curves.charge_seconds(
        curves.vehicle_curve(parsed(row.session_curve) or [], float(row.session_max_dc_power_w or 0)),
        battery_wh=row.session_battery_wh, plug_power_w=row.power_w, from_percent=row.session_soc_percent,
        to_percent=80.0,
    )  # fmt: skip
    return remaining if remaining != float("inf") else None


def _terms(row: PlugRow) -> Terms | None:
    """None: they cannot be read, or are not for us."""
    try:
        terms = read_terms(parsed(row.terms))
    except TariffError:
        return None
    return terms if terms.type in FOR_ROAMING else None


def _price(
    question: Question, rules: choose.Rules, row: PlugRow, way: tuple[float, float], onward_m: float | None,
    wait: float, tariff: Any,
) -> int | None:  # fmt: skip
    """Paise incl. GST for what the vehicle would draw there, at the clock time it would plug in; None: no tariff."""
    facts = question.facts
    arrival = energy.arrival_percent(
        soc_percent=facts.soc_percent, battery_wh=facts.battery_wh, distance_m=way[0], wh_per_km=facts.wh_per_km
    )
    target = choose.target_of(facts, rules, onward_m=onward_m, arrival_percent=arrival)
    power = facts.power_w(is_dc=_is_dc(row), plug_power_w=row.power_w)
    wh = curves.metered_wh(battery_wh=facts.battery_wh, from_percent=max(0.0, arrival), to_percent=target)
    zone: ZoneInfo = zone_of(row.time_zone)
    elements, terms = tariff or (None, None)
    return None if terms is None else rating.quote(
        elements=elements, terms=terms, energy_wh=round(wh), duration_s=round(wh * 3600 / power),
        at=question.now + timedelta(seconds=way[1] + wait), tz=zone, gst_percent=settings.GST_PERCENT,
    )  # fmt: skip
