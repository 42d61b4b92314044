"""Which plugs a vehicle could use now: nearest sites from memory, live rows of their plugs in one query."""

import threading
import time
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
from django.conf import settings
from django.db.models import Count, F, Max, Q
from scipy.spatial import cKDTree

from billing import rating
from billing.models import ChargingSession
from billing.services.tariffs import zone_of
from dispatch.core import choose, curves, energy, waits
from dispatch.engines.base import RoutingEngine
from dispatch.models import ChargePlan, Reservation
from stations.models import Connector, Location, NetworkAccess, Source
from stations.status import LIVE, RECENT, freshness
from vehicles.models import Vehicle

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

    vehicle: Vehicle
    facts: choose.VehicleFacts
    here: tuple[float, float]
    next_stop: tuple[float, float] | None
    now: datetime
    excluded: frozenset[int] = frozenset()


_COLUMNS = {
    "key": F("pk"),
    "unit": F("evse_id"), "place": F("evse__location_id"), "name": F("evse__location__name"),
    "latitude": F("evse__location__latitude"), "longitude": F("evse__location__longitude"), "plug_key": F("plug"),
    "power_type_key": F("power_type"), "power_w": F("max_power_w"), "shown": F("status"), "heard": F("heard_at"),
    "session": F("has_session"), "held": F("is_held"), "charger": F("evse__charger_id"),
    "online": F("evse__charger__is_online"), "capabilities": F("evse__capabilities"),
    "pushed": F("evse__location__source__last_push_at"), "elements": F("tariff__elements"),
    "zone": F("evse__location__time_zone"), "owner": F("evse__location__source__organisation_id"),
    "network": F("evse__location__source_id"),
}  # fmt: skip


def find(question: Question, *, rules: choose.Rules, engine: RoutingEngine) -> list[choose.Candidate]:
    """Fast, fitting, believable plugs the fleet may use, nearest sites first; the search widens when there are none."""
    count = NEAREST_SITES
    while True:
        place_ids = sites.nearest(*question.here, count)
        rows = _usable(question, _rows(question, place_ids))
        if rows or len(place_ids) < count:
            return _with_ways(question, rows, rules, engine)
        count *= 4


def _rows(question: Question, place_ids: Collection[int]) -> list[dict[str, Any]]:
    """Every plug at these sites that the fleet may use, with its promises; one query and one for the promises."""
    organisation = question.vehicle.organisation
    mine = Q(evse__location__organisation=None) | Q(evse__location__organisation=organisation)
    networks = NetworkAccess.objects.filter(organisation=organisation).values("source_id")
    usable = Q(evse__location__source__organisation=organisation) | Q(evse__location__source_id__in=networks)
    connectors = Connector.objects.existing().filter(mine, usable, evse__location_id__in=place_ids)
    rows: Any = connectors.exclude(evse__location__source__state=Source.State.DISABLED).values(**_COLUMNS)
    return list(rows)


