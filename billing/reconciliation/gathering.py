"""What GPS, shifts, meters, plugs and records know of a chunk of sessions; ten statements for all of them."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
from django.db import connection

from billing import reconstruction
from billing.cdr_periods import read_periods
from billing.matching import DEFAULTS, Evidence, Thresholds, packed, records
from billing.matching.facts import UNKNOWN, Duty, LimitUse, Neighbour, Numbers, Price, Series, Track, Week, Witness
from billing.matching.seen import Seen, away_m
from billing.models import PriceCheck
from billing.rating import Period, TariffError
from billing.reconciliation import statements, terms
from stations.models import Connector, Source

BEFORE, AFTER = timedelta(minutes=30), timedelta(minutes=40)
MOST_PINGS = 600
EPOCH_2000 = datetime(2000, 1, 1, tzinfo=UTC)  # from which PostgreSQL counts
EPOCH_2000_S = int(EPOCH_2000.timestamp())
HEADER = 20  # of the binary form of an array of one dimension


class Place(NamedTuple):
    """Whose session it is."""

    vehicle_id: int | None
    organisation_id: int


class Gathered(NamedTuple):
    """One session, ready to be judged."""

    session_id: int
    place: Place
    evidence: Evidence
    terms: Thresholds


@dataclass(frozen=True)
class Chunk:
    """The sessions at hand, as columns for `unnest`."""

    rows: list[dict[str, Any]]

    def columns(self, **names: str) -> dict[str, list[Any]]:
        return {name: [row[key] for row in self.rows] for name, key in names.items()}

    def some(self, wanted: Iterable[int]) -> "Chunk":
        ids = set(wanted)
        return Chunk([row for row in self.rows if row["id"] in ids])


WINDOW = {"ids": "id", "vehicles": "vehicle_id", "starts": "started_at", "ends": "ended_at"}


def gather(session_ids: Sequence[int]) -> list[Gathered]:
    """The evidence as it stands now, of those that have ended; in the order of their ids."""
    chunk = Chunk(_fetch(statements.SESSIONS, {"ids": list(session_ids)}))
    if not chunk.rows:
        return []
    with_vehicle = chunk.some(row["id"] for row in chunk.rows if row["vehicle_id"] is not None)
    from_networks = chunk.some(row["id"] for row in chunk.rows if row["network_wh"] is not None)
    parts: dict[int, dict[str, Any]] = defaultdict(dict)
    for add, of in (
        (_pings, with_vehicle), (_samples, chunk), (_shifts, with_vehicle), (_neighbours, chunk), (_sites, chunk),
        (_limits, chunk), (_heard, from_networks),
        (_weeks, with_vehicle.some(row["id"] for row in with_vehicle.rows if row["odometer_m"] is not None)),
    ):  # fmt: skip
        if of.rows:
            for session_id, values in add(of):
                parts[session_id].update(values)
    in_force = terms.in_force({(row["organisation_id"], terms.india_day(row["started_at"])) for row in chunk.rows})
    found = []
    for row in chunk.rows:
        lines = in_force.get((row["organisation_id"], terms.india_day(row["started_at"])), DEFAULTS)
        place = Place(row["vehicle_id"], row["organisation_id"])
        told = parts[row["id"]]
        foreign = told.pop("foreign", ())
        found.append(Gathered(row["id"], place, _compared(_evidence(row, told, lines), foreign, lines), lines))
    return found


def _evidence(row: dict[str, Any], told: dict[str, Any], lines: Thresholds) -> Evidence:
    latitude_e7, longitude_e7, radius_m, point = _point(row, lines)
    return Evidence(
        session=row["id"], started_at=row["started_at"], ended_at=row["ended_at"], energy_wh=row["energy_wh"],
        known_at=row["known_at"], latitude_e7=latitude_e7, longitude_e7=longitude_e7, base_radius_m=radius_m,
        point=point, is_depot=row["is_depot"], is_dc=row["power_type"] == Connector.PowerType.DC, plug=row["plug"],
        connector_power_w=row["max_power_w"], has_vehicle=row["vehicle_id"] is not None,
        plugs=tuple(row["plugs"] or ()), usable_wh=row["battery_wh"] or 0, max_ac_power_w=row["max_ac_power_w"] or 0,
        max_dc_power_w=row["max_dc_power_w"] or 0, meter_wh=row["meter_wh"], network_wh=row["network_wh"],
        signature=row["signature"] or "", charger_soc_start_percent=row["soc_start_percent"],
        charger_soc_end_percent=row["soc_percent"], token_driver=row["token_driver"],
        record=row["record"], reference=row["reference"],
        record_started_at=row["record_started_at"], price=_price(row), idle_seconds=row["idle_seconds"] or 0,
        told_power=_told_power(row),
        idle_paise=int(row["idle_paise"] or 0), **told,
    )  # fmt: skip


def _point(row: dict[str, Any], lines: Thresholds) -> tuple[int, int, int, str]:
    """The station's point in e7, the radius around it before the receiver's own doubt, and where it is from."""
    if row["point_state"] is not None:
        return row["latitude_e7"], row["longitude_e7"], max(lines.radius_learned_m, row["spread_m"]), "learned"
    is_geocoded = row["source_kind"] == Source.Kind.IMPORT
    radius_m = lines.radius_geocoded_m if is_geocoded else lines.radius_stated_m
    place = (round(row["latitude"] * 1e7), round(row["longitude"] * 1e7))
    return *place, radius_m, "geocoded" if is_geocoded else "stated"


def _price(row: dict[str, Any]) -> Price | None:
    """What the network asks, with tax where it says so. Taken back is no question any more."""
    if row["price_state"] in (None, PriceCheck.State.TAKEN_BACK):
        return None
    has_tax = row["theirs_after_paise"] is not None
    asked = row["theirs_after_paise"] if has_tax else row["theirs_before_paise"]
    ours = row["ours_after_paise"] if has_tax else row["ours_before_paise"]
    if asked is None:
        return None
    tariff = "" if row["price_tariff"] is None else str(row["price_tariff"])
    return Price(asked=asked, by_tariff=ours, tariff=tariff, is_disputed=row["price_state"] == "differs")


def _told_power(row: dict[str, Any]) -> Series:
    """What flowed by the periods of a network's record, on average; empty where they contradict it or hide idling."""
    if row["charger_id"] is not None or not row["told_periods"]:
        return Series()
    try:
        told = read_periods(
            json.loads(row["told_periods"]), started_at=row["record_started_at"], ended_at=row["record_ended_at"],
            energy_wh=row["network_wh"], charging_seconds=max(0, row["total_seconds"] - row["parking_seconds"]),
            idle_seconds=row["parking_seconds"],
        )  # fmt: skip
    except TariffError:
        return Series()
    is_coarse = row["parking_seconds"] > 0 and not any(period.is_parking for period in told.periods)
    if told.problems or is_coarse:
        return Series()
    return _as_series(told.periods, row["record_started_at"] - row["started_at"])


