"""What is read for a chunk of sessions: one statement per kind of evidence, whatever the number of sessions or pings.

Series come as `array_send` of whole columns: bytes that numpy reads without an object per ping.
"""

# a credit takes a record back, and another may come in its place: the newest that an adjustment names
_RECORD_IN_FORCE = """
LEFT JOIN LATERAL (
    SELECT x.roaming_cdr_id FROM billing_cdradjustment x WHERE x.cdr_id = c.id AND x.roaming_cdr_id IS NOT NULL
    ORDER BY x.number DESC LIMIT 1
) fresh ON true
LEFT JOIN stations_roamingcdr r ON r.id = COALESCE(fresh.roaming_cdr_id, c.roaming_cdr_id) AND NOT r.is_credit"""

SESSIONS = f"""
SELECT s.id, s.organisation_id, s.started_at, s.ended_at,
       COALESCE(r.energy_wh, CASE WHEN fresh.roaming_cdr_id IS NOT NULL THEN 0 END, s.energy_wh) AS energy_wh,
       r.received_at AS known_at, s.vehicle_id, s.driver_id, s.id_token_id, t.driver_id AS token_driver,
       s.charger_id, s.transaction_ref, s.connector_id, l.id AS location_id, l.latitude, l.longitude,
       l.organisation_id IS NOT DISTINCT FROM s.organisation_id AS is_depot, src.kind AS source_kind,
       p.latitude_e7, p.longitude_e7, p.spread_m, p.state AS point_state,
       k.plug, k.power_type, k.max_power_w, m.plugs, m.battery_wh, m.max_ac_power_w, m.max_dc_power_w,
       m.consumption_wh_per_km, vs.odometer_m,
       CASE WHEN s.is_meter_start_reported AND NOT s.is_stop_estimated AND s.charger_id IS NOT NULL
            THEN s.meter_stop_wh - s.meter_start_wh ELSE rs.energy_wh END AS meter_wh,
       r.energy_wh AS network_wh, r.periods AS told_periods, r.total_seconds, r.parking_seconds,
       COALESCE(r.ended_at, r.source_updated_at) AS record_ended_at, s.soc_start_percent, s.soc_percent,
       COALESCE(r.key, '') AS record, COALESCE(r.authorization_reference, '') AS reference,
       r.started_at AS record_started_at,
       md5((r.raw -> 'signed_data')::text) AS signature,
       COALESCE(a.idle_seconds, c.idle_seconds) AS idle_seconds, c.total_paise + s.adjusted_paise AS total_paise,
       (SELECT sum((x ->> 'amount_paise')::bigint) FROM jsonb_array_elements(COALESCE(a.explanation, c.explanation)) x
        WHERE x ->> 'dimension' = 'PARKING_TIME') AS idle_paise,
       pc.theirs_after_paise, pc.theirs_before_paise, pc.ours_after_paise, pc.ours_before_paise,
       pc.state AS price_state, pc.tariff_id AS price_tariff, o.time_zone
FROM billing_chargingsession s
JOIN accounts_organisation o ON o.id = s.organisation_id
JOIN stations_source src ON src.id = s.source_id
JOIN stations_connector k ON k.id = s.connector_id
JOIN stations_evse e ON e.id = k.evse_id
JOIN stations_location l ON l.id = e.location_id
LEFT JOIN billing_stationpoint p ON p.location_id = l.id AND p.state IN ('learned', 'accepted')
LEFT JOIN vehicles_vehicle v ON v.id = s.vehicle_id
LEFT JOIN vehicles_vehiclemodel m ON m.id = v.model_id
LEFT JOIN vehicles_vehiclestate vs ON vs.vehicle_id = s.vehicle_id
LEFT JOIN vehicles_idtoken t ON t.id = s.id_token_id
LEFT JOIN billing_cdr c ON c.session_id = s.id
LEFT JOIN LATERAL (
    SELECT x.idle_seconds, x.explanation FROM billing_cdradjustment x WHERE x.cdr_id = c.id
    ORDER BY x.number DESC LIMIT 1
) a ON true
{_RECORD_IN_FORCE}
LEFT JOIN stations_roamingsession rs ON rs.source_id = s.source_id AND r.id IS NOT NULL AND r.session_ref <> ''
     AND lower(rs.key) = lower(r.country_code || '*' || r.party_id || '*' || r.session_ref) AND rs.status = 'COMPLETED'
LEFT JOIN billing_pricecheck pc ON pc.roaming_cdr_id = r.id
WHERE s.id = ANY(%(ids)s) AND s.state = 'ended' AND s.ended_at IS NOT NULL
ORDER BY s.id
"""  # noqa: S608

