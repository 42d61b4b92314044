"""Once a night: how long sessions last, when plugs are busy, how vehicles charge, what forecasts were worth."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

import numpy as np
from django.db import connection, transaction

from dispatch.core import curves, forecast, waits
from dispatch.forecasts import pasts
from dispatch.forecasts.known import Kind, habits
from dispatch.forecasts.models import Calibration, Forecast, LearnedCurve, PlugGroup
from stations.models import EVSE, Location

LOOK_BACK = timedelta(weeks=8)
CALIBRATE_BY = timedelta(weeks=4)
NEWEST_SPELLS, SPELLS_OF_A_CLASS = 200, 5_000
SITES_AT_ONCE, EVSES_AT_ONCE, ROWS_AT_ONCE = 200, 100, 500
SESSIONS_OF_A_CURVE = 20
CURVES_SINCE = timedelta(days=180)


@dataclass
class Learned:
    """Of plugs of one kind, at one site or everywhere."""

    tally: forecast.Tally = field(default_factory=forecast.Tally.empty)
    spells: list[tuple[float, bool]] = field(default_factory=list)
    plugs: int = 0
    keeps: list[float] = field(default_factory=list)

    def law(self, wider: waits.Law) -> waits.Law:
        if not self.spells:
            return wider
        own = waits.empirical(*zip(*self.spells, strict=True))
        return waits.shrunk(own, wider, len(self.spells))

    def add(self, other: "Learned") -> None:
        self.tally.busy += other.tally.busy
        self.tally.looks += other.tally.looks
        self.spells = (self.spells + other.spells)[-SPELLS_OF_A_CLASS:]
        self.keeps += other.keeps
        self.plugs += other.plugs


def learn_plugs(*, now: datetime) -> int:
    """Laws and profiles of every kind of plug at every site, and of every class; how many."""
    until = now.replace(minute=0, second=0, microsecond=0)
    sites = _sites(since=until - LOOK_BACK, until=until)
    classes: dict[Kind, Learned] = {}
    for (_, kind), learned in sites.items():
        classes.setdefault(kind.wider, Learned()).add(learned)
    wider = {kind: _row(None, kind, learned, None, now) for kind, learned in classes.items()}
    rows = [_row(site, kind, learned, wider[kind.wider], now) for (site, kind), learned in sites.items()]
    with transaction.atomic():
        _store([*wider.values(), *rows])
        PlugGroup.objects.filter(learned_at__lt=now).delete()
    habits.forget()
    return len(rows)


def _sites(*, since: datetime, until: datetime) -> dict[tuple[int, Kind], Learned]:
    marks, found = pasts.marks(since, until), {}
    for location_ids in _chunks(Location.objects.filter(is_removed=False), SITES_AT_ONCE):
        rows = pasts.read(location_ids, since=since, until=until)
        for key, plugs in groupby(sorted(rows, key=_key), key=_key):
            found[key] = _learned(list(plugs), marks, since)
    return found


def _key(past: pasts.Past) -> tuple[int, Kind]:
    return past.location_id, past.kind


def _learned(plugs: Sequence[pasts.Past], marks: Any, since: datetime) -> Learned:
    hours = pasts.hours_of_week(since, len(marks), plugs[0].time_zone)
    states = [plug.at_marks(marks) for plug in plugs]
    learned = Learned(plugs=len(plugs), spells=[spell for plug in plugs for spell in plug.spells()][-NEWEST_SPELLS:])
    for row in states:
        learned.tally.add(row, hours)
    usual = forecast.usual(learned.tally, learned.tally.share)
    learned.keeps = [forecast.kept(states, hours, usual)]
    return learned


def _row(site: int | None, kind: Kind, learned: Learned, wider: PlugGroup | None, now: datetime) -> PlugGroup:
    law = waits.evenly(wider.session_seconds) if wider else waits.default_law()
    usual: Any = np.array(wider.busy_by_hour) if wider else learned.tally.share
    return PlugGroup(
        location_id=site, plug=kind.plug, max_power_w=kind.power_w, plugs=learned.plugs, sessions=len(learned.spells),
        session_seconds=np.round(waits.thinned(learned.law(law)).seconds).tolist(),
        hours_seen=round(float(learned.tally.looks.sum()), 2),
        busy_by_hour=np.round(forecast.usual(learned.tally, usual), 4).tolist(),
        keeps=round(float(np.mean(learned.keeps)), 4), learned_at=now,
    )  # fmt: skip


def _store(rows: list[PlugGroup]) -> None:
    learned = ["plugs", "sessions", "session_seconds", "hours_seen", "busy_by_hour", "keeps", "learned_at"]
    PlugGroup.objects.bulk_create(
        rows, batch_size=ROWS_AT_ONCE, update_conflicts=True, update_fields=learned,
        unique_fields=["location", "plug", "max_power_w"],
    )  # fmt: skip


def _chunks(rows: Any, count: int) -> Iterator[list[int]]:
    """Primary keys, so many at a time."""
    after = 0
    while ids := list(rows.filter(pk__gt=after).order_by("pk").values_list("pk", flat=True)[:count]):
        yield ids
        after = ids[-1]


SAMPLES = """
WITH chosen AS (
    SELECT b.id, b.charger_id, b.transaction_ref, v.model_id, c.evse_id, c.power_type = 'DC' AS is_dc,
           row_number() OVER (PARTITION BY v.model_id, c.evse_id, c.power_type = 'DC'
                              ORDER BY b.started_at DESC) AS number
    FROM billing_chargingsession b JOIN vehicles_vehicle v ON v.id = b.vehicle_id
    JOIN stations_connector c ON c.id = b.connector_id
    WHERE c.evse_id = ANY(%(evse_ids)s) AND b.state = 'ended' AND b.started_at >= %(since)s
      AND b.charger_id IS NOT NULL
)
SELECT s.model_id, s.evse_id, s.is_dc, s.id, m.soc_percent, m.power_w
FROM chosen s JOIN billing_metervalue m ON m.charger_id = s.charger_id AND m.transaction_ref = s.transaction_ref
WHERE s.number <= %(sessions)s AND m.soc_percent IS NOT NULL AND m.power_w > 0
ORDER BY s.model_id, s.evse_id, s.is_dc, s.id, m.at
"""


def learn_curves(*, now: datetime) -> int:
    """What each model takes at each of our EVSEs, at DC and at AC, where enough sessions told charge and power; how
    many curves."""
    learned = 0
    for evse_ids in _chunks(EVSE.objects.filter(charger__isnull=False, is_removed=False), EVSES_AT_ONCE):
        rows = list(_curves(evse_ids, now))
        with transaction.atomic():
            LearnedCurve.objects.bulk_create(
                rows, batch_size=ROWS_AT_ONCE, update_conflicts=True, unique_fields=["vehicle_model", "evse", "is_dc"],
                update_fields=["points", "sessions", "learned_at"],
            )  # fmt: skip
            LearnedCurve.objects.filter(evse__in=evse_ids, learned_at__lt=now).delete()
        learned += len(rows)
    return learned


def _curves(evse_ids: list[int], now: datetime) -> Iterator[LearnedCurve]:
    values: dict[str, Any] = {"evse_ids": evse_ids, "since": now - CURVES_SINCE, "sessions": SESSIONS_OF_A_CURVE}
    with connection.cursor() as cursor:
        cursor.execute(SAMPLES, values)
        samples = cursor.fetchall()
    for (model_id, evse_id, is_dc), rows in groupby(samples, key=lambda row: row[:3]):
        sessions = _by_session(rows)
        if points := curves.learned_points(sessions):
            yield LearnedCurve(
                vehicle_model_id=model_id, evse_id=evse_id, is_dc=is_dc, points=points, sessions=len(sessions),
                learned_at=now,
            )  # fmt: skip


def _by_session(rows: Iterable[tuple[Any, ...]]) -> list[list[tuple[float, float]]]:
    return [[(row[4], float(row[5])) for row in samples] for _, samples in groupby(rows, key=lambda row: row[3])]


def learn_calibrations(*, now: datetime) -> int:
    """What came of forecasts that said so, of the last four weeks; how many kinds of them."""
    scored = Forecast.objects.scored().filter(made_at__gte=now - CALIBRATE_BY).order_by("was_free", "horizon_minutes")
    pairs = scored.values_list("was_free", "horizon_minutes", "raw_probability", "is_free")
    count = 0
    for (was_free, minutes), rows in groupby(pairs.iterator(), key=lambda row: row[:2]):
        said, came = zip(*((row[2], bool(row[3])) for row in rows), strict=True)
        found = {"points": forecast.calibration(said, came), "forecasts": len(said), "learned_at": now}
        Calibration.objects.update_or_create(was_free=was_free, horizon_minutes=minutes, defaults=found)
        count += 1
    habits.forget()
    return count
