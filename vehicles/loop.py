"""The charge of vehicles that have not told it for two minutes: estimated for all of them at once.

One read brings the last readings and what was counted since, one the new pings (more of them after a long silence),
both as columns of bytes; numpy adds the metres and makes the estimate; one statement writes what has changed. Pings
that came late are counted when their day is made again, from the reading on. A large fleet is made in parts, which
workers make at the same time.
"""

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import orjson
from django.db import connection, transaction
from numpy.typing import NDArray

from fleetcharge.lib.columns import EPOCH, read_columns
from fleetcharge.lib.events import publish_together
from vehicles.estimating import (
    ANYTHING_PERCENT,
    SIGMA_PERCENT,
    UNSURE_PERCENT,
    Floats,
    Since,
    at_least,
    estimate,
    is_disproved,
)
from vehicles.events import SocLow, SocRecovered
from vehicles.fixes import SUSPECT_POSITION
from vehicles.metres import Pings, driven

SILENT_AFTER = timedelta(minutes=2)
ALERT_WITHIN = timedelta(minutes=10)  # of the position: what came late raises no alert
COUNT_BACK = timedelta(days=7)
STANDING_M = 100.0  # receivers wander
WORTH_WRITING_PERCENT = 0.25
GOLDEN = 0.618034  # its multiples lie evenly on a circle, however many they are
MANY_PINGS = 8  # of a vehicle: to write what they come to costs less than to read them once more
VEHICLES_A_PART, LAST_ID = 5_000, 2**31 - 1
MICROSECOND = timedelta(microseconds=1)
READ_AT_ONCE_US = timedelta(hours=1_000) // MICROSECOND  # of pings of all vehicles: 3.6 million at one a second

PARTS = """
SELECT min(vehicle_id), max(vehicle_id)
FROM (SELECT vehicle_id, (row_number() OVER (ORDER BY vehicle_id) - 1) / %s AS part FROM vehicles_vehiclestate) p
GROUP BY part ORDER BY part
"""

# Of the limits the vehicle's own come first. `since_at`: the pings from there on are not in the counters yet.
WANTED = """
SELECT s.vehicle_id, v.organisation_id, coalesce(v.soc_low_percent, o.soc_low_percent)::float8,
       coalesce(v.soc_clear_percent, o.soc_clear_percent)::float8, m.battery_wh::float8,
       m.consumption_wh_per_km::float8, v.appetite, v.appetite_variance, s.soc_percent, s.soc_source = 'estimated',
       s.soc_at, coalesce(s.soc_counted_at, %(never)s), coalesce(s.position_at > %(alert_since)s, false), s.is_soc_low,
       s.soc_is_due, coalesce(b.percent, 0), CASE b.source WHEN 'measured' THEN %(measured)s::float8
           WHEN 'charger' THEN %(charger)s::float8 ELSE %(driver)s::float8 END,
       CASE WHEN c.is_counted THEN s.soc_odometer_m ELSE 0 END, CASE WHEN c.is_counted THEN s.soc_gps_m ELSE 0 END,
       CASE WHEN c.is_counted THEN s.soc_gap_m ELSE 0 END, CASE WHEN b.goes_on THEN s.soc_charged_wh ELSE 0 END,
       CASE WHEN c.is_counted THEN s.soc_counted_at ELSE s.soc_at END
FROM vehicles_vehiclestate s
JOIN vehicles_vehicle v ON v.id = s.vehicle_id AND v.is_active
JOIN vehicles_vehiclemodel m ON m.id = v.model_id
JOIN accounts_organisation o ON o.id = v.organisation_id
CROSS JOIN LATERAL (
    SELECT g AS goes_on, CASE WHEN g THEN s.soc_base_percent ELSE s.soc_percent END AS percent,
           CASE WHEN g THEN s.soc_base_source ELSE s.soc_source END AS source
    FROM (SELECT coalesce(s.soc_base_at = s.soc_at, false) AS g) x
) b CROSS JOIN LATERAL (SELECT b.goes_on AND s.soc_counted_at IS NOT NULL AS is_counted) c
WHERE s.soc_percent IS NOT NULL AND s.soc_at < %(silent_since)s
  AND (s.soc_is_due OR s.position_at > greatest(s.soc_counted_at, s.soc_at))
  AND s.vehicle_id BETWEEN %(first)s AND %(last)s
ORDER BY s.vehicle_id
"""

