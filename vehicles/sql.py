"""The statements of the ping write path; every parameter is an array literal, instants are microseconds since 1970."""

from fleetcharge.lib.db import in_one_line

# One transaction: the pings, and the latest state of their vehicles. Answers one row per ping that was already there
# (third column null) and one per vehicle whose state changed. State rows are locked in vehicle order, so two writers
# never deadlock, and `was_low` is the latch that this very statement replaced, so a crossing is told exactly once.
STORE = in_one_line("""
WITH fixes AS MATERIALIZED (
    SELECT * FROM unnest(%s::int[], %s::bigint[], %s::int[], %s::int[], %s::int[], %s::int[], %s::smallint[],
                         %s::smallint[], %s::smallint[], %s::smallint[], %s::smallint[])
        AS f(vehicle_id, fix_us, delay_cs, latitude_e7, longitude_e7, odometer_m, speed_dkmh, heading_deg,
             accuracy_m, soc_permille, flags)
), stored AS (
    INSERT INTO vehicles_position (vehicle_id, fix_at, delay_cs, latitude_e7, longitude_e7, odometer_m, speed_dkmh,
                                   heading_deg, accuracy_m, soc_permille, flags)
    SELECT vehicle_id, 'epoch'::timestamptz + fix_us * interval '1 microsecond', delay_cs,
           latitude_e7, longitude_e7, odometer_m, speed_dkmh, heading_deg, accuracy_m, soc_permille, flags
    FROM fixes
    ON CONFLICT (vehicle_id, fix_at) DO NOTHING
    RETURNING vehicle_id, fix_at
), news AS (
    SELECT vehicle_id,
           'epoch'::timestamptz + position_us * interval '1 microsecond' AS position_at,
           'epoch'::timestamptz + received_us * interval '1 microsecond' AS received_at,
           latitude, longitude, speed_kmh, heading_deg, odometer_m, is_charging, soc_percent,
           'epoch'::timestamptz + soc_us * interval '1 microsecond' AS soc_at,
           'epoch'::timestamptz + below_us * interval '1 microsecond' AS below_at,
           'epoch'::timestamptz + clear_us * interval '1 microsecond' AS clear_at
    FROM unnest(%s::int[], %s::bigint[], %s::bigint[], %s::float8[], %s::float8[], %s::float8[], %s::float8[],
                %s::bigint[], %s::boolean[], %s::float8[], %s::bigint[], %s::bigint[], %s::bigint[])
        AS n(vehicle_id, position_us, received_us, latitude, longitude, speed_kmh, heading_deg, odometer_m,
             is_charging, soc_percent, soc_us, below_us, clear_us)
), locked AS (
    SELECT n.*, s.is_soc_low AS was_low, s.soc_percent AS old_soc_percent,
           coalesce(n.position_at > coalesce(s.position_at, '-infinity'), false) AS has_moved,
           coalesce(n.soc_at > coalesce(s.soc_at, '-infinity'), false) AS has_soc,
           greatest(s.soc_below_at, n.below_at) AS soc_below_at, greatest(s.soc_clear_at, n.clear_at) AS soc_clear_at,
           (n.below_at > coalesce(s.soc_below_at, '-infinity') OR n.clear_at > coalesce(s.soc_clear_at, '-infinity'))
               AS has_crossed
    FROM news n JOIN vehicles_vehiclestate s ON s.vehicle_id = n.vehicle_id
    ORDER BY n.vehicle_id FOR NO KEY UPDATE OF s
), judged AS (
    SELECT l.*, coalesce(l.soc_below_at > coalesce(l.soc_clear_at, '-infinity'), false) AS is_low FROM locked l
), changed AS (
    UPDATE vehicles_vehiclestate s SET
        position_at = CASE WHEN j.has_moved THEN j.position_at ELSE s.position_at END,
        received_at = CASE WHEN j.has_moved THEN j.received_at ELSE s.received_at END,
        latitude = CASE WHEN j.has_moved THEN j.latitude ELSE s.latitude END,
        longitude = CASE WHEN j.has_moved THEN j.longitude ELSE s.longitude END,
        speed_kmh = CASE WHEN j.has_moved THEN j.speed_kmh ELSE s.speed_kmh END,
        heading_deg = CASE WHEN j.has_moved THEN coalesce(j.heading_deg, s.heading_deg) ELSE s.heading_deg END,
        odometer_m = CASE WHEN j.has_moved THEN coalesce(j.odometer_m, s.odometer_m) ELSE s.odometer_m END,
        is_charging = CASE WHEN j.has_moved THEN coalesce(j.is_charging, s.is_charging) ELSE s.is_charging END,
        soc_percent = CASE WHEN j.has_soc THEN j.soc_percent ELSE s.soc_percent END,
        soc_at = CASE WHEN j.has_soc THEN j.soc_at ELSE s.soc_at END,
        soc_source = CASE WHEN j.has_soc THEN 'measured' ELSE s.soc_source END,
        soc_below_at = j.soc_below_at, soc_clear_at = j.soc_clear_at, is_soc_low = j.is_low,
        soc_low_at = CASE WHEN j.is_low AND j.was_low THEN s.soc_low_at WHEN j.is_low THEN j.soc_below_at END,
        version = s.version + 1
    FROM judged j
    WHERE s.vehicle_id = j.vehicle_id AND (j.has_moved OR j.has_soc OR j.has_crossed)
    RETURNING s.vehicle_id, s.version, j.was_low, s.is_soc_low, s.latitude, s.longitude, s.speed_kmh, s.heading_deg,
              s.soc_percent, s.is_charging, s.position_at, s.soc_at
)
SELECT * FROM changed
UNION ALL
SELECT vehicle_id, fix_us, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM fixes f
WHERE (SELECT count(*) FROM stored) < (SELECT count(*) FROM fixes) AND NOT EXISTS (
    SELECT FROM stored s WHERE s.vehicle_id = f.vehicle_id
        AND s.fix_at = 'epoch'::timestamptz + f.fix_us * interval '1 microsecond')
""")

