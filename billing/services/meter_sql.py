"""The statements of meters.py: what is stored of a batch of readings, and the running figures of their sessions."""

from fleetcharge.lib.db import in_one_line

# Everything in one statement is one transaction: a reading is never stored without its session knowing, nor doubled.
# Rows are inserted in key order so that two processes replaying one charger cannot deadlock. A reading without a
# transaction belongs to the session of that EVSE at that time, running or ended; Sample.Clock belongs to none.
_STORE = """
WITH input AS MATERIALIZED (
    SELECT r.charger_id, r.evse_number, r.at, r.received_at, r.energy_wh, r.power_w, r.soc_percent, r.context,
           r.sampled, r.interval_wh, r.sequence, decode(r.dedupe_key, 'hex') AS dedupe_key,
           CASE WHEN r.transaction_ref <> '' OR r.context = 'Sample.Clock' THEN r.transaction_ref ELSE COALESCE((
               SELECT s.transaction_ref FROM stations_evse e JOIN stations_connector c ON c.evse_id = e.id
               JOIN billing_chargingsession s ON s.connector_id = c.id
               WHERE e.charger_id = r.charger_id AND e.evse_number = r.evse_number AND s.charger_id = r.charger_id
                 AND s.started_at <= r.at AND (s.state = 'active' OR s.ended_at >= r.at)
               ORDER BY s.started_at DESC LIMIT 1), '') END AS transaction_ref
    FROM jsonb_to_recordset(%s::jsonb) AS r(
        charger_id bigint, evse_number smallint, transaction_ref text, at timestamptz, received_at timestamptz,
        energy_wh bigint, power_w integer, soc_percent double precision, context text, sampled jsonb, dedupe_key text,
        interval_wh bigint, sequence bigint)
), inserted AS (
    INSERT INTO billing_metervalue (charger_id, evse_number, transaction_ref, at, received_at, energy_wh, power_w,
                                    soc_percent, context, sampled, dedupe_key, interval_wh, sequence)
    SELECT charger_id, evse_number, transaction_ref, at, received_at, energy_wh, power_w, soc_percent, context,
           sampled, dedupe_key, interval_wh, sequence
    FROM input ORDER BY dedupe_key
    ON CONFLICT (dedupe_key) DO NOTHING
    RETURNING dedupe_key, charger_id, transaction_ref, at, energy_wh, power_w, soc_percent,
              CASE WHEN context <> 'Sample.Clock' THEN interval_wh END AS interval_wh
)"""

_FIGURES = """
max(at) AS at, min(at) AS first_at,
(array_agg(energy_wh ORDER BY at) FILTER (WHERE energy_wh IS NOT NULL))[1] AS first_wh,
(array_agg(energy_wh ORDER BY at DESC) FILTER (WHERE energy_wh IS NOT NULL))[1] AS energy_wh,
(array_agg(power_w ORDER BY at DESC) FILTER (WHERE power_w IS NOT NULL))[1] AS power_w,
(array_agg(soc_percent ORDER BY at) FILTER (WHERE soc_percent IS NOT NULL))[1] AS first_soc,
(array_agg(soc_percent ORDER BY at DESC) FILTER (WHERE soc_percent IS NOT NULL))[1] AS soc_percent
"""

# A register that says more than a megawatt moves no running figure, nor does a SoC of 0 after another: it is that of a
# vehicle that tells nothing (the end of the session looks at every sample). An ended session is only told that there
# is news of its time; one UPDATE for both, as the stop may commit meanwhile.
_MOVE = """
UPDATE billing_chargingsession s SET
    needs_revision = s.state = 'ended',
    metered_at = CASE s.state WHEN 'active' THEN n.at ELSE s.metered_at END,
    meter_start_wh = COALESCE(s.meter_start_wh, CASE s.state WHEN 'active' THEN n.first_wh END),
    meter_last_wh = GREATEST(s.meter_last_wh, CASE
        WHEN s.state = 'active' AND n.energy_wh - COALESCE(s.meter_start_wh, n.first_wh)
             <= 334 * (EXTRACT(EPOCH FROM n.at - s.started_at) + 60) THEN n.energy_wh END),
    energy_wh = GREATEST(0, s.energy_wh, CASE
        WHEN s.state = 'active' AND n.energy_wh - COALESCE(s.meter_start_wh, n.first_wh)
             <= 334 * (EXTRACT(EPOCH FROM n.at - s.started_at) + 60)
        THEN n.energy_wh - COALESCE(s.meter_start_wh, n.first_wh) END)
        + CASE WHEN s.state = 'active' AND n.energy_wh IS NULL
                    AND s.meter_last_wh IS NOT DISTINCT FROM s.meter_start_wh THEN n.interval_wh ELSE 0 END,
    power_w = CASE s.state WHEN 'active' THEN COALESCE(n.power_w, s.power_w) ELSE s.power_w END,
    soc_start_percent = COALESCE(s.soc_start_percent, CASE s.state WHEN 'active' THEN n.first_soc END),
    soc_percent = CASE s.state WHEN 'active' THEN COALESCE(NULLIF(n.soc_percent, 0), s.soc_percent, n.soc_percent)
                               ELSE s.soc_percent END
FROM newest n
WHERE s.charger_id = n.charger_id AND s.transaction_ref = n.transaction_ref
  AND CASE s.state
      WHEN 'active' THEN s.metered_at IS NULL OR s.metered_at <= n.at
      WHEN 'ended' THEN NOT s.needs_revision
           AND (s.is_stop_estimated OR n.first_at <= s.ended_at + interval '1 minute')
      ELSE false END
RETURNING s.id, s.connector_id, s.energy_wh, s.power_w, s.soc_percent, s.state
"""

