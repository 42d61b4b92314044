"""The plugs at some sites with all that decides about them (promises, sessions, prices), in one statement."""

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from typing import Any, NamedTuple

from django.utils import timezone

from fleetcharge.lib.db import fetch_planned, fetch_prepared, in_one_line
from stations.belief import IS_AWAY

# Building this query and its rows with the ORM costs several times as much as running it, and so does planning it.
PLUGS = in_one_line(f"""
SELECT c.id, c.evse_id, l.id, l.name, l.latitude, l.longitude, c.plug, c.power_type, c.max_power_w, c.status,
       c.heard_at, c.has_session, c.is_held, e.charger_id, coalesce(h.is_online, false), e.capabilities,
       o.last_push_at, o.state = 'failing' OR {IS_AWAY}, t.elements, t.terms, l.time_zone,
       (SELECT json_agg(json_build_array(extract(epoch FROM w.begins - %(now)s), extract(epoch FROM w.ends - %(now)s),
                                         w.vehicle_id) ORDER BY w.begins, w.ends)::text
        FROM (SELECT r.starts_at AS begins, greatest(r.expires_at, r.stay_ends_at) AS ends, r.vehicle_id
              FROM dispatch_reservation r WHERE r.evse_id = c.evse_id AND r.state IN ('requested', 'confirmed')
              UNION ALL
              SELECT coalesce(p.window_starts_at, %(now)s),
                     greatest(p.window_ends_at, CASE WHEN p.window_ends_at IS NULL THEN %(now)s + interval '10 years'
                              WHEN p.plug_in_at < %(now)s THEN %(now)s + p.charge_seconds * interval '1 second' END),
                     p.vehicle_id
              FROM dispatch_chargeplan p WHERE p.evse_id = c.evse_id
              AND p.state IN ('proposed', 'accepted', 'reserved')) w
        WHERE w.ends > %(now)s AND w.begins < %(now)s + interval '1 day'),
       s.started_at, s.soc_percent, s.battery_wh, s.charge_curve, s.max_dc_power_w,
       o.truth_percent, c.max_voltage_v, l.opening_times,
       CASE WHEN c.status IN ('occupied', 'charging') THEN coalesce((
           SELECT x.at FROM stations_statuschange x WHERE x.connector_id = c.id AND x.new IN ('occupied', 'charging')
           AND x.old NOT IN ('occupied', 'charging') ORDER BY x.at DESC LIMIT 1), c.status_since) END,
       z.p_unusable, k.points, s.learned
FROM stations_connector c
JOIN stations_evse e ON e.id = c.evse_id AND NOT e.is_removed AND NOT c.is_removed
JOIN stations_location l ON l.id = e.location_id AND NOT l.is_removed
JOIN stations_source o ON o.id = l.source_id AND o.state <> 'disabled'
LEFT JOIN stations_charger h ON h.id = e.charger_id
LEFT JOIN stations_tariff t ON t.id = c.tariff_id
LEFT JOIN stations_evsehealth z ON z.evse_id = e.id
LEFT JOIN dispatch_learnedcurve k ON k.evse_id = e.id AND k.is_dc = (c.power_type = 'DC')
     AND k.vehicle_model_id = (SELECT model_id FROM vehicles_vehicle WHERE id = %(vehicle_id)s)
LEFT JOIN LATERAL (
    SELECT b.started_at, b.soc_percent, m.battery_wh, m.charge_curve, m.max_dc_power_w, q.points AS learned
    FROM billing_chargingsession b
    LEFT JOIN vehicles_vehicle v ON v.id = b.vehicle_id LEFT JOIN vehicles_vehiclemodel m ON m.id = v.model_id
    LEFT JOIN dispatch_learnedcurve q ON q.evse_id = c.evse_id AND q.vehicle_model_id = m.id
         AND q.is_dc = (c.power_type = 'DC')
    WHERE b.connector_id = c.id AND b.state = 'active' ORDER BY b.id DESC LIMIT 1
) s ON c.status IN ('occupied', 'charging')
WHERE l.id = ANY(%(place_ids)s)
  AND (l.organisation_id IS NULL OR l.organisation_id = %(organisation_id)s)
  AND (o.organisation_id = %(organisation_id)s OR EXISTS (
      SELECT 1 FROM stations_networkaccess a WHERE a.source_id = o.id AND a.organisation_id = %(organisation_id)s))
  AND NOT EXISTS (SELECT 1 FROM dispatch_plugreport g WHERE g.connector_id = c.id
                  AND g.organisation_id = %(organisation_id)s AND g.at > now() - interval '1 hour')
""")  # noqa: S608 (our own words)