def _usable(question: Question, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    taken_evses = {row["unit"] for row in rows if row["session"] or row["held"]}
    fitting = [row for row in rows if _fits(question, row)]
    promised = _promised(question.vehicle, [row["key"] for row in fitting])
    free = [row for row in fitting if row["key"] not in promised]
    return [row for row in free if row["shown"] in BUSY or row["unit"] not in taken_evses]


def _fits(question: Question, row: dict[str, Any]) -> bool:
    """Plug, power, status and freshness; a reservation we do not know of counts as taken."""
    if row["key"] in question.excluded or row["plug_key"] not in question.vehicle.model.plugs or row["held"]:
        return False
    if row["shown"] != Connector.Status.AVAILABLE and row["shown"] not in BUSY:
        return False
    row["fresh"] = _freshness(row, question.now)
    is_fast = question.facts.is_fast(is_dc=_is_dc(row), plug_power_w=row["power_w"])
    return is_fast and row["fresh"] in (LIVE, RECENT)


def _freshness(row: dict[str, Any], now: datetime) -> str:
    """As the API says it: an open socket or a pushing network keeps the last word live."""
    pushed_since = now - timedelta(seconds=2 * settings.STATUS_LIVE_SECONDS)
    is_pushed = row["pushed"] is not None and row["pushed"] > pushed_since
    return freshness(
        row["heard"],
        now,
        is_push_healthy=bool(row["online"]) if row["charger"] else is_pushed,
        live_seconds=settings.STATUS_LIVE_SECONDS,
        recent_seconds=settings.STATUS_RECENT_SECONDS,
        stale_seconds=settings.STATUS_STALE_SECONDS,
    )


def _is_dc(row: dict[str, Any]) -> bool:
    return bool(row["power_type_key"] == Connector.PowerType.DC)


def _promised(vehicle: Vehicle, connector_ids: Collection[int]) -> set[int]:
    """Plugs that a plan or reservation of another vehicle speaks for, whoever's fleet it is."""
    others = Reservation.objects.active().filter(connector_id__in=connector_ids).exclude(vehicle=vehicle)
    plans = ChargePlan.objects.open().filter(connector_id__in=connector_ids).exclude(vehicle=vehicle)
    plans = plans.exclude(state=ChargePlan.State.CHARGING)  # those show as busy and have their wait
    return {*others.values_list("connector_id", flat=True), *plans.values_list("connector_id", flat=True)} - {None}


def _with_ways(
    question: Question, rows: list[dict[str, Any]], rules: choose.Rules, engine: RoutingEngine
) -> list[choose.Candidate]:
    if not rows:
        return []
    places = np.array([[row["latitude"], row["longitude"]] for row in rows])
    there = engine.matrix(np.array([question.here]), places)
    onward = engine.matrix(places, np.array([question.next_stop])) if question.next_stop else None
    sessions = _sessions([row["key"] for row in rows if row["shown"] in BUSY])
    candidates = []
    for number, row in enumerate(rows):
        if np.isnan(there.seconds[0, number]):
            continue
        back = (onward.metres[number, 0], onward.seconds[number, 0]) if onward else (float("nan"),) * 2
        way = (float(there.metres[0, number]), float(there.seconds[0, number]))
        candidates.append(_candidate(question, rules, row, way, back, sessions))
    return candidates


def _candidate(
    question: Question, rules: choose.Rules, row: dict[str, Any], way: tuple[float, float],
    onward: tuple[float, float], sessions: dict[int, dict[str, Any]],
) -> choose.Candidate:  # fmt: skip
    is_free = row["shown"] == Connector.Status.AVAILABLE
    wait = waits.wait_seconds(_plug_state(row, is_free, sessions, question.now), arrives_in_seconds=way[1])
    return choose.Candidate(
        connector_id=row["key"], location_id=row["place"], station=row["name"], is_dc=_is_dc(row),
        plug_power_w=float(row["power_w"]), drive_m=round(way[0], 1), drive_seconds=round(way[1], 1),
        onward_m=_known(onward[0]), onward_seconds=_known(onward[1]), freshness=row["fresh"], is_free=is_free,
        is_reservable=row["charger"] is not None or "RESERVABLE" in row["capabilities"], wait_seconds=round(wait, 1),
        price_paise=_price(question, rules, row, way, wait),
    )  # fmt: skip


def _known(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 1)


def _plug_state(
    row: dict[str, Any], is_free: bool, sessions: dict[int, dict[str, Any]], now: datetime
) -> waits.PlugState:
    session = sessions.get(row["key"])
    if is_free or session is None:
        return waits.PlugState(is_free)
    elapsed = (now - session["started_at"]).total_seconds()
    return waits.PlugState(False, elapsed, _remaining_by_curve(session, row["power_w"]))


def _remaining_by_curve(session: dict[str, Any], plug_power_w: float) -> float | None:
    """Until 80 %, when the session tells its state of charge and we know the vehicle."""
    soc, battery_wh = session["soc_percent"], session["vehicle__model__battery_wh"]
    if soc is None or not battery_wh:
        return None
    curve = curves.vehicle_curve(session["vehicle__model__charge_curve"], session["vehicle__model__max_dc_power_w"])
    remaining = curves.charge_seconds(
        curve, battery_wh=battery_wh, plug_power_w=plug_power_w, from_percent=soc, to_percent=80.0
    )
    return remaining if remaining != float("inf") else None


def _sessions(connector_ids: Iterable[int]) -> dict[int, dict[str, Any]]:
    ids = list(connector_ids)
    if not ids:
        return {}
    columns = (
        "connector_id", "started_at", "soc_percent", "vehicle__model__battery_wh", "vehicle__model__charge_curve",
        "vehicle__model__max_dc_power_w",
    )  # fmt: skip
    running: dict[int, dict[str, Any]] = defaultdict(dict)
    for session in ChargingSession.objects.active().filter(connector_id__in=ids).values(*columns):
        running[session["connector_id"]] = session
    return dict(running)


def _price(
    question: Question, rules: choose.Rules, row: dict[str, Any], way: tuple[float, float], wait: float
) -> int | None:
    """Paise incl. GST for what the vehicle would draw there, at the clock time it would plug in; None: no tariff."""
    facts = question.facts
    arrival = energy.arrival_percent(
        soc_percent=facts.soc_percent, battery_wh=facts.battery_wh, distance_m=way[0], wh_per_km=facts.wh_per_km
    )
    span = {"battery_wh": facts.battery_wh, "from_percent": max(0.0, arrival), "to_percent": rules.target_percent}
    power = facts.power_w(is_dc=_is_dc(row), plug_power_w=row["power_w"])
    wh = curves.metered_wh(**span)
    zone: ZoneInfo = zone_of(row["zone"])
    return rating.quote(
        elements=row["elements"], energy_wh=round(wh), duration_s=round(wh * 3600 / power),
        at=question.now + timedelta(seconds=way[1] + wait), tz=zone, gst_percent=settings.GST_PERCENT,
    )  # fmt: skip
