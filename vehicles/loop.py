"""The charge of vehicles that have not told it for two minutes: estimated for all of them at once.

One read adds the metres of new pings to what was counted since the last reading, numpy makes the estimate, one
statement writes what has changed. Pings that came late are counted when their day is made again, from the reading on.
"""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import orjson
from django.db import connection, transaction

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

SILENT_AFTER = timedelta(minutes=2)
ALERT_WITHIN = timedelta(minutes=10)  # of the position: what came late raises no alert
COUNT_BACK = timedelta(days=7)
STANDING_M = 100.0  # receivers wander
WORTH_WRITING_PERCENT = 0.2
COUNT_BEHIND_US = timedelta(minutes=5) // timedelta(microseconds=1)  # else each round reads all pings of who stands

# Metres between neighbours in time: by the odometer where both tell it; else along the earth, unless the vehicle
# stands; where nothing was heard a third longer, or half way to what the speeds before and after would have made of the
# time. OFFSET 0 keeps it at one look into the key per vehicle.
READ = """
WITH wanted AS MATERIALIZED (
    SELECT s.vehicle_id, v.organisation_id, coalesce(v.soc_low_percent, o.soc_low_percent) AS soc_low_percent,
           coalesce(v.soc_clear_percent, o.soc_clear_percent) AS soc_clear_percent, m.battery_wh,
           m.consumption_wh_per_km, v.appetite, v.appetite_variance, s.soc_percent, s.soc_at, s.soc_source,
           s.soc_counted_at, s.position_at, s.is_soc_low, s.soc_is_due,
           coalesce(s.soc_base_at = s.soc_at, false) AS goes_on,
           coalesce(s.soc_base_at = s.soc_at, false) AND s.soc_counted_at IS NOT NULL AS is_counted, s.soc_base_percent,
           s.soc_base_source, s.soc_odometer_m, s.soc_gps_m, s.soc_gap_m, s.soc_charged_wh
    FROM vehicles_vehiclestate s
    JOIN vehicles_vehicle v ON v.id = s.vehicle_id AND v.is_active
    JOIN vehicles_vehiclemodel m ON m.id = v.model_id
    JOIN accounts_organisation o ON o.id = v.organisation_id
    WHERE s.soc_percent IS NOT NULL AND s.soc_at < %(silent_since)s
      AND (s.soc_is_due OR s.position_at > greatest(s.soc_counted_at, s.soc_at))
), steps AS (
    SELECT w.vehicle_id, p.* FROM wanted w CROSS JOIN LATERAL (
        SELECT fix_at, speed_dkmh, accuracy_m, odometer_m - lag(odometer_m) OVER line AS turned_m,
               extract(epoch FROM fix_at - lag(fix_at) OVER line)::float8 AS seconds,
               lag(speed_dkmh) OVER line AS speed_before_dkmh,
               12742000 * asin(least(1, sqrt(
                   power(sin(radians((latitude_e7 - lag(latitude_e7) OVER line) / 2e7)), 2)
                   + cos(radians(latitude_e7 / 1e7)) * cos(radians(lag(latitude_e7) OVER line / 1e7))
                   * power(sin(radians((longitude_e7 - lag(longitude_e7) OVER line) / 2e7)), 2)))) AS metres
        FROM vehicles_position
        WHERE vehicle_id = w.vehicle_id AND flags & %(suspect)s = 0
          AND fix_at >= CASE WHEN w.is_counted THEN w.soc_counted_at ELSE w.soc_at END
          AND fix_at BETWEEN %(oldest)s AND %(newest)s
        WINDOW line AS (ORDER BY fix_at) OFFSET 0) p
), counted AS (
    SELECT vehicle_id, max(fix_at) AS until,
           coalesce(sum(turned_m) FILTER (WHERE is_turned), 0)::float8 AS odometer_m,
           coalesce(sum(metres) FILTER (WHERE NOT is_turned AND seconds <= 120 AND CASE
               WHEN speed_dkmh IS NULL THEN metres > 30 + coalesce(accuracy_m, 0)
               ELSE greatest(speed_dkmh, speed_before_dkmh) >= 30 END), 0) AS gps_m,
           coalesce(sum(greatest(metres * 1.3, CASE WHEN least(speed_dkmh, speed_before_dkmh) >= 30 AND seconds <= 1800
               THEN (metres + seconds * (speed_dkmh + speed_before_dkmh) / 72) / 2 END))
               FILTER (WHERE NOT is_turned AND seconds > 120 AND metres > 100), 0) AS gap_m
    FROM (SELECT *, coalesce(turned_m BETWEEN 0 AND 1000 + seconds * 50, false) AS is_turned FROM steps) s
    GROUP BY vehicle_id
)
SELECT w.vehicle_id, w.organisation_id, w.soc_low_percent, w.soc_clear_percent, w.battery_wh::float8,
       w.consumption_wh_per_km::float8, w.appetite, w.appetite_variance, w.soc_percent, w.soc_source,
       (extract(epoch FROM w.soc_at) * 1000000)::bigint, (extract(epoch FROM w.soc_counted_at) * 1000000)::bigint,
       coalesce(w.position_at > %(alert_since)s, false), w.is_soc_low, w.soc_is_due,
       CASE WHEN w.goes_on THEN w.soc_base_percent ELSE w.soc_percent END,
       CASE WHEN w.goes_on THEN w.soc_base_source ELSE w.soc_source END,
       CASE WHEN w.is_counted THEN w.soc_odometer_m ELSE 0 END + coalesce(c.odometer_m, 0),
       CASE WHEN w.is_counted THEN w.soc_gps_m ELSE 0 END + coalesce(c.gps_m, 0),
       CASE WHEN w.is_counted THEN w.soc_gap_m ELSE 0 END + coalesce(c.gap_m, 0),
       CASE WHEN w.goes_on THEN w.soc_charged_wh ELSE 0 END,
       (extract(epoch FROM coalesce(c.until, CASE WHEN w.is_counted THEN w.soc_counted_at ELSE w.soc_at END))
        * 1000000)::bigint
FROM wanted w LEFT JOIN counted c ON c.vehicle_id = w.vehicle_id
ORDER BY w.vehicle_id
"""