# Days that pings are about to be stored of; `due_at` keeps the older of two wishes.
MARK_DAYS = """
INSERT INTO vehicles_vehicleday (vehicle_id, day, touched_at, due_at, pings, distance_m, heard_minutes)
SELECT v, '1970-01-01'::date + d, now(), now(), 0, 0, 0
FROM unnest(%s::int[], %s::int[]) AS n(v, d) JOIN vehicles_vehicle ON id = v ORDER BY v, d
ON CONFLICT (vehicle_id, day) DO UPDATE SET
    touched_at = now(), due_at = coalesce(vehicles_vehicleday.due_at, now())
"""

# The first ping of an instant wins, unless only the later one knows the charge.
FILL_SOC = """
UPDATE vehicles_position p SET soc_permille = f.soc_permille
FROM unnest(%s::int[], %s::bigint[], %s::smallint[]) AS f(vehicle_id, fix_us, soc_permille)
WHERE p.vehicle_id = f.vehicle_id AND p.fix_at = 'epoch'::timestamptz + f.fix_us * interval '1 microsecond'
  AND p.soc_permille IS NULL
"""

# Packets of watched vehicles; of those that were there the newest 49 of each stay.
KEEP_PACKETS = """
WITH kept AS (
    INSERT INTO vehicles_rawpacket (vehicle_id, received_at, raw, outcome)
    SELECT (p->>0)::bigint, now(), p->>1, p->2
    FROM jsonb_array_elements(%s::text::jsonb) WITH ORDINALITY AS e(p, n)
    JOIN vehicles_vehicle v ON v.id = (p->>0)::bigint ORDER BY n
    RETURNING vehicle_id
)
DELETE FROM vehicles_rawpacket r USING (SELECT DISTINCT vehicle_id FROM kept) k
WHERE r.vehicle_id = k.vehicle_id AND r.id <= (
    SELECT o.id FROM vehicles_rawpacket o WHERE o.vehicle_id = k.vehicle_id ORDER BY o.id DESC OFFSET 49 LIMIT 1
)
RETURNING r.id
"""

# Unknown devices, at most a thousand of each organisation: a stranger with random ids cannot fill the table. Of IMEIs
# without an organisation, which come from the trackers' own networks, more wait to be claimed. Counted once for all new
# ones of a batch, and not at all for known ones.
REMEMBER_UNKNOWN = """
WITH sightings AS MATERIALIZED (
    SELECT (u->>0)::bigint AS organisation_id, u->>1 AS device_id, (u->>2)::int AS messages, u->>3 AS last_message,
           u->>0 IS NULL AND u->>1 ~ '^[0-9]{15}$' AS is_imei,
           EXISTS (SELECT 1 FROM vehicles_unknowndevice d WHERE d.device_id = u->>1
                   AND d.organisation_id IS NOT DISTINCT FROM (u->>0)::bigint) AS is_known
    FROM jsonb_array_elements(%s::text::jsonb) AS u
), with_room AS MATERIALIZED (
    SELECT organisation_id, is_imei FROM (SELECT DISTINCT organisation_id, is_imei FROM sightings WHERE NOT is_known) n
    WHERE (CASE WHEN is_imei THEN 20000 ELSE 1000 END)
          > (SELECT count(*) FROM vehicles_unknowndevice d
             WHERE d.organisation_id IS NOT DISTINCT FROM n.organisation_id
               AND (d.organisation_id IS NOT NULL OR (d.device_id ~ '^[0-9]{15}$') = n.is_imei))
)
INSERT INTO vehicles_unknowndevice (organisation_id, device_id, messages, last_message, first_seen_at, last_seen_at)
SELECT organisation_id, device_id, messages, last_message, now(), now() FROM sightings s
WHERE is_known OR EXISTS (SELECT 1 FROM with_room r WHERE r.is_imei = s.is_imei
                          AND r.organisation_id IS NOT DISTINCT FROM s.organisation_id)
ORDER BY device_id, organisation_id
ON CONFLICT (device_id, organisation_id) DO UPDATE SET
    messages = vehicles_unknowndevice.messages + EXCLUDED.messages,
    last_message = EXCLUDED.last_message, last_seen_at = EXCLUDED.last_seen_at
"""