def _as_series(periods: Sequence[Period], later: timedelta) -> Series:
    points: dict[int, int] = {}
    for period in periods:
        begin = later.total_seconds() + float(period.offset_s or 0)
        power_w = period.energy_wh * 3600 / period.seconds if period.seconds else 0
        points |= {round(begin): round(power_w), round(begin + float(period.seconds)): 0}
    seconds = sorted(points)
    return Series(seconds=packed(seconds), values=packed([points[second] for second in seconds]))


# --- one kind of evidence each ------------------------------------------------------------------------------------
Parts = Iterable[tuple[int, dict[str, Any]]]


OUTLIER, STALE_SOC = 2, 32  # bits of Position.flags


def _pings(chunk: Chunk) -> Parts:
    """The window, thinned evenly when the tracker is chatty, so that the copy we keep stays small."""
    starts = {row["id"]: row["started_at"] for row in chunk.rows}
    values = {**chunk.columns(**WINDOW), "before": BEFORE, "after": AFTER}
    for session_id, at, *pairs in _tuples(statements.PINGS, values):
        if at is None:
            continue
        fixed_at = _numbers(at, "i8")
        places, motion, state = (_numbers(pair, "i8") for pair in pairs)
        in_order = np.argsort(fixed_at, kind="stable")
        usable = in_order[state[in_order] & OUTLIER == 0]
        jumps = len(fixed_at) - len(usable)
        if not len(usable):
            yield session_id, {"jumps": jumps}
            continue
        kept = usable[:: len(usable) // MOST_PINGS + 1]
        (latitude, longitude), (speed, accuracy), (soc, flags) = (
            _halves(pair[kept]) for pair in (places, motion, state)
        )
        soc = np.where(flags & STALE_SOC != 0, UNKNOWN, soc)
        track = Track(
            seconds=packed(_seconds(fixed_at[kept], starts[session_id])), latitude_e7=packed(latitude),
            longitude_e7=packed(longitude), speed_dkmh=packed(speed), accuracy_m=packed(accuracy),
            soc_permille=packed(soc), flags=packed(flags),
        )  # fmt: skip
        yield session_id, {"jumps": jumps, "track": track}


def _halves(pairs: Numbers) -> tuple[Numbers, Numbers]:
    """The upper and the lower 32 bits, each with its sign."""
    return pairs >> 32, pairs.astype(np.int32).astype(np.int64)


def _samples(chunk: Chunk) -> Parts:
    starts = {row["id"]: row["started_at"] for row in chunk.rows}
    values = {
        **chunk.columns(ids="id", chargers="charger_id", references="transaction_ref", starts="started_at",
                        ends="ended_at"),
        "end": reconstruction.END, "tolerance": reconstruction.CLOCK_TOLERANCE,
    }  # fmt: skip
    for session_id, at, power, energy in _tuples(statements.SAMPLES, values):
        if at is not None:
            seconds = _seconds(_numbers(at, "i8"), starts[session_id])
            series = {"power": _numbers(power, "i4"), "register": _numbers(energy, "i8")}
            yield session_id, {name: _series(seconds, column) for name, column in series.items()}


def _series(seconds: Numbers, values: Numbers) -> Series:
    told = values != -1
    every = int(told.sum()) // MOST_PINGS + 1
    return Series(seconds=packed(seconds[told][::every]), values=packed(values[told][::every]))


def _shifts(chunk: Chunk) -> Parts:
    """Shifts of those weeks; none at all means that the fleet does not plan this vehicle's shifts."""
    for session_id, starts, ends, drivers in _tuples(statements.SHIFTS, chunk.columns(**WINDOW)):
        columns = zip(_instants(starts), _instants(ends), _numbers(drivers, "i8").tolist(), strict=True)
        duties = tuple(Duty(starts_at=since, ends_at=until, driver=who) for since, until, who in columns)
        yield session_id, {"shifts": duties, "has_shift_plan": True}


def _neighbours(chunk: Chunk) -> Parts:
    """`foreign`: of other fleets at the same plug, to be compared with and never kept."""
    own: dict[int, list[Neighbour]] = defaultdict(list)
    foreign: dict[int, list[Neighbour]] = defaultdict(list)
    values = chunk.columns(**WINDOW, organisations="organisation_id", connectors="connector_id")
    for row in _fetch(statements.NEIGHBOURS, values):
        (own if row["is_own"] else foreign)[row["id"]].append(_neighbour(row))
    yield from ((key, {"neighbours": tuple(others)}) for key, others in own.items())
    yield from ((key, {"foreign": others}) for key, others in foreign.items())


def _neighbour(row: dict[str, Any]) -> Neighbour:
    return Neighbour(
        session=row["other"], starts_at=row["started_at"], ends_at=row["ended_at"], energy_wh=row["energy_wh"],
        latitude_e7=round(row["latitude"] * 1e7), longitude_e7=round(row["longitude"] * 1e7),
        is_same_vehicle=row["is_same_vehicle"],
        is_same_connector=row["is_same_connector"], reference=row["reference"], soc_rise_percent=row["rise"],
    )  # fmt: skip


def _compared(evidence: Evidence, foreign: Sequence[Neighbour], lines: Thresholds) -> Evidence:
    """With what other fleets' sessions say of this one."""
    if not foreign:
        return evidence
    seen = Seen(evidence, lines)
    same = (records.same_as(seen, other) for other in foreign)
    return _replaced(evidence, told_to_others=next(filter(None, same), ""))


def _sites(chunk: Chunk) -> Parts:
    values = chunk.columns(ids="id", tokens="id_token_id", vehicles="vehicle_id", locations="location_id")
    return [(key, {"is_site_allowed": is_allowed}) for key, is_allowed in _tuples(statements.SITES, values)]


def _limits(chunk: Chunk) -> Parts:
    found: dict[int, list[LimitUse]] = defaultdict(list)
    mine = {row["id"]: row for row in chunk.rows}
    values = chunk.columns(
        ids="id", organisations="organisation_id", vehicles="vehicle_id", drivers="driver_id", ends="ended_at",
        zones="time_zone",
    )  # fmt: skip
    for session_id, whose, energy_wh, paise, day_paise, spent in _tuples(statements.LIMITS, values):
        row = mine[session_id]
        uses = [
            ("energy of a session, Wh", energy_wh, row["energy_wh"]), ("price of a session", paise, row["total_paise"]),
            ("a day", day_paise, spent),
        ]  # fmt: skip
        found[session_id] += [
            LimitUse(name=f"{name} {whose}".strip(), limit=limit, used=int(used))
            for name, limit, used in uses
            if limit is not None and used is not None
        ]
    return [(key, {"limits": tuple(uses)}) for key, uses in found.items()]


def _heard(chunk: Chunk) -> Parts:
    values = chunk.columns(ids="id", connectors="connector_id", starts="started_at", ends="ended_at", zones="time_zone")
    return [(key, {"heard_started_at": at}) for key, at in _tuples(statements.HEARD, values)]


def _weeks(chunk: Chunk) -> Parts:
    appetite = {row["id"]: row["consumption_wh_per_km"] for row in chunk.rows}
    for key, driven_m, soc_change, bought_wh, sessions in _tuples(statements.WEEKS, chunk.columns(**WINDOW)):
        yield (
            key,
            {
                "week": Week(
                    driven_m=int(driven_m), bought_wh=int(bought_wh), soc_change_percent=float(soc_change),
                    wh_per_km=appetite[key], sessions=sessions,
                )
            },
        )  # fmt: skip


def with_witnesses(absent: Sequence[Gathered]) -> list[Gathered]:
    """Those of the sessions at which another vehicle of the fleet stood, with who it was.

    One look per vehicle of the fleet: asked only for the few whose own vehicle was elsewhere.
    """
    if not absent:
        return []
    values = {
        "ids": [each.session_id for each in absent],
        "vehicles": [each.place.vehicle_id for each in absent],
        "organisations": [each.place.organisation_id for each in absent],
        "latitudes": [each.evidence.latitude_e7 for each in absent],
        "longitudes": [each.evidence.longitude_e7 for each in absent],
        "starts": [each.evidence.started_at for each in absent],
        "ends": [each.evidence.ended_at for each in absent],
    }
    evidence = {each.session_id: each.evidence for each in absent}
    seen: dict[int, list[Witness]] = defaultdict(list)
    for key, vehicle, latitude_e7, longitude_e7, accuracy_m, rise in _tuples(statements.WITNESSES, values):
        away = away_m(evidence[key], latitude_e7, longitude_e7)
        if away <= evidence[key].base_radius_m + (accuracy_m or 0):
            risen = None if rise is None else float(rise)
            seen[key].append(Witness(vehicle=vehicle, distance_m=round(away), soc_rise_percent=risen))
    return [
        each._replace(evidence=_replaced(each.evidence, witnesses=tuple(seen[each.session_id])))
        for each in absent
        if each.session_id in seen
    ]


def _replaced(evidence: Evidence, **values: Any) -> Evidence:
    return Evidence(**{name: getattr(evidence, name) for name in evidence.__struct_fields__} | values)


# --- reading ------------------------------------------------------------------------------------------------------
def _numbers(raw: bytes | memoryview, kind: str) -> Numbers:
    """The elements of a column sent by `array_send`: each is a length and a value."""
    pair = np.dtype([("length", ">i4"), ("value", f">{kind}")])
    return np.frombuffer(raw, dtype=pair, offset=HEADER)["value"].astype(np.int64)


def _instants(raw: bytes | memoryview) -> list[datetime]:
    return [EPOCH_2000 + timedelta(microseconds=each) for each in _numbers(raw, "i8").tolist()]


def _seconds(microseconds: Numbers, start: datetime) -> Numbers:
    seconds: Numbers = microseconds // 1_000_000 + EPOCH_2000_S - int(start.timestamp())
    return seconds


def _tuples(statement: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def _fetch(statement: str, values: dict[str, Any]) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