# OFFSET 0 keeps it at one look into the key per vehicle.
PINGS = """
SELECT p.* FROM unnest(%(vehicle_ids)s::int[], %(since_us)s::bigint[]) AS w(vehicle_id, since_us)
CROSS JOIN LATERAL (
    SELECT vehicle_id, fix_at, latitude_e7, longitude_e7, coalesce(odometer_m, -1), coalesce(speed_dkmh, -1),
           coalesce(accuracy_m, -1)
    FROM vehicles_position
    WHERE vehicle_id = w.vehicle_id AND fix_at >= %(epoch)s::timestamptz + w.since_us * interval '1 microsecond'
      AND fix_at BETWEEN %(oldest)s AND %(newest)s AND flags & %(suspect)s = 0
    OFFSET 0
) p
"""

# Only where the reading and the count are still those that were read. `step` -1: below the limit, 1: clear of it. Who
# stands keeps what it shows; only the count goes on. Answers how many were written, beside each that crossed a limit.
WRITE = """
WITH news AS (
    SELECT vehicle_id, percent, sigma, step, is_estimate, odometer_m, gps_m, gap_m, charged_wh,
           %(epoch)s::timestamptz + soc_us * interval '1 microsecond' AS soc_at,
           %(epoch)s::timestamptz + before_us * interval '1 microsecond' AS counted_before,
           %(epoch)s::timestamptz + until_us * interval '1 microsecond' AS counted_at
    FROM unnest(%(vehicle_id)s::int[], %(percent)s::float8[], %(sigma)s::float8[], %(step)s::int[],
                %(is_estimate)s::bool[], %(odometer_m)s::float8[], %(gps_m)s::float8[], %(gap_m)s::float8[],
                %(charged_wh)s::float8[], %(soc_us)s::bigint[], %(before_us)s::bigint[], %(until_us)s::bigint[])
        AS n(vehicle_id, percent, sigma, step, is_estimate, odometer_m, gps_m, gap_m, charged_wh, soc_us, before_us,
             until_us)
), locked AS (
    SELECT n.*, s.is_soc_low AS was_low, coalesce(s.soc_base_at = s.soc_at, false) AS goes_on,
           CASE WHEN n.step < 0 THEN greatest(s.soc_below_at, %(now)s) ELSE s.soc_below_at END AS below_at,
           CASE WHEN n.step > 0 THEN greatest(s.soc_clear_at, %(now)s) ELSE s.soc_clear_at END AS clear_at
    FROM news n JOIN vehicles_vehiclestate s ON s.vehicle_id = n.vehicle_id AND s.soc_at = n.soc_at
        AND coalesce(s.soc_counted_at, %(epoch)s) = n.counted_before
    ORDER BY n.vehicle_id FOR NO KEY UPDATE OF s
), judged AS (
    SELECT l.*, coalesce(l.below_at > coalesce(l.clear_at, '-infinity'), false) AS is_low FROM locked l
), written AS (UPDATE vehicles_vehiclestate s SET
    soc_base_percent = CASE WHEN j.goes_on THEN s.soc_base_percent ELSE s.soc_percent END,
    soc_base_source = CASE WHEN j.goes_on THEN s.soc_base_source ELSE s.soc_source END,
    soc_base_at = s.soc_at,
    soc_percent = CASE WHEN j.is_estimate THEN j.percent ELSE s.soc_percent END,
    soc_sigma_percent = CASE WHEN j.is_estimate THEN j.sigma ELSE s.soc_sigma_percent END,
    soc_source = CASE WHEN j.is_estimate THEN 'estimated' ELSE s.soc_source END,
    soc_counted_at = j.counted_at, soc_odometer_m = j.odometer_m, soc_gps_m = j.gps_m, soc_gap_m = j.gap_m,
    soc_charged_wh = CASE WHEN j.goes_on THEN s.soc_charged_wh ELSE 0 END,
    soc_is_due = j.goes_on AND s.soc_charged_wh <> j.charged_wh,
    soc_below_at = j.below_at, soc_clear_at = j.clear_at, is_soc_low = j.is_low,
    soc_low_at = CASE WHEN j.is_low AND j.was_low THEN s.soc_low_at WHEN j.is_low THEN j.below_at END,
    version = s.version + (j.is_low <> j.was_low)::int
FROM judged j WHERE s.vehicle_id = j.vehicle_id
RETURNING s.vehicle_id, j.was_low, j.is_low, s.version)
SELECT n.written, w.vehicle_id, w.is_low, w.version
FROM (SELECT count(*) AS written FROM written) n LEFT JOIN written w ON w.was_low <> w.is_low
"""