# every statement below starts from these columns of the sessions at hand
_WINDOWS = """
FROM unnest(%(ids)s::bigint[], %(vehicles)s::bigint[], %(starts)s::timestamptz[], %(ends)s::timestamptz[])
     AS w (id, vehicle_id, started_at, ended_at)
"""

# two columns in one number of 64 bits: half as many arrays to build
PINGS = f"""
SELECT w.id, q.* {_WINDOWS} CROSS JOIN LATERAL (
    SELECT array_send(array_agg(p.fix_at)),
           array_send(array_agg((p.latitude_e7::bigint << 32) | (p.longitude_e7::bigint & 4294967295))),
           array_send(array_agg((COALESCE(p.speed_dkmh, -1)::bigint << 32)
                                | (COALESCE(p.accuracy_m, -1)::bigint & 4294967295))),
           array_send(array_agg((COALESCE(p.soc_permille, -1)::bigint << 32) | p.flags))
    FROM vehicles_position p
    WHERE p.vehicle_id = w.vehicle_id
      AND p.fix_at BETWEEN w.started_at - %(before)s::interval AND w.ended_at + %(after)s::interval
) q
"""  # noqa: S608

SAMPLES = """
SELECT w.id, q.*
FROM unnest(%(ids)s::bigint[], %(chargers)s::bigint[], %(references)s::text[], %(starts)s::timestamptz[],
            %(ends)s::timestamptz[]) AS w (id, charger_id, reference, started_at, ended_at)
CROSS JOIN LATERAL (
    SELECT array_send(array_agg(m.at)), array_send(array_agg(COALESCE(m.power_w, -1))),
           array_send(array_agg(COALESCE(m.energy_wh, -1)))
    FROM (SELECT m.at, m.power_w, m.energy_wh FROM billing_metervalue m
          WHERE m.charger_id = w.charger_id AND m.transaction_ref = w.reference
            AND m.at >= w.started_at - interval '60 seconds'
            AND (m.at <= w.ended_at OR m.context = %(end)s AND m.at <= w.ended_at + %(tolerance)s::interval)
          ORDER BY m.at, m.energy_wh) m
) q
"""

SHIFTS = f"""
SELECT w.id, q.* {_WINDOWS} CROSS JOIN LATERAL (
    SELECT array_send(array_agg(s.starts_at)) AS starts, array_send(array_agg(s.ends_at)),
           array_send(array_agg(s.driver_id))
    FROM (SELECT s.starts_at, s.ends_at, s.driver_id FROM vehicles_shift s
          WHERE s.vehicle_id = w.vehicle_id AND s.starts_at <= w.started_at + interval '7 days'
            AND s.starts_at >= w.started_at - interval '14 days' AND s.ends_at >= w.started_at - interval '7 days'
          ORDER BY s.starts_at, s.id LIMIT 50) s
) q WHERE q.starts IS NOT NULL
"""  # noqa: S608

