"""The statements behind limits: which ones apply, what is used of them, and its change under the database's CHECK."""

# the start of the period that a moment is in, and the instants it lasts from and to
_PERIOD = """
CROSS JOIN LATERAL (SELECT CASE g.period WHEN 'day' THEN %(day)s::date WHEN 'week' THEN %(week)s::date
                                         WHEN 'month' THEN %(month)s::date END AS starts) p
CROSS JOIN LATERAL (
    SELECT p.starts::timestamp AT TIME ZONE %(zone)s AS since,
           (p.starts + CASE g.period WHEN 'day' THEN interval '1 day' WHEN 'week' THEN interval '7 days'
                                     ELSE interval '1 month' END)::timestamp AT TIME ZONE %(zone)s AS until) span
"""
# sessions of limit g in its period; h: what is held for them, c: what they cost in the end, but for the one session
# whose charge is being counted just now
_SESSIONS = """
FROM billing_chargingsession x
JOIN stations_connector k ON k.id = x.connector_id
JOIN stations_evse e ON e.id = k.evse_id
LEFT JOIN stations_tariff t ON t.id = k.tariff_id
LEFT JOIN vehicles_vehicle v ON v.id = x.vehicle_id
LEFT JOIN billing_cdr c ON c.session_id = x.id AND c.captured_at IS NOT NULL AND x.id <> %(uncounted)s
LEFT JOIN billing_hold h ON h.session_key = 'session:' || x.id AND h.state = 'active'
WHERE x.organisation_id = g.organisation_id AND x.started_at >= span.since AND x.started_at < span.until
  AND CASE g.scope
      WHEN 'organisation' THEN true WHEN 'vehicle' THEN x.vehicle_id = g.vehicle_id
      WHEN 'driver' THEN x.driver_id = g.driver_id WHEN 'site' THEN e.location_id = g.location_id
      WHEN 'cost_centre' THEN v.cost_centre = g.cost_centre
      ELSE (SELECT (n.source_id, lower(n.external_id)) = (t.source_id, lower(t.external_id))
            FROM stations_tariff n WHERE n.id = g.tariff_id) END
"""
_ENERGY = """COALESCE((SELECT a.energy_wh FROM billing_cdradjustment a WHERE a.cdr_id = c.id
                       ORDER BY a.number DESC LIMIT 1), c.energy_wh)"""
