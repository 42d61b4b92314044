"""Forecasts that are written down before anybody knows, and what came of them."""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection

from billing.services.tariffs import zone_of
from dispatch.core import waits
from dispatch.forecasts import known
from dispatch.forecasts.models import Forecast
from dispatch.forecasts.pasts import STATE
from stations.belief import IS_BELIEVED, times_of

KEPT = timedelta(days=60)
SCORE_WITHIN = timedelta(hours=6)
"""What was not scored by then never is: the status of then may be forgotten."""
PLUGS = f"""
SELECT c.id, l.id, c.plug, c.max_power_w, l.time_zone, c.status = 'available',
       CASE WHEN c.status <> 'available' THEN coalesce((
           SELECT x.at FROM stations_statuschange x WHERE x.connector_id = c.id AND x.new IN ('occupied', 'charging')
           AND x.old NOT IN ('occupied', 'charging') ORDER BY x.at DESC LIMIT 1), c.status_since) END
FROM stations_connector c
JOIN stations_evse e ON e.id = c.evse_id AND NOT e.is_removed AND NOT c.is_removed
JOIN stations_location l ON l.id = e.location_id AND NOT l.is_removed
WHERE c.status IN ('available', 'occupied', 'charging') AND {IS_BELIEVED}
ORDER BY md5(c.id::text || %(salt)s) LIMIT %(most)s
"""  # noqa: S608 (our own words)
SCORE = f"""
UPDATE dispatch_forecast f SET scored_at = %(now)s, is_free = CASE
    WHEN f.for_at < %(too_old)s THEN NULL
    WHEN state.was = 0 THEN true WHEN state.was = 1 THEN false END
FROM (
    SELECT d.id, coalesce(
        (SELECT {STATE.format("x.new")} FROM stations_statuschange x
         WHERE x.connector_id = d.connector_id AND x.at <= d.for_at ORDER BY x.at DESC, x.id DESC LIMIT 1),
        (SELECT {STATE.format("x.old")} FROM stations_statuschange x
         WHERE x.connector_id = d.connector_id AND x.at > d.for_at ORDER BY x.at, x.id LIMIT 1),
        (SELECT {STATE.format("c.status")} FROM stations_connector c WHERE c.id = d.connector_id)) AS was
    FROM dispatch_forecast d WHERE d.scored_at IS NULL AND d.for_at <= %(now)s
    ORDER BY d.id FOR UPDATE OF d SKIP LOCKED
) state WHERE state.id = f.id
"""  # noqa: S608 (our own words)
DRIFT = """
SELECT (f.for_at AT TIME ZONE %(zone)s)::date AS day, f.horizon_minutes, count(*),
       avg((f.probability - f.is_free::int) ^ 2), avg(abs(f.probability - f.is_free::int)),
       avg((f.was_free::int - f.is_free::int) ^ 2)
FROM dispatch_forecast f WHERE f.is_free IS NOT NULL AND f.made_at >= %(since)s
GROUP BY 1, 2 ORDER BY 1 DESC, 2
"""


def make_forecasts(*, now: datetime) -> int:
    """Of some plugs, others each hour, what they will be; written once per hour by constraint. How many are new."""
    made_at = now.replace(minute=0, second=0, microsecond=0)
    rows = _plugs(now, str(made_at.timestamp()))
    habits = known.habits.at({row[1] for row in rows})
    forecasts = [one for row in rows for one in _of_plug(row, habits, now, made_at)]
    before = Forecast.objects.filter(made_at=made_at).count()
    Forecast.objects.bulk_create(forecasts, ignore_conflicts=True, batch_size=1_000)
    return Forecast.objects.filter(made_at=made_at).count() - before


def _plugs(now: datetime, salt: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(PLUGS, {**times_of(now), "salt": salt, "most": settings.FORECAST_PLUGS})
        return list(cursor.fetchall())


def _of_plug(row: tuple[Any, ...], habits: known.Habits, now: datetime, made_at: datetime) -> list[Forecast]:
    connector_id, location_id, plug, power_w, time_zone, is_free, busy_since = row
    habit, hour = habits.of(location_id, plug, power_w), known.hour_of_week(now, zone_of(time_zone))
    elapsed = None if is_free else max(0.0, (now - busy_since).total_seconds())
    state = waits.PlugState(is_free, elapsed, law=habit.law)
    chances = {
        minutes: known.raw_p_free(habit, state, hour=hour, ahead_seconds=minutes * 60)
        for minutes in known.HORIZONS_MINUTES
    }
    return [
        Forecast(
            connector_id=connector_id, made_at=made_at, for_at=now + timedelta(minutes=minutes),
            horizon_minutes=minutes, was_free=is_free, raw_probability=round(raw, 4),
            probability=round(habits.calibrated(raw, state, minutes * 60), 4),
        )
        for minutes, raw in chances.items()
        if raw is not None
    ]  # fmt: skip


def score_forecasts(*, now: datetime) -> int:
    """Write down what came of those whose time has come; how many."""
    with connection.cursor() as cursor:
        cursor.execute(SCORE, {"now": now, "too_old": now - SCORE_WITHIN})
        return int(cursor.rowcount)


def forget_forecasts(*, now: datetime) -> int:
    return Forecast.objects.filter(made_at__lt=now - KEPT).delete()[0]


def drift(*, since: datetime, zone: str) -> list[dict[str, Any]]:
    """By day and horizon: how many, Brier score, mean error, and the Brier score of "it stays as it is"."""
    names = ("day", "horizon_minutes", "forecasts", "brier", "mean_error", "brier_of_now")
    with connection.cursor() as cursor:
        cursor.execute(DRIFT, {"since": since, "zone": zone})
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