# Where a ping came after one that was sent later, as what was counted may have passed it by.
COUNT_AGAIN = """
UPDATE vehicles_vehiclestate s SET soc_counted_at = NULL, soc_is_due = true
WHERE s.vehicle_id = %(vehicle_id)s AND s.soc_base_at = s.soc_at AND s.soc_counted_at IS NOT NULL AND EXISTS (
    SELECT FROM (
        SELECT received_at > interval '0.02 second' + min(received_at) OVER (
            ORDER BY fix_at ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING) AS is_overtaken
        FROM (SELECT fix_at, vehicle_id, fix_at + delay_cs * interval '0.01 second' AS received_at
              FROM vehicles_position) r
        WHERE vehicle_id = %(vehicle_id)s AND fix_at >= s.soc_at AND fix_at >= %(oldest)s
    ) p WHERE is_overtaken)
"""


Column = NDArray[Any]


class Rows(NamedTuple):
    """What WANTED answers, by column, and how many pings are new; instants are microseconds since EPOCH, `before_us` 0
    where nothing is counted."""

    vehicle_id: Column
    organisation_id: Column
    low: Column
    clear: Column
    battery_wh: Column
    wh_per_km: Column
    appetite: Column
    appetite_variance: Column
    shown: Column
    was_estimated: Column
    soc_us: Column
    before_us: Column
    may_alert: Column
    is_low: Column
    is_due: Column
    base: Column
    base_sigma: Column
    odometer_m: Column
    gps_m: Column
    gap_m: Column
    charged_wh: Column
    until_us: Column
    pings: Column = np.zeros(0)


ROW_TYPES = ("i8", "i8", *["f8"] * 7, "?", "i8", "i8", "?", "?", "?", *["f8"] * 6, "i8")
PING_TYPES = ("i4", "i8", "i4", "i4", "i4", "i4", "i4")


def parts() -> list[tuple[int, int]]:
    """The first and the last vehicle of each part of a round, in order."""
    with connection.cursor() as cursor:
        cursor.execute(PARTS, [VEHICLES_A_PART])
        return [(first, last) for first, last in cursor.fetchall()]


@transaction.atomic
def estimate_charges(*, now: datetime, first: int = 0, last: int = LAST_ID) -> int:
    """Estimate whoever has not told the charge for two minutes and moved or charged since; how many were written.

    Of the vehicles from `first` to `last`.
    """
    rows = _read(now, first, last)
    if rows is None:
        return 0
    middle, sigma = estimate(_since(rows))
    is_unknown = is_disproved(middle, sigma)
    percent, tenth = np.clip(middle, 0.0, 100.0), at_least(middle, sigma)
    step = np.where(is_unknown, np.where(rows.is_low, 1, 0), _steps(rows, percent, sigma, tenth))
    sigma = np.where(is_unknown, ANYTHING_PERCENT, sigma)
    is_estimate = _is_estimate(rows)
    chosen = np.flatnonzero((is_estimate & _is_news(rows, percent, step)) | _is_behind(rows))
    if not len(chosen):
        return 0
    step = np.where(is_estimate, step, 0)
    columns = {"percent": percent, "sigma": sigma, "step": step, "is_estimate": is_estimate}
    written, crossed = _write(rows, chosen, columns, now)
    _tell(rows, crossed, tenth, now)
    return written


def _steps(rows: Rows, percent: Floats, sigma: Floats, tenth: Floats) -> Any:
    """-1 below the limit, 1 clear of it; where hardly anything is known it is the middle that must be below."""
    is_below = (tenth < rows.low) & ((sigma <= UNSURE_PERCENT) | (percent < rows.low))
    step = np.where(~rows.is_low & is_below & rows.may_alert, -1, 0)
    return np.where(rows.is_low & (tenth >= rows.clear), 1, step)


def count_again(*, vehicle_id: int, now: datetime) -> bool:
    """Late pings: the next estimate counts from the reading on, in the order of the road."""
    with connection.cursor() as cursor:
        cursor.execute(COUNT_AGAIN, {"vehicle_id": vehicle_id, "oldest": now - COUNT_BACK})
        return bool(cursor.rowcount)


def _read(now: datetime, first: int, last: int) -> Rows | None:
    sigmas = {name: SIGMA_PERCENT[name] for name in ("measured", "charger", "driver")}
    columns = read_columns(WANTED, ROW_TYPES, sigmas | {
        "silent_since": now - SILENT_AFTER, "alert_since": now - ALERT_WITHIN, "never": EPOCH,
        "first": first, "last": last,
    })  # fmt: skip
    rows = Rows(*columns)
    return _counted(rows, now) if len(rows.vehicle_id) else None


def _counted(rows: Rows, now: datetime) -> Rows:
    """With the metres of the pings since."""
    read = [_since_then(rows.vehicle_id[some], rows.until_us[some], now) for some in _portions(rows.until_us, now)]
    pings, until_us, odometer_m, gps_m, gap_m = (np.concatenate(column) for column in zip(*read, strict=True))
    return rows._replace(
        odometer_m=rows.odometer_m + odometer_m, gps_m=rows.gps_m + gps_m, gap_m=rows.gap_m + gap_m,
        until_us=until_us, pings=pings,
    )  # fmt: skip