class PlugRow(NamedTuple):
    """One plug as the database has it. `promised`: (from, to) in seconds from now, within a day, when plans and
    reservations of other vehicles, whoever's fleet they are, speak for its EVSE (one that is late will need it for as
    long as it was to charge); a vehicle that charges shows as busy instead. `session_*` and `busy_since` are None for a
    free plug, `p_unusable` where nothing is known of its health, `learned_curve` where too few such vehicles charged.
    """

    connector_id: int
    evse_id: int
    location_id: int
    name: str
    latitude: float
    longitude: float
    plug: str
    power_type: str
    power_w: int
    status: str
    heard_at: datetime | None
    has_session: bool
    is_held: bool
    charger_id: int | None
    is_online: bool
    capabilities: list[str]
    last_push_at: datetime | None
    is_network_failing: bool
    elements: str | None
    terms: str | None
    time_zone: str
    promised: tuple[tuple[float, float], ...]
    session_started_at: datetime | None
    session_soc_percent: float | None
    session_battery_wh: int | None
    session_curve: str | None
    session_max_dc_power_w: int | None
    truth_percent: int | None
    max_voltage_v: int
    opening_times: str | None
    busy_since: datetime | None
    p_unusable: float | None
    learned_curve: str | None
    session_learned: str | None

    @property
    def is_reservable(self) -> bool:
        return self.charger_id is not None or "RESERVABLE" in self.capabilities


_LOCATION, _PROMISED = (PlugRow._fields.index(name) for name in ("location_id", "promised"))


def at_sites(
    place_ids: Collection[int], *, organisation_id: int, vehicle_id: int, now: datetime | None = None
) -> list[PlugRow]:
    """Every plug there that this fleet may use."""
    return [_seen_by(vehicle_id, row) for row in _read(place_ids, organisation_id, vehicle_id, now or timezone.now())]


class AtHand:
    """Plugs that were read once for many vehicles of one fleet and model."""

    def __init__(self, place_ids: Iterable[int], *, organisation_id: int, any_vehicle_id: int, now: datetime) -> None:
        self._now, self._ids, self._at = now, set(place_ids), defaultdict[int, list[tuple[Any, ...]]](list)
        for row in _read(self._ids, organisation_id, any_vehicle_id, now, fetch_planned):
            self._at[row[_LOCATION]].append(row)

    def at_sites(self, place_ids: Collection[int], *, organisation_id: int, vehicle_id: int) -> list[PlugRow]:
        """As the function of this name; sites that were not thought of are read."""
        if not self._ids.issuperset(place_ids):
            return at_sites(place_ids, organisation_id=organisation_id, vehicle_id=vehicle_id, now=self._now)
        return [_seen_by(vehicle_id, row) for place_id in place_ids for row in self._at.get(place_id, ())]


def _read(
    place_ids: Collection[int], organisation_id: int, vehicle_id: int, now: datetime,
    fetch: Callable[[str, Any], list[tuple[Any, ...]]] = fetch_prepared,
) -> list[tuple[Any, ...]]:  # fmt: skip
    """Rows whose promises are text and say whose they are. Of thousands of plugs planning is the smaller part."""
    values: dict[str, Any] = {
        "place_ids": list(place_ids), "organisation_id": organisation_id, "vehicle_id": vehicle_id, "now": now,
    }  # fmt: skip
    return fetch(PLUGS, values)


def _seen_by(vehicle_id: int, row: tuple[Any, ...]) -> PlugRow:
    """Its own promises stand in nobody's way."""
    said = parsed(row[_PROMISED]) or ()
    others = tuple((begins, ends) for begins, ends, whose in said if whose != vehicle_id)
    return PlugRow._make((*row[:_PROMISED], others, *row[_PROMISED + 1 :]))


def parsed(text: str | None) -> Any:
    """A JSON column of a hand-written query, which arrives as text; None stays None."""
    return None if text is None else json.loads(text)