_USED = f"""
SELECT COALESCE(sum(h.amount_paise), 0)::bigint AS reserved_paise,
       COALESCE(sum(c.total_paise + x.adjusted_paise), 0)::bigint AS spent_paise,
       COALESCE(sum(h.energy_wh), 0)::bigint AS reserved_wh,
       COALESCE(sum({_ENERGY}), 0)::bigint AS spent_wh
{_SESSIONS}
"""
# What applies to a session of this fleet, vehicle, driver, place and plug. Nothing used yet in this period: counted.
APPLICABLE = f"""
SELECT g.scope, g.period, g.is_hard, g.amount_paise, g.energy_wh,
       COALESCE(u.reserved_paise + u.spent_paise, seen.reserved_paise + seen.spent_paise, 0),
       COALESCE(u.reserved_wh + u.spent_wh, seen.reserved_wh + seen.spent_wh, 0), g.id, p.starts, u.id
FROM billing_spendlimit g
{_PERIOD}
LEFT JOIN billing_limitusage u ON u.limit_id = g.id AND u.period_start = p.starts
LEFT JOIN LATERAL ({_USED} AND u.id IS NULL AND g.period <> 'session') seen ON true
WHERE g.organisation_id = %(organisation)s AND (
    g.scope = 'organisation' OR g.vehicle_id = %(vehicle)s OR g.driver_id = %(driver)s OR g.location_id = %(location)s
    OR g.scope = 'cost_centre' AND g.cost_centre = (SELECT cost_centre FROM vehicles_vehicle WHERE id = %(vehicle)s)
    OR g.scope = 'tariff' AND EXISTS (
        SELECT 1 FROM stations_connector k JOIN stations_tariff t ON t.id = k.tariff_id
        JOIN stations_tariff n ON n.id = g.tariff_id
        WHERE k.id = %(connector)s AND (n.source_id, lower(n.external_id)) = (t.source_id, lower(t.external_id))))
ORDER BY g.id
"""  # noqa: S608
# The first use of a limit in a period: what runs already is counted in, and will be taken out again when it ends.
LOCK_RUNNING = f"""
SELECT x.id FROM billing_spendlimit g {_PERIOD} CROSS JOIN LATERAL (SELECT h.id {_SESSIONS} AND h.id IS NOT NULL) r
JOIN billing_hold x ON x.id = r.id WHERE g.id = ANY(%(limits)s) ORDER BY x.id FOR UPDATE OF x
"""  # noqa: S608
OPEN_USAGE = f"""
INSERT INTO billing_limitusage (limit_id, period_start, zone, is_hard, cap_paise, cap_wh, reserved_paise, spent_paise,
    excess_paise, reserved_wh, spent_wh, excess_wh)
SELECT g.id, p.starts, %(zone)s, g.is_hard, g.amount_paise, g.energy_wh, seen.reserved_paise, seen.spent_paise,
       greatest(0, seen.reserved_paise + seen.spent_paise - g.amount_paise), seen.reserved_wh, seen.spent_wh,
       greatest(0, seen.reserved_wh + seen.spent_wh - g.energy_wh)
FROM billing_spendlimit g {_PERIOD} CROSS JOIN LATERAL ({_USED}) seen
WHERE g.id = ANY(%(limits)s) ORDER BY g.id
ON CONFLICT (limit_id, period_start) DO NOTHING RETURNING id
"""  # noqa: S608
JOIN_RUNNING = f"""
UPDATE billing_hold held
SET limits = jsonb_set(held.limits, '{{usages}}', COALESCE(held.limits->'usages', '[]') || more.ids)
FROM (SELECT r.id, jsonb_agg(jsonb_build_object('id', u.id, 'scope', g.scope, 'period', g.period)) AS ids
      FROM billing_limitusage u JOIN billing_spendlimit g ON g.id = u.limit_id {_PERIOD}
      CROSS JOIN LATERAL (SELECT h.id {_SESSIONS} AND h.id IS NOT NULL) r
      WHERE u.id = ANY(%(usages)s) GROUP BY r.id) more
WHERE held.id = more.id
"""  # noqa: S608
OPENED = """
SELECT u.limit_id, u.id FROM unnest(%(limits)s::bigint[], %(starts)s::date[]) AS w (limit_id, starts)
JOIN billing_limitusage u ON u.limit_id = w.limit_id AND u.period_start = w.starts
"""
# Takes locks in one order everywhere; the limit as it is now decides, whatever the period began with. Tells which of
# the usages refuse: one whose limit is removed bounds nothing.
RESERVE = """
WITH locked AS (SELECT id FROM billing_limitusage WHERE id = ANY(%(usages)s) ORDER BY id FOR UPDATE),
done AS (
UPDATE billing_limitusage u SET
    is_hard = g.is_hard, cap_paise = g.amount_paise, cap_wh = g.energy_wh,
    reserved_paise = u.reserved_paise + %(paise)s, reserved_wh = u.reserved_wh + %(wh)s,
    excess_paise = greatest(0, u.reserved_paise + %(paise)s + u.spent_paise - g.amount_paise),
    excess_wh = greatest(0, u.reserved_wh + %(wh)s + u.spent_wh - g.energy_wh)
FROM locked, billing_spendlimit g
WHERE u.id = locked.id AND g.id = u.limit_id AND (NOT g.is_hard OR (
    (g.amount_paise IS NULL OR u.reserved_paise + u.spent_paise + %(paise)s <= g.amount_paise)
    AND (g.energy_wh IS NULL OR u.reserved_wh + u.spent_wh + %(wh)s <= g.energy_wh)))
RETURNING u.id)
SELECT locked.id FROM locked WHERE NOT EXISTS (SELECT 1 FROM done WHERE done.id = locked.id)
"""
# Out of reserved, into spent; delivered energy is a fact, so this is never refused. `used`: (id) of the usages.
MOVE = """
UPDATE billing_limitusage u SET
    reserved_paise = greatest(0, u.reserved_paise - {out_paise}), reserved_wh = greatest(0, u.reserved_wh - {out_wh}),
    spent_paise = greatest(0, u.spent_paise + {in_paise}), spent_wh = greatest(0, u.spent_wh + {in_wh}),
    excess_paise = greatest(
        0, greatest(0, u.reserved_paise - {out_paise}) + greatest(0, u.spent_paise + {in_paise}) - u.cap_paise),
    excess_wh = greatest(0, greatest(0, u.reserved_wh - {out_wh}) + greatest(0, u.spent_wh + {in_wh}) - u.cap_wh)
"""
SPEND = f"""
WITH used AS (SELECT id FROM billing_limitusage WHERE id = ANY(%(usages)s) ORDER BY id FOR UPDATE)
{MOVE.format(out_paise=0, out_wh=0, in_paise="%(paise)s", in_wh="%(wh)s")} FROM used WHERE u.id = used.id
"""  # noqa: S608
# the usages that a hold `closed` (amount_paise, energy_wh, limits) stands on, locked in order
USED_BY_HOLD = """
SELECT u.id FROM billing_limitusage u
WHERE u.id IN (SELECT (each->>'id')::bigint FROM closed, jsonb_array_elements(closed.limits->'usages') each)
ORDER BY u.id FOR UPDATE
"""
# `fresh` (paise, wh): what is spent now; nothing when it was charged before
MOVE_HOLD = f"""
{MOVE.format(out_paise="closed.amount_paise", out_wh="closed.energy_wh", in_paise="fresh.paise", in_wh="fresh.wh")}
FROM closed, used, fresh WHERE u.id = used.id RETURNING u.id
"""
# From one period to another, of a session whose start is another by now. `signs`: 1 out of the usage, -1 into it.
SHIFT = f"""
{MOVE.format(out_paise="m.out_paise", out_wh="m.out_wh", in_paise="m.in_paise", in_wh="m.in_wh")}
FROM (SELECT id, sign * %(reserved_paise)s AS out_paise, sign * %(reserved_wh)s AS out_wh,
             -sign * %(spent_paise)s AS in_paise, -sign * %(spent_wh)s AS in_wh
      FROM unnest(%(usages)s::bigint[], %(signs)s::int[]) AS signed (id, sign)) m WHERE u.id = m.id
"""  # noqa: S608
# What usages have counted, and what the journal says of their sessions. `only`: one usage, or NULL for all. Periods as
# they begin on the fleet's calendar; those that began on another calendar, before the fleet moved to this time zone,
# have sessions that were told apart by both, and are not compared. Scope by scope, so that a vehicle's sessions are
# found by the vehicle's index.
_IN_SPAN = "x.organisation_id = g.organisation_id AND x.started_at >= span.since AND x.started_at < span.until"
SPENT_OTHERWISE = f"""
WITH fleet AS (
    SELECT named.id, named.zone, ARRAY(SELECT a.id FROM billing_ledgeraccount a
                                       WHERE a.code IN ('wallet:' || named.id, 'receivable:' || named.id)) AS accounts
    FROM unnest(%(fleets)s::bigint[], %(zones)s::text[]) AS named (id, zone)
)
SELECT u.id, g.scope, u.period_start, u.spent_paise, seen.paise, u.spent_wh, seen.wh
FROM billing_limitusage u JOIN billing_spendlimit g ON g.id = u.limit_id JOIN fleet ON fleet.id = g.organisation_id
CROSS JOIN LATERAL (
    SELECT u.period_start::timestamp AT TIME ZONE fleet.zone AS since,
           (u.period_start + CASE g.period WHEN 'day' THEN interval '1 day' WHEN 'week' THEN interval '7 days'
                                           ELSE interval '1 month' END)::timestamp AT TIME ZONE fleet.zone AS until
) span
CROSS JOIN LATERAL (
    SELECT COALESCE(sum({_ENERGY}), 0)::bigint AS wh, greatest(0, COALESCE(sum((
               SELECT sum(CASE WHEN p.debit_id = ANY(fleet.accounts) THEN p.amount_paise ELSE -p.amount_paise END)
               FROM billing_ledgertransfer p WHERE p.session_id = x.id
                 AND (p.debit_id = ANY(fleet.accounts) OR p.credit_id = ANY(fleet.accounts)))), 0))::bigint AS paise
    FROM (
        SELECT x.id FROM billing_chargingsession x WHERE g.scope = 'organisation' AND {_IN_SPAN}
        UNION ALL
        SELECT x.id FROM billing_chargingsession x
        WHERE g.scope = 'vehicle' AND x.vehicle_id = g.vehicle_id AND {_IN_SPAN}
        UNION ALL
        SELECT x.id FROM billing_chargingsession x
        WHERE g.scope = 'driver' AND x.driver_id = g.driver_id AND {_IN_SPAN}
    ) x LEFT JOIN billing_cdr c ON c.session_id = x.id AND c.captured_at IS NOT NULL
) seen
WHERE g.scope IN ('organisation', 'vehicle', 'driver') AND u.zone IN ('', fleet.zone)
  AND u.id > %(after)s AND (%(only)s::bigint IS NULL OR u.id = %(only)s)
  AND (u.spent_paise, u.spent_wh) <> (seen.paise, seen.wh)
ORDER BY u.id LIMIT %(limit)s
"""  # noqa: S608
RECOUNT = """
UPDATE billing_limitusage u SET
    spent_paise = %(paise)s, spent_wh = %(wh)s, excess_paise = greatest(0, u.reserved_paise + %(paise)s - u.cap_paise),
    excess_wh = greatest(0, u.reserved_wh + %(wh)s - u.cap_wh)
WHERE u.id = %(usage)s
"""
REACHED = """
SELECT u.id, u.limit_id, u.period_start, u.is_hard, u.excess_paise, u.excess_wh, g.organisation_id, g.scope
FROM billing_limitusage u JOIN billing_spendlimit g ON g.id = u.limit_id
WHERE (u.excess_paise > 0 OR u.excess_wh > 0) AND u.period_start >= %(since)s AND NOT EXISTS (
    SELECT 1 FROM billing_billingexception b WHERE b.organisation_id = g.organisation_id AND b.kind = 'limit_reached'
      AND b.reference = 'limit:' || u.limit_id || ':' || u.period_start)
ORDER BY u.id LIMIT %(limit)s
"""
