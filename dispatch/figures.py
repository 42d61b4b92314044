"""The key figures of one fleet, now and at ten moments of the last hour; all from rows."""

import math
import time
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Count, Q, Sum

from billing.models import CDR, BillingException, ChargingSession, Wallet
from billing.services.tariffs import zone_of
from dispatch.models import ChargePlan
from fleetcharge.accounts.models import Organisation
from stations.belief import is_believed
from stations.models import Connector
from vehicles.models import Vehicle

HISTORY_POINTS = 10
HISTORY_STEP = timedelta(minutes=6)
HISTORY_SECONDS = 30.0
MAX_HISTORIES = 1_000
REROUTED_STATES = (ChargePlan.State.ACCEPTED, ChargePlan.State.RESERVED)


def kpis(organisation: Organisation, *, now: datetime) -> dict[str, Any]:
    """The strip above the map. Eight small queries; the history is cached for half a minute."""
    current = current_figures(organisation, now=now)
    past = history(organisation, now=now)
    return {**current, "history": {name: [*past[name], value] for name, value in current.items()}}


def current_figures(organisation: Organisation, *, now: datetime) -> dict[str, int]:
    midnight = now.astimezone(zone_of(organisation.time_zone)).replace(hour=0, minute=0, second=0, microsecond=0)
    connectors = Connector.objects.visible_to(organisation).aggregate(
        total=Count("pk"), free=Count("pk", filter=Q(status=Connector.Status.AVAILABLE) & is_believed(now))
    )
    sessions = ChargingSession.objects.for_organisation(organisation)
    running = sessions.active().aggregate(count=Count("pk"), power=Sum("power_w"))
    wallet = Wallet.objects.filter(organisation=organisation).first()
    spend = CDR.objects.for_organisation(organisation).filter(ended_at__gte=midnight).aggregate(sum=Sum("total_paise"))
    return {
        "chargers_available": connectors["free"],
        "chargers_total": connectors["total"],
        "vehicles_low": Vehicle.objects.for_organisation(organisation).low().count(),
        "vehicles_rerouted": ChargePlan.objects.for_organisation(organisation)
        .filter(state__in=REROUTED_STATES)
        .count(),
        "charging_now": running["count"],
        "charging_power_w": running["power"] or 0,
        "energy_today_wh": sessions.filter(started_at__gte=midnight).aggregate(sum=Sum("energy_wh"))["sum"] or 0,
        "spend_today_paise": spend["sum"] or 0,
        "exceptions_open": BillingException.objects.for_organisation(organisation).open().count(),
        "held_paise": wallet.held_paise if wallet else 0,
    }


def history(organisation: Organisation, *, now: datetime) -> dict[str, list[int]]:
    """Nine earlier values per figure, oldest first; the caller appends the current one."""
    read_at, values = _histories.get(organisation.pk, (-math.inf, {}))
    if time.monotonic() - read_at >= HISTORY_SECONDS:
        if len(_histories) >= MAX_HISTORIES:
            _histories.clear()
        values = _read_history(organisation, now)
        _histories[organisation.pk] = time.monotonic(), values
    return values


_histories: dict[int, tuple[float, dict[str, list[int]]]] = {}
"""By organisation, with the time of reading. In the process: the page must not need Valkey."""


def _read_history(organisation: Organisation, now: datetime) -> dict[str, list[int]]:
    moments = [now - HISTORY_STEP * steps for steps in range(HISTORY_POINTS - 1, 0, -1)]
    with connection.cursor() as cursor:
        cursor.execute(_HISTORY_SQL, {"moments": moments, "org": organisation.pk, "zone": organisation.time_zone})
        names = [column.name for column in cursor.description or ()]
        rows = cursor.fetchall()
    return {name: [int(row[place]) for row in rows] for place, name in enumerate(names)}


_VISIBLE = """
stations_connector c JOIN stations_evse e ON e.id = c.evse_id AND NOT e.is_removed AND NOT c.is_removed
JOIN stations_location l ON l.id = e.location_id AND NOT l.is_removed
 AND (l.organisation_id IS NULL OR l.organisation_id = %(org)s)"""

# Free plugs then = free plugs now, with the transitions since undone. Energy of a running session grows evenly.
_HISTORY_SQL = f"""
WITH moments AS (SELECT unnest(%(moments)s::timestamptz[]) AS at),
visible AS (SELECT c.id, c.status FROM {_VISIBLE}),
since AS (
  SELECT s.at, (s.new = 'available')::int - (s.old = 'available')::int AS change
    FROM stations_statuschange s JOIN visible v ON v.id = s.connector_id
   WHERE s.at > (SELECT min(at) FROM moments)),
sessions AS (
  SELECT started_at, ended_at, energy_wh, power_w, coalesce(ended_at, now()) AS until
    FROM billing_chargingsession WHERE organisation_id = %(org)s AND started_at > now() - interval '2 days')
SELECT
  (SELECT count(*) FROM visible WHERE status = 'available')
    - coalesce((SELECT sum(change) FROM since WHERE since.at > m.at), 0) AS chargers_available,
  (SELECT count(*) FROM visible) AS chargers_total,
  (SELECT count(DISTINCT vehicle_id) FROM dispatch_alert a WHERE a.organisation_id = %(org)s
      AND a.kind IN ('will_not_reach', 'rerouted', 'no_charger') AND a.opened_at <= m.at
      AND (a.closed_at IS NULL OR a.closed_at > m.at)) AS vehicles_low,
  (SELECT count(*) FROM dispatch_chargeplan p WHERE p.organisation_id = %(org)s AND p.decided_at <= m.at
      AND (p.closed_at IS NULL OR p.closed_at > m.at)) AS vehicles_rerouted,
  (SELECT count(*) FROM sessions WHERE started_at <= m.at AND (ended_at IS NULL OR ended_at > m.at)) AS charging_now,
  coalesce((SELECT sum(energy_wh * 3600 / greatest(1, extract(epoch FROM until - started_at)))
      FROM sessions WHERE started_at <= m.at AND until > m.at), 0) AS charging_power_w,
  coalesce((SELECT sum(energy_wh * least(1, extract(epoch FROM m.at - started_at)
        / greatest(1, extract(epoch FROM until - started_at)))) FROM sessions
      WHERE started_at <= m.at AND started_at >= date_trunc('day', m.at, %(zone)s)), 0) AS energy_today_wh,
  coalesce((SELECT sum(total_paise) FROM billing_cdr d WHERE d.organisation_id = %(org)s AND d.ended_at <= m.at
      AND d.ended_at >= date_trunc('day', m.at, %(zone)s)), 0) AS spend_today_paise,
  (SELECT count(*) FROM billing_billingexception x WHERE x.organisation_id = %(org)s AND x.opened_at <= m.at
      AND (x.resolved_at IS NULL OR x.resolved_at > m.at)) AS exceptions_open,
  coalesce((SELECT sum(h.amount_paise) FROM billing_hold h JOIN billing_wallet w ON w.account_id = h.wallet_id
      WHERE w.organisation_id = %(org)s AND h.created_at <= m.at
      AND (h.closed_at IS NULL OR h.closed_at > m.at)), 0) AS held_paise
FROM moments m ORDER BY m.at
"""  # noqa: S608 (no user text is formatted in)
