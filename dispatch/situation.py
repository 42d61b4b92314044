"""What is known of vehicles at the moment of decision: battery, place, stops, their fleet's rules; one query."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypeVar

from django.db import models

from dispatch.plug_rows import parsed
from dispatch.policies.assignment import policies_of
from dispatch.policies.models import DispatchPolicy
from fleetcharge.accounts.models import Organisation
from fleetcharge.lib.db import fetch_prepared, in_one_line
from vehicles.models import POSITION_STALE_AFTER, Vehicle

SITUATION = in_one_line("""
SELECT v.id, v.registration, v.organisation_id, m.plugs, m.battery_wh, m.consumption_wh_per_km * v.appetite,
       m.max_dc_power_w,
       m.max_ac_power_w, m.max_voltage_v, m.charge_curve,
       s.latitude, s.longitude, s.position_at, CASE WHEN s.soc_source = 'estimated'
       THEN greatest(0, s.soc_percent - 1.2816 * s.soc_sigma_percent) ELSE s.soc_percent END, s.soc_low_at, s.version,
       o.dispatch_mode, o.time_zone, o.reserve_soc_percent, o.target_soc_percent, o.soc_clear_percent,
       o.cost_per_minute_paise,
       (SELECT json_agg(json_build_array(t.name, t.latitude, t.longitude, extract(epoch FROM t.due_at),
                                         extract(epoch FROM t.earliest_at))
                        ORDER BY t.sequence)
        FROM (SELECT * FROM vehicles_stop WHERE vehicle_id = v.id AND done_at IS NULL
              ORDER BY sequence LIMIT %(most_stops)s) t),
       EXISTS (SELECT 1 FROM billing_chargingsession b
               WHERE b.vehicle_id = v.id AND b.started_at > %(sessions_since)s
                 AND b.state = 'active' AND b.suspect_reason = ''),
       ARRAY(SELECT p.connector_id FROM dispatch_chargeplan p WHERE p.vehicle_id = v.id AND p.state = 'replaced'
             AND p.closed_at > %(failed_since)s AND p.connector_id IS NOT NULL AND NOT EXISTS (
                 SELECT 1 FROM dispatch_chargeplan n WHERE n.replaces_id = p.id AND n.trigger = 'stale')),
       token.uid,
       ARRAY(SELECT a.source_id FROM stations_networkaccess a WHERE a.organisation_id = v.organisation_id),
       ARRAY(SELECT g.location_id FROM billing_allowedsite g WHERE g.vehicle_id = v.id OR g.id_token_id = token.id),
       m.id