NEIGHBOURS = f"""
SELECT w.id, q.*
FROM unnest(%(ids)s::bigint[], %(organisations)s::bigint[], %(vehicles)s::bigint[], %(connectors)s::bigint[],
            %(starts)s::timestamptz[], %(ends)s::timestamptz[])
     AS w (id, organisation_id, vehicle_id, connector_id, started_at, ended_at)
CROSS JOIN LATERAL (
    SELECT n.organisation_id = w.organisation_id AS is_own, n.id AS other, n.started_at,
           COALESCE(n.ended_at, w.ended_at) AS ended_at, n.energy_wh, l.latitude, l.longitude,
           COALESCE(n.vehicle_id = w.vehicle_id, false) AS is_same_vehicle,
           n.connector_id = w.connector_id AS is_same_connector, COALESCE(r.authorization_reference, '') AS reference,
           n.soc_percent - n.soc_start_percent AS rise
    FROM (
        SELECT b.* FROM billing_chargingsession b WHERE b.vehicle_id = w.vehicle_id
           AND b.started_at BETWEEN w.started_at - interval '1 day' AND w.ended_at
        UNION
        SELECT b.* FROM billing_chargingsession b WHERE b.connector_id = w.connector_id
           AND b.started_at BETWEEN w.started_at - interval '1 day' AND w.ended_at
           AND (b.ended_at IS NULL OR b.ended_at > w.started_at)
    ) n
    JOIN stations_connector k ON k.id = n.connector_id JOIN stations_evse e ON e.id = k.evse_id
    JOIN stations_location l ON l.id = e.location_id
    LEFT JOIN billing_cdr c ON c.session_id = n.id {_RECORD_IN_FORCE}
    WHERE n.id <> w.id AND n.state <> 'invalid'
    ORDER BY abs(extract(epoch FROM n.started_at - w.started_at)), n.id LIMIT 20
) q
ORDER BY w.id, q.started_at, q.other
"""  # noqa: S608

# other vehicles of the fleet near the station in the middle of the session, for the few whose own was elsewhere
WITNESSES = """
SELECT w.id, v.registration, q.latitude_e7, q.longitude_e7, q.accuracy_m, r.rise
FROM unnest(%(ids)s::bigint[], %(vehicles)s::bigint[], %(organisations)s::bigint[], %(latitudes)s::int[],
            %(longitudes)s::int[], %(starts)s::timestamptz[], %(ends)s::timestamptz[])
     AS w (id, vehicle_id, organisation_id, latitude_e7, longitude_e7, started_at, ended_at)
JOIN vehicles_vehicle v ON v.organisation_id = w.organisation_id AND v.id <> w.vehicle_id
CROSS JOIN LATERAL (
    SELECT p.vehicle_id, p.latitude_e7, p.longitude_e7, p.accuracy_m, p.speed_dkmh
    FROM vehicles_position p
    WHERE p.vehicle_id = v.id AND p.flags & 18 = 0
      AND p.fix_at <= w.started_at + (w.ended_at - w.started_at) / 2
      AND p.fix_at >= w.started_at + (w.ended_at - w.started_at) / 2 - interval '10 minutes'
    ORDER BY p.fix_at DESC LIMIT 1
) q CROSS JOIN LATERAL (
    SELECT (max(s.soc_permille) - min(s.soc_permille)) / 10.0 AS rise
    FROM vehicles_position s WHERE s.vehicle_id = q.vehicle_id  -- of those that stood there alone
      AND s.fix_at BETWEEN w.started_at AND w.ended_at AND s.soc_permille IS NOT NULL
) r
WHERE abs(q.latitude_e7 - w.latitude_e7) < 60000 AND abs(q.longitude_e7 - w.longitude_e7) < 90000
  AND COALESCE(q.speed_dkmh, 0) < 50
ORDER BY w.id, v.id
"""

SITES = """
SELECT w.id, bool_or(a.location_id = w.location_id)
FROM unnest(%(ids)s::bigint[], %(tokens)s::bigint[], %(vehicles)s::bigint[], %(locations)s::bigint[])
     AS w (id, token_id, vehicle_id, location_id)
JOIN billing_allowedsite a ON a.id_token_id = w.token_id OR a.vehicle_id = w.vehicle_id
GROUP BY w.id
"""