_REPEATED = """CASE WHEN (SELECT count(*) FROM inserted) < (SELECT count(*) FROM input)
                    THEN ARRAY(SELECT encode(dedupe_key, 'hex') FROM inserted) END"""
_MOVED = """(SELECT json_agg(json_build_array(id, connector_id, energy_wh, power_w, soc_percent))::text
               FROM updated WHERE state = 'active')"""

WRITE = in_one_line(f"""
{_STORE}, newest AS (
    SELECT charger_id, transaction_ref, {_FIGURES}, COALESCE(sum(interval_wh), 0) AS interval_wh
    FROM inserted WHERE transaction_ref <> '' GROUP BY charger_id, transaction_ref
), updated AS ({_MOVE})
SELECT {_REPEATED}, {_MOVED}
""")  # noqa: S608

# Without the running figures, for a session whose figures will be caught up with; not so when it has ended.
STORE = in_one_line(f"""
{_STORE}, told AS (
    UPDATE billing_chargingsession s SET needs_revision = true FROM inserted n
    WHERE s.charger_id = n.charger_id AND s.transaction_ref = n.transaction_ref
      AND s.state = 'ended' AND NOT s.needs_revision
      AND (s.is_stop_estimated OR n.at <= s.ended_at + interval '1 minute')
)
SELECT {_REPEATED}
""")  # noqa: S608

# From what is stored since a session's figures last moved. That moment itself is looked at again: another message of it
# may have said what the first did not; only intervals would count twice.
CATCH_UP = in_one_line(f"""
WITH behind AS MATERIALIZED (
    SELECT s.charger_id, s.transaction_ref, COALESCE(s.metered_at, '-infinity') AS since
    FROM jsonb_to_recordset(%s::jsonb) AS k(charger_id bigint, transaction_ref text)
    JOIN billing_chargingsession s ON s.charger_id = k.charger_id AND s.transaction_ref = k.transaction_ref
), newest AS (
    SELECT b.charger_id, b.transaction_ref, {_FIGURES},
           COALESCE(sum(interval_wh) FILTER (WHERE m.at > b.since AND m.context <> 'Sample.Clock'), 0) AS interval_wh
    FROM behind b JOIN billing_metervalue m
      ON m.charger_id = b.charger_id AND m.transaction_ref = b.transaction_ref AND m.at >= b.since
    GROUP BY b.charger_id, b.transaction_ref
), updated AS ({_MOVE})
SELECT {_MOVED}
""")  # noqa: S608

# Whose figures nobody caught up with (the process ended first), or whose last sample committed beside their stop. The
# latter are found by their records, fleet by fleet: no index of all sessions is by their end.
LEFT_BEHIND = """
SELECT s.charger_id, s.transaction_ref FROM billing_chargingsession s
WHERE s.charger_id IS NOT NULL AND s.state = 'active' AND EXISTS (
    SELECT FROM billing_metervalue m WHERE m.charger_id = s.charger_id AND m.transaction_ref = s.transaction_ref
      AND m.at > COALESCE(s.metered_at, '-infinity') AND m.received_at < %(before)s)
UNION ALL
SELECT s.charger_id, s.transaction_ref FROM accounts_organisation o CROSS JOIN LATERAL (
    SELECT c.session_id FROM billing_cdr c WHERE c.organisation_id = o.id AND c.ended_at > %(since)s OFFSET 0
) recorded JOIN billing_chargingsession s ON s.id = recorded.session_id
WHERE s.charger_id IS NOT NULL AND s.state = 'ended' AND NOT s.needs_revision AND EXISTS (
    SELECT FROM billing_metervalue m WHERE m.charger_id = s.charger_id AND m.transaction_ref = s.transaction_ref
      AND m.at > COALESCE(s.metered_at, '-infinity') AND m.at <= s.ended_at + interval '1 minute'
      AND m.received_at > s.revised_at AND m.received_at < %(before)s)
"""

# A sample that was there already, in another event: its seqNo is no gap.
KEEP_NUMBERS = """
WITH kept AS (
    INSERT INTO billing_sessionmessage (charger_id, transaction_ref, kind, at, received_at, sequence, charging_state,
                                        trigger_reason, is_offline, dedupe_key)
    SELECT r.charger_id, r.transaction_ref, 'Updated', r.at, r.received_at, r.sequence, '', '', false,
           decode(md5(concat_ws('/', 'seqNo', r.charger_id, r.transaction_ref, r.sequence)), 'hex') AS number
    FROM jsonb_to_recordset(%s::jsonb) AS r(
        charger_id bigint, transaction_ref text, at timestamptz, received_at timestamptz, sequence bigint,
        dedupe_key text)
    WHERE NOT EXISTS (SELECT FROM billing_metervalue m
                      WHERE m.dedupe_key = decode(r.dedupe_key, 'hex') AND m.sequence = r.sequence)
    ORDER BY number
    ON CONFLICT (dedupe_key) DO NOTHING
    RETURNING charger_id, transaction_ref
)
UPDATE billing_chargingsession s SET needs_revision = true FROM kept k
WHERE s.charger_id = k.charger_id AND s.transaction_ref = k.transaction_ref AND s.state = 'ended'
RETURNING s.id
"""