FROM vehicles_vehicle v
JOIN vehicles_vehiclemodel m ON m.id = v.model_id
JOIN accounts_organisation o ON o.id = v.organisation_id
LEFT JOIN vehicles_vehiclestate s ON s.vehicle_id = v.id
LEFT JOIN LATERAL (
    SELECT t.id, t.uid FROM vehicles_idtoken t
    WHERE t.organisation_id = v.organisation_id AND (t.vehicle_id = v.id OR t.driver_id = v.default_driver_id)
    ORDER BY (t.is_active AND coalesce(t.valid_until > %(now)s, true)) DESC,
             (t.vehicle_id IS NOT DISTINCT FROM v.id) DESC, t.id
    LIMIT 1
) token ON true
WHERE v.id = ANY(%(vehicle_ids)s)
""")
EXCLUDED_FOR = timedelta(minutes=15)
"""A plug that failed this vehicle is not offered again for so long."""
LONGEST_SESSION = timedelta(days=3)
"""No vehicle that is low and reports has been charging for longer."""
MOST_STOPS = 12
"""So far ahead a route is planned; what comes later is planned when it is nearer."""
Row = TypeVar("Row", bound=models.Model)


class StopAhead(NamedTuple):
    name: str
    latitude: float
    longitude: float
    due_at: datetime | None
    earliest_at: datetime | None = None

    @property
    def place(self) -> tuple[float, float]:
        return self.latitude, self.longitude


class Situation(NamedTuple):
    """`has_session`: it charges somewhere, whatever its tracker says; a session that we think is over does not count.
    `failed_lately`: plugs of this vehicle's plans that were replaced a short while ago.
    `token_uid`: what would start a session, also when it may not (reservations.token_of); None: it has none at all.
    `soc_percent`: of an estimate what nine of ten such vehicles have; `wh_per_km`: what this very one takes.
    `stops`: those not done, in order. `network_ids`: with a contract. `allowed_site_ids`: the vehicle or the token
    charges nowhere else; empty: anywhere.
    """

    vehicle_id: int
    registration: str
    organisation_id: int
    plugs: list[str]
    battery_wh: int
    wh_per_km: float
    max_dc_power_w: int
    max_ac_power_w: int
    max_voltage_v: int
    charge_curve: Any
    latitude: float | None
    longitude: float | None
    position_at: datetime | None
    soc_percent: float | None
    soc_low_at: datetime | None
    version: int
    dispatch_mode: str
    time_zone: str
    reserve_percent: int
    target_percent: int
    clear_percent: int
    cost_per_minute_paise: int
    stops: Sequence["StopAhead"]
    has_session: bool
    failed_lately: list[int]
    token_uid: str | None
    network_ids: list[int]
    allowed_site_ids: list[int]
    model_id: int

    @property
    def is_automatic(self) -> bool:
        return self.dispatch_mode == Organisation.DispatchMode.AUTOMATIC

    def is_silent(self, now: datetime) -> bool:
        """Nobody knows where it is by now; a charger booked for it would be taken from those who come."""
        return self.position_at is None or now - self.position_at >= POSITION_STALE_AFTER

    @property
    def next_stop(self) -> tuple[float, float] | None:
        return self.stops[0].place if self.stops else None


def read(vehicle_id: int, *, now: datetime) -> Situation:
    """Raises Vehicle.DoesNotExist."""
    found = read_each([vehicle_id], now=now).get(vehicle_id)
    if found is None:
        raise Vehicle.DoesNotExist(vehicle_id)
    return found


def read_each(vehicle_ids: Collection[int], *, now: datetime) -> dict[int, Situation]:
    """Of many in two queries; a vehicle that there is not is missing."""
    values: dict[str, Any] = {
        "vehicle_ids": list(vehicle_ids), "now": now, "failed_since": now - EXCLUDED_FOR,
        "sessions_since": now - LONGEST_SESSION, "most_stops": MOST_STOPS,
    }  # fmt: skip
    rows = [Situation(*row) for row in fetch_prepared(SITUATION, values)]
    policies = policies_of([row.vehicle_id for row in rows])
    return {
        row.vehicle_id: _by_policy(
            row._replace(charge_curve=parsed(row.charge_curve) or [], stops=_stops(row.stops)),
            policies.get(row.vehicle_id),
        )
        for row in rows
    }


def _by_policy(found: Situation, policy: DispatchPolicy | None) -> Situation:
    """With the rules of the experiment that the vehicle takes part in, if any."""
    return found if policy is None else found._replace(
        reserve_percent=policy.reserve_soc_percent, target_percent=policy.target_soc_percent,
        clear_percent=policy.soc_clear_percent, cost_per_minute_paise=policy.cost_per_minute_paise,
    )  # fmt: skip


def _stops(column: Any) -> list[StopAhead]:
    rows = parsed(column) if isinstance(column, str) else column
    return [
        StopAhead(name, lat, lon, *(at and datetime.fromtimestamp(at, UTC) for at in window))
        for name, lat, lon, *window in rows or []
    ]


def known_part(model: type[Row], **values: Any) -> Row:
    """A row of which these columns were read already; the others are read when somebody asks."""
    names = [field.attname for field in model._meta.concrete_fields if field.attname in values]
    return model.from_db("default", names, [values[name] for name in names])