def _portions(since_us: Column, now: datetime) -> list[slice]:
    """So many vehicles at a time that their pings find room, also after days in which nobody counted."""
    span_us = np.clip((now - EPOCH) // MICROSECOND - since_us, 0, COUNT_BACK // MICROSECOND)
    starts = np.flatnonzero(np.diff(np.cumsum(span_us) // READ_AT_ONCE_US, prepend=-1))
    return [slice(*edges) for edges in pairwise([*starts.tolist(), len(since_us)])]


def _since_then(vehicle_ids: Column, since_us: Column, now: datetime) -> tuple[Column, ...]:
    """How many pings each vehicle has, the instant of the newest, and its metres: by odometer, by positions, unseen."""
    vehicle_id, at_us, *columns = read_columns(PINGS, PING_TYPES, {
        "vehicle_ids": _literal(vehicle_ids), "since_us": _literal(since_us), "epoch": EPOCH,
        "oldest": now - COUNT_BACK, "newest": now + SILENT_AFTER, "suspect": SUSPECT_POSITION,
    })  # fmt: skip
    line = np.searchsorted(vehicle_ids, vehicle_id)
    until_us = since_us.copy()
    np.maximum.at(until_us, line, at_us)
    pings = Pings(line, at_us, *(column.astype(np.int64) for column in columns))
    return np.bincount(line, minlength=len(vehicle_ids)), until_us, *driven(pings, len(vehicle_ids))


def _since(rows: Rows) -> Since:
    return Since(
        rows.base, rows.base_sigma, rows.battery_wh, rows.wh_per_km, rows.appetite, rows.appetite_variance,
        rows.odometer_m, rows.gps_m, rows.gap_m, rows.charged_wh,
    )  # fmt: skip


def _is_estimate(rows: Rows) -> Any:
    """Who has left the place of the reading, or charged."""
    has_moved = (rows.odometer_m + rows.gps_m + rows.gap_m > STANDING_M) | (rows.charged_wh > 0)
    return has_moved | rows.was_estimated


def _is_news(rows: Rows, percent: Floats, step: Any) -> Any:
    """Who shows another figure, or crosses a limit. Each has marks of its own, so that vehicles that set off together
    are not all written in the same round."""
    marks = rows.vehicle_id * GOLDEN % 1.0
    passed = np.floor(percent / WORTH_WRITING_PERCENT + marks) != np.floor(rows.shown / WORTH_WRITING_PERCENT + marks)
    return ~rows.was_estimated | passed | (step != 0)


def _is_behind(rows: Rows) -> Any:
    """Whose count is to be made again, or would have many pings read again; who stands has many, too."""
    return rows.is_due | (rows.pings > MANY_PINGS + rows.vehicle_id % MANY_PINGS)


def _write(rows: Rows, chosen: Any, estimated: dict[str, Any], now: datetime) -> tuple[int, list[tuple[Any, ...]]]:
    """How many, and (vehicle, is low, version) of each that crossed a limit."""
    columns: dict[str, Any] = estimated | {name: getattr(rows, name) for name in (
        "vehicle_id", "odometer_m", "gps_m", "gap_m", "charged_wh", "soc_us", "before_us", "until_us",
    )}  # fmt: skip
    with connection.cursor() as cursor:
        params: dict[str, Any] = {name: _literal(column[chosen]) for name, column in columns.items()}
        cursor.execute(WRITE, params | {"now": now, "epoch": EPOCH})
        answer = cursor.fetchall()
    return answer[0][0], [tuple(crossed) for _, *crossed in answer if crossed[0] is not None]


def _literal(column: Column) -> str:
    """A PostgreSQL array; without copies, orjson reads the memory of numpy."""
    return "{" + orjson.dumps(np.ascontiguousarray(column), option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].decode() + "}"


def _tell(rows: Rows, crossed: list[tuple[Any, ...]], tenth: Floats, now: datetime) -> None:
    if not crossed:
        return
    events: list[SocLow | SocRecovered] = []
    for vehicle_id, is_low, version in crossed:
        number = np.searchsorted(rows.vehicle_id, vehicle_id)
        organisation_id, soc = int(rows.organisation_id[number]), float(tenth[number])
        events.append(
            SocLow(vehicle_id, organisation_id, soc, version, now)
            if is_low
            else SocRecovered(vehicle_id, organisation_id, soc, now)
        )
    publish_together(events)