# Only where the reading and the count are still those that were read. `step` -1: below the limit, 1: clear of it. Who
# stands keeps what it shows; only the count goes on.
WRITE = """
WITH news AS (
    SELECT vehicle_id, percent, sigma, step, is_estimate, odometer_m, gps_m, gap_m, charged_wh,
           'epoch'::timestamptz + soc_us * interval '1 microsecond' AS soc_at,
           'epoch'::timestamptz + before_us * interval '1 microsecond' AS counted_before,
           'epoch'::timestamptz + until_us * interval '1 microsecond' AS counted_at
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
        AND s.soc_counted_at IS NOT DISTINCT FROM n.counted_before
    ORDER BY n.vehicle_id FOR NO KEY UPDATE OF s
), judged AS (
    SELECT l.*, coalesce(l.below_at > coalesce(l.clear_at, '-infinity'), false) AS is_low FROM locked l
)
UPDATE vehicles_vehiclestate s SET
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
RETURNING s.vehicle_id, j.was_low, j.is_low, s.version
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


class Rows(NamedTuple):
    """What READ answers, by column."""

    vehicle_id: list[int]
    organisation_id: list[int]
    low: Floats
    clear: Floats
    battery_wh: Floats
    wh_per_km: Floats
    appetite: Floats
    appetite_variance: Floats
    shown: Floats
    source: list[str]
    soc_us: list[int]
    before_us: list[int | None]
    may_alert: Any
    is_low: Any
    is_due: Any
    base: Floats
    base_source: list[str]
    odometer_m: Floats
    gps_m: Floats
    gap_m: Floats
    charged_wh: Floats
    until_us: list[int]


_FLAGS = {"may_alert", "is_low", "is_due"}
_PLAIN = {"vehicle_id", "organisation_id", "source", "soc_us", "before_us", "base_source", "until_us"}


@transaction.atomic
def estimate_charges(*, now: datetime) -> int:
    """Estimate whoever has not told the charge for two minutes and moved or charged since; how many were written."""
    rows = _read(now)
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
    written = _write(rows, chosen, columns, now)
    _tell(rows, written, tenth, now)
    return len(written)


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


def _read(now: datetime) -> Rows | None:
    with connection.cursor() as cursor:
        cursor.execute(READ, {
            "silent_since": now - SILENT_AFTER, "alert_since": now - ALERT_WITHIN, "oldest": now - COUNT_BACK,
            "newest": now + SILENT_AFTER, "suspect": SUSPECT_POSITION,
        })  # fmt: skip
        answer = cursor.fetchall()
    if not answer:
        return None
    named = zip(Rows._fields, zip(*answer, strict=True), strict=True)
    columns: dict[str, Any] = {name: list(c) if name in _PLAIN else _array(name, c) for name, c in named}
    return Rows(**columns)


def _array(name: str, column: tuple[Any, ...]) -> Any:
    return np.array(column, dtype=bool if name in _FLAGS else np.float64)


def _since(rows: Rows) -> Since:
    sigma = np.array([SIGMA_PERCENT.get(source, SIGMA_PERCENT["driver"]) for source in rows.base_source])
    return Since(
        rows.base, sigma, rows.battery_wh, rows.wh_per_km, rows.appetite, rows.appetite_variance, rows.odometer_m,
        rows.gps_m, rows.gap_m, rows.charged_wh,
    )  # fmt: skip


def _is_estimate(rows: Rows) -> Any:
    """Who has left the place of the reading, or charged."""
    has_moved = (rows.odometer_m + rows.gps_m + rows.gap_m > STANDING_M) | (rows.charged_wh > 0)
    return has_moved | _was_estimated(rows)


def _was_estimated(rows: Rows) -> Any:
    return np.array([source == "estimated" for source in rows.source])


def _is_news(rows: Rows, percent: Floats, step: Any) -> Any:
    """Who shows another figure, or crosses a limit."""
    return ~_was_estimated(rows) | (np.abs(percent - rows.shown) >= WORTH_WRITING_PERCENT) | (step != 0)


def _is_behind(rows: Rows) -> Any:
    """Whose count is to be made again, or would be read again from far back."""
    before = [soc if counted is None else counted for soc, counted in zip(rows.soc_us, rows.before_us, strict=True)]
    return rows.is_due | (np.array(rows.until_us) - np.array(before) > COUNT_BEHIND_US)


def _write(rows: Rows, chosen: Any, estimated: dict[str, Any], now: datetime) -> list[Any]:
    columns: dict[str, Any] = estimated | {name: getattr(rows, name) for name in (
        "vehicle_id", "odometer_m", "gps_m", "gap_m", "charged_wh", "soc_us", "before_us", "until_us",
    )}  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(WRITE, {name: _literal(column, chosen) for name, column in columns.items()} | {"now": now})
        return list(cursor.fetchall())


def _literal(column: Any, chosen: Any) -> str:
    """A PostgreSQL array of the chosen ones."""
    values = column[chosen].tolist() if isinstance(column, np.ndarray) else [column[index] for index in chosen]
    return "{" + orjson.dumps(values)[1:-1].decode() + "}"


def _tell(rows: Rows, written: list[Any], tenth: Floats, now: datetime) -> None:
    crossed = [(pk, is_low, version) for pk, was_low, is_low, version in written if was_low != is_low]
    if not crossed:
        return
    index = {vehicle_id: number for number, vehicle_id in enumerate(rows.vehicle_id)}
    events: list[SocLow | SocRecovered] = []
    for vehicle_id, is_low, version in crossed:
        number = index[vehicle_id]
        organisation_id, soc = rows.organisation_id[number], float(tenth[number])
        events.append(
            SocLow(vehicle_id, organisation_id, soc, version, now)
            if is_low
            else SocRecovered(vehicle_id, organisation_id, soc, now)
        )
    publish_together(events)