LIMITS = """
SELECT w.id, COALESCE(v.registration, d.name, ''), x.session_energy_wh, x.session_paise, x.day_paise,
       (SELECT sum(c.total_paise) FROM billing_cdr c JOIN billing_chargingsession s ON s.id = c.session_id
        WHERE x.day_paise IS NOT NULL AND c.organisation_id = w.organisation_id AND c.ended_at <= w.ended_at
          AND c.ended_at >= date_trunc('day', w.ended_at AT TIME ZONE w.zone) AT TIME ZONE w.zone
          AND (x.vehicle_id IS NULL OR s.vehicle_id = x.vehicle_id)
          AND (x.driver_id IS NULL OR s.driver_id = x.driver_id))
FROM unnest(%(ids)s::bigint[], %(organisations)s::bigint[], %(vehicles)s::bigint[], %(drivers)s::bigint[],
            %(ends)s::timestamptz[], %(zones)s::text[])
     AS w (id, organisation_id, vehicle_id, driver_id, ended_at, zone)
JOIN (SELECT min(id) AS id, organisation_id, vehicle_id, driver_id,
             min(energy_wh) FILTER (WHERE period = 'session') AS session_energy_wh,
             min(amount_paise) FILTER (WHERE period = 'session') AS session_paise,
             min(amount_paise) FILTER (WHERE period = 'day') AS day_paise
      FROM billing_spendlimit WHERE scope IN ('organisation', 'vehicle', 'driver')
      GROUP BY organisation_id, vehicle_id, driver_id) x ON x.organisation_id = w.organisation_id
     AND (x.vehicle_id IS NULL OR x.vehicle_id = w.vehicle_id) AND (x.driver_id IS NULL OR x.driver_id = w.driver_id)
LEFT JOIN vehicles_vehicle v ON v.id = x.vehicle_id LEFT JOIN vehicles_driver d ON d.id = x.driver_id
ORDER BY w.id, x.id
"""

# the plug's own word for the start: within five minutes, else where both ends lie off by the difference of a zone told
# as another, else within an hour (which may be another car's)
HEARD = """
SELECT w.id, q.at
FROM unnest(%(ids)s::bigint[], %(connectors)s::bigint[], %(starts)s::timestamptz[], %(ends)s::timestamptz[],
            %(zones)s::text[]) AS w (id, connector_id, started_at, ended_at, zone)
CROSS JOIN LATERAL (SELECT w.started_at AT TIME ZONE w.zone - w.started_at AT TIME ZONE 'UTC' AS off) z
CROSS JOIN LATERAL (
    SELECT c.at, abs(extract(epoch FROM c.at - w.started_at)) AS away FROM stations_statuschange c
    WHERE c.connector_id = w.connector_id AND c.new = 'charging'
      AND c.at BETWEEN w.started_at - interval '1 hour' AND w.started_at + interval '1 hour'
    UNION ALL
    SELECT c.at, 300 FROM (VALUES (z.off), (-z.off)) o (off)
    JOIN stations_statuschange c ON c.connector_id = w.connector_id AND c.new = 'charging'
      AND c.at BETWEEN w.started_at + o.off - interval '5 minutes' AND w.started_at + o.off + interval '5 minutes'
    JOIN stations_statuschange d ON d.connector_id = w.connector_id AND d.old = 'charging'
      AND d.at BETWEEN w.ended_at + o.off - interval '5 minutes' AND w.ended_at + o.off + interval '5 minutes'
      AND d.at > c.at
    ORDER BY away, at LIMIT 1
) q
"""

WEEKS = f"""
SELECT w.id, b.odometer_m - a.odometer_m, (b.soc_permille - a.soc_permille) / 10.0, x.wh, x.sessions {_WINDOWS}
CROSS JOIN LATERAL (
    SELECT p.odometer_m, p.soc_permille FROM vehicles_position p
    WHERE p.vehicle_id = w.vehicle_id AND p.odometer_m IS NOT NULL AND p.soc_permille IS NOT NULL
      AND p.fix_at BETWEEN w.ended_at - interval '7 days' AND w.ended_at - interval '6 days 12 hours'
    ORDER BY p.fix_at LIMIT 1
) a CROSS JOIN LATERAL (
    SELECT p.odometer_m, p.soc_permille FROM vehicles_position p
    WHERE p.vehicle_id = w.vehicle_id AND p.odometer_m IS NOT NULL AND p.soc_permille IS NOT NULL
      AND p.fix_at BETWEEN w.ended_at - interval '2 hours' AND w.ended_at + interval '30 minutes'
    ORDER BY p.fix_at DESC LIMIT 1
) b CROSS JOIN LATERAL (
    SELECT COALESCE(sum(s.energy_wh), 0) AS wh, count(*) AS sessions FROM billing_chargingsession s
    WHERE s.vehicle_id = w.vehicle_id AND s.state = 'ended' AND s.started_at > w.ended_at - interval '7 days'
      AND s.started_at <= w.ended_at
) x
"""  # noqa: S608
